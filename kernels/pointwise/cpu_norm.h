/* Mean and deviation of a row, for the CPU kernels of layernorm and modulate. */
#ifndef BLROOF_CPU_NORM_H
#define BLROOF_CPU_NORM_H

#include <math.h>

#include "kernels/pointwise/cpu_rows.h"

typedef struct {
    float mean, scale; /* 1 / sqrt(variance + eps) */
} moments_t;

/* sum[i] = x[i] + gate[i] * (residual[i] + bias[i]), and its moments; NULL leaves a term out. */
static inline moments_t sum_row(int64_t width, const float *x, const float *residual,
                                const float *bias, const float *gate, double eps, float *sum) {
    double total = 0, squares = 0;
    for (int64_t i = 0; i < width; i++) {
        float added = residual ? residual[i] : 0;
        if (bias) added += bias[i];
        if (gate) added *= gate[i];
        sum[i] = x[i] + added;
        total += (double)sum[i];
    }
    const double mean = total / (double)width;
    for (int64_t i = 0; i < width; i++) {
        const double d = (double)sum[i] - mean;
        squares += d * d;
    }
    return (moments_t){(float)mean, (float)(1 / sqrt(squares / (double)width + eps))};
}

#endif
