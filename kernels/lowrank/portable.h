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

/* Beyond some GFLOP no plan of tiles is as fast as two library calls (NOTES.md): false, and why. */
bool lowrank_supports_flops(const problem_t *problem, char *why, size_t why_len);

extern const variant_t lowrank_cluster_32, lowrank_sm80_32x128, lowrank_sm80_64x128;

#ifdef __cplusplus
}
#endif
#endif
