/* Numbers in and out of the dtypes, and the random data every check and timing runs on. */
#ifndef BLROOF_VALUES_H
#define BLROOF_VALUES_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Relative spacing: the largest relative rounding error of the dtype (2^-24, 2^-8, 2^-11). */
double unit_roundoff(dtype_t dtype);

/*
 * `count` values uniform in [-1, 1), rounded to the dtype: bits in the dtype's own form, values as
 * the floats they stand for. The same seed gives the same values on every machine and thread count.
 */
void random_values(dtype_t dtype, uint64_t seed, int64_t count, float *values, void *bits);

/* `count` numbers centre + spread * u in the form of the dtype, u in [-1, 1) as above in fp32. */
typedef struct {
    dtype_t dtype;
    uint64_t seed;
    int64_t count;
    float centre, spread;
} draw_t;

void draw_values(const draw_t *draw, void *bits);

/* Any floats in the form of the dtype, rounded to nearest even; overflow gives infinity. */
void round_values(dtype_t dtype, int64_t count, const float *values, void *bits);

/* Element i of an array of the dtype. */
double value_at(dtype_t dtype, const void *bits, int64_t i);

/* ---- the generator, for the host and for kernels ---- */

#ifdef __CUDACC__
#define VALUES_ANYWHERE __host__ __device__
#else
#define VALUES_ANYWHERE
#endif

/* The finaliser of splitmix64 (Steele, Lea, Flood, 2014): a hash of the element's index. */
VALUES_ANYWHERE static inline uint64_t values_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* Number i of the seed whose values_mix() is `key`: in [-1, 1), exact in fp32. */
VALUES_ANYWHERE static inline float values_uniform(uint64_t key, int64_t i) {
    return (float)(values_mix(key + (uint64_t)i) >> 40) * 0x1p-23f - 1.0f;
}

#ifdef __cplusplus
}
#endif

#endif
