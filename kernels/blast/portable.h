/*
 * The portable plans of blast (compute capability 8.0 and later; _cluster: 9.0), best guess first;
 * the last one supports every problem. Their order is meant for the end of a variant's `plans`.
 */
#ifndef BLROOF_BLAST_PORTABLE_H
#define BLROOF_BLAST_PORTABLE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t blast_cluster_32_b3, blast_cluster_64_b3, blast_cluster_32_b8,
    blast_sm80_32x128, blast_sm80_64x128, blast_sm80_three_launches;

#ifdef __cplusplus
}
#endif
#endif
