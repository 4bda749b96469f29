/* Numbers in and out of the dtypes, and the random data every check and timing runs on. */
#ifndef BLROOF_VALUES_H
#define BLROOF_VALUES_H

#include "kernels/operator.h"

/* Relative spacing: the largest relative rounding error of the dtype (2^-24, 2^-8, 2^-11). */
double unit_roundoff(dtype_t dtype);

/*
 * `count` values uniform in [-1, 1), rounded to the dtype: bits in the dtype's own form, values as
 * the floats they stand for. The same seed gives the same values on every machine and thread count.
 */
void random_values(dtype_t dtype, uint64_t seed, int64_t count, float *values, void *bits);

/* Any floats in the form of the dtype, rounded to nearest even; overflow gives infinity. */
void round_values(dtype_t dtype, int64_t count, const float *values, void *bits);

/* Element i of an array of the dtype. */
double value_at(dtype_t dtype, const void *bits, int64_t i);

#endif
