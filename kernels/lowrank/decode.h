/* The plans of lowrank/fused for 1 to 64 tokens. */
#ifndef BLROOF_LOWRANK_DECODE_H
#define BLROOF_LOWRANK_DECODE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t lowrank_decode; /* T = X V and Y = T U, chained */
extern const variant_t lowrank_flat;   /* the same, one block of threads an SM */

#ifdef __cplusplus
}
#endif
#endif
