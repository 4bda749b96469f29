/* The Hopper (sm_90a) plans of monarch/fused_fp8. */
#ifndef BLROOF_MONARCH_HOPPER_FP8_H
#define BLROOF_MONARCH_HOPPER_FP8_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The error that the format explains, relative to the norm of the result. A value rounded to 3 bits
 * of mantissa is off by a sixteenth at most and by 2.6 % in the root mean square: uniform values
 * below the largest, whose steps double at each power of two. X, V, T and U are rounded once each,
 * and sums of products with random signs keep relative errors, which add in squares: 5.1 %. The
 * rest is margin for values of other distributions.
 */
#define MONARCH_FP8_TOLERANCE 6e-2

extern const variant_t monarch_fp8_128x256, monarch_fp8_64x128, monarch_fp8_128x2x128_split2,
    monarch_fp8_pair256, monarch_fp8_pair352;

#ifdef __cplusplus
}
#endif
#endif
