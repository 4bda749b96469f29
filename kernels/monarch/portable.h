/*
 * The portable plans of monarch (compute capability 8.0 and later; cluster: 9.0), best guess first;
 * the last one supports every problem. Their order is meant for the end of a variant's `plans`.
 */
#ifndef BLROOF_MONARCH_PORTABLE_H
#define BLROOF_MONARCH_PORTABLE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t monarch_cluster_32, monarch_sm80_32x128_g4, monarch_sm80_64x128_g4,
    monarch_sm80_64x704, monarch_sm80_64x512, monarch_sm80_128x256, monarch_sm80_128x128,
    monarch_sm80_any;

#ifdef __cplusplus
}
#endif
#endif
