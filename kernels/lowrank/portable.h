/*
 * Plans of lowrank/fused for small layers: clusters (compute capability 9.0 and later), then
 * portable ones.
 */
#ifndef BLROOF_LOWRANK_PORTABLE_H
#define BLROOF_LOWRANK_PORTABLE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t lowrank_cluster_32, lowrank_sm80_32x128, lowrank_sm80_64x128;

#ifdef __cplusplus
}
#endif
#endif
