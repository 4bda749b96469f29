/* The Hopper (sm_90a) plans of lowrank/fused, named by the tiles of both products. */
#ifndef BLROOF_LOWRANK_HOPPER_H
#define BLROOF_LOWRANK_HOPPER_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t lowrank_hopper_64x64_64x128, lowrank_hopper_64x64_128x128,
    lowrank_hopper_64x128_64x128, lowrank_hopper_64x128_128x128, lowrank_hopper_128x128_128x128;

#ifdef __cplusplus
}
#endif
#endif
