/*
 * rmsnorm: s = x (+ residual), y = s / sqrt(mean(s^2) + eps) * weight. With two outputs the first
 * one is s, so that the residual stream is updated and normalised in one pass.
 * Zhang, Sennrich, "Root Mean Square Layer Normalization", arXiv 1910.07467.
 */
#include <math.h>
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { X, RESIDUAL };
enum { WEIGHT };
enum { EPS };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t rows = c->in[X].rows, width = c->in[X].width;
    for (int i = 0; i < c->outputs; i++) shape_output(c, i, rows, width);
    shape_weight(c, WEIGHT, 1, width);
    return shape_matches(c, RESIDUAL, rows, width, why, why_len);
}

static double flops(const call_t *c) {
    return call_elements(c) * (c->in[RESIDUAL].given ? 5 : 4);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t width = c->in[X].width;
    const float *weight = weight_row(&c->weight[WEIGHT], 0);
    FOR_EACH_ROW(c, s, r) {
        const float *x = row_of(&c->in[X], s, r), *residual = row_of(&c->in[RESIDUAL], s, r);
        float *y = row_of(&c->out[c->outputs - 1], s, r);
        float *sum = c->outputs == 2 ? row_of(&c->out[0], s, r) : y;
        double squares = 0;
        for (int64_t i = 0; i < width; i++) {
            const float value = residual ? x[i] + residual[i] : x[i];
            squares += (double)value * (double)value;
            sum[i] = value;
        }
        const float scale = (float)(1 / sqrt(squares / (double)width + c->number[EPS]));
        for (int64_t i = 0; i < width; i++) y[i] = sum[i] * scale * weight[i];
    }
    return STATUS_OK;
}

static const pointwise_t rmsnorm = {
    .name = "rmsnorm",
    .summary = "(sum,) y = x (+ residual), normalised by its root mean square, times weight",
    .inputs = {"x", "?residual"},
    .weights = {"weight"},
    .numbers = {"eps"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(rmsnorm)

static const pointwise_kernel_t cpu = {"rmsnorm", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
