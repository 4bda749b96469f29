/* The portable way of blast (compute capability 8.0 and later); it supports every problem. */
#ifndef BLROOF_BLAST_PORTABLE_H
#define BLROOF_BLAST_PORTABLE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t blast_fused_sm80;

#ifdef __cplusplus
}
#endif
#endif
