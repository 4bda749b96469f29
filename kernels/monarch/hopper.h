/* The Hopper (sm_90a) plans of monarch/fused. */
#ifndef BLROOF_MONARCH_HOPPER_H
#define BLROOF_MONARCH_HOPPER_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t monarch_hopper_128x256, monarch_hopper_128x128, monarch_hopper_64x256,
    monarch_hopper_64x128, monarch_hopper_64x192_split4, monarch_hopper_64x256_split2,
    monarch_hopper_64x2x128, monarch_hopper_128x2x128_split2, monarch_hopper_pair256,
    monarch_hopper_pair352, monarch_hopper_pair256b, monarch_hopper_pair256c;

#ifdef __cplusplus
}
#endif
#endif
