/* What the CPU kernels of pointwise operators share: rows of fp32, and fast exponentials. */
#ifndef BLROOF_CPU_ROWS_H
#define BLROOF_CPU_ROWS_H

#include <stdint.h>
#include <string.h>

#include "kernels/pointwise/pointwise.h"

/* Row `row` of a sequence; NULL where the view was left out. */
static inline float *row_of(const view_t *view, int64_t sequence, int64_t row) {
    return view->data ? (float *)view->data + view_offset(view, sequence, row) : NULL;
}

static inline const int32_t *whole_row(const view_t *view, int64_t sequence, int64_t row) {
    return (const int32_t *)view->data + view_offset(view, sequence, row);
}

/* A weight's row, in every sequence the same. */
static inline const float *weight_row(const view_t *weight, int64_t row) {
    return weight->data ? (const float *)weight->data + row * weight->stride : NULL;
}

/*
 * exp to 2e-7 relative, written so that loops over it vectorise: 2^k times a polynomial of the
 * rest, with the coefficients of Cephes' expf (Moshier, netlib.org/cephes, 1989).
 */
static inline float fast_exp(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    const float shift = 0x1.8p23f; /* adding it rounds to a whole number, in the lowest bits */
    const float shifted = x * 1.44269504f + shift, k = shifted - shift;
    const float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
    const float p = ((((1.9875691500e-4f * r + 1.3981999507e-3f) * r + 8.3334519073e-3f) * r +
                      4.1665795894e-2f) *
                         r +
                     1.6666665459e-1f) *
                        r +
                    5.0000001201e-1f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return (p * r * r + r + 1.0f) * scale;
}

static inline float fast_sigmoid(float x) {
    return 1.0f / (1.0f + fast_exp(-x));
}

/* For every row of out[0], on all threads: `body` sees `s` and `r`. */
#define FOR_EACH_ROW(call, s, r)                                                                   \
    _Pragma(                                                                                       \
        "omp parallel for collapse(2) schedule(static)") for (int64_t s = 0; s < (call)->batch;    \
                                                              s++) for (int64_t r = 0;             \
                                                                        r < (call)->out[0].rows;   \
                                                                        r++)

#endif
