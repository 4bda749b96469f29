/*
 * layernorm: s = x (+ residual + residual_bias), y = (s - mean) / sqrt(variance + eps) * weight +
 * bias. With two outputs the first one is s. Ba, Kiros, Hinton, arXiv 1607.06450.
 */
#include <stdio.h>

#include "kernels/pointwise/cpu_norm.h"

enum { X, RESIDUAL };
enum { WEIGHT, BIAS, RESIDUAL_BIAS };
enum { EPS };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t rows = c->in[X].rows, width = c->in[X].width;
    for (int i = 0; i < c->outputs; i++) shape_output(c, i, rows, width);
    for (int i = 0; i < MAX_PARAMETERS; i++) shape_weight(c, i, 1, width);
    return shape_matches(c, RESIDUAL, rows, width, why, why_len);
}

static double flops(const call_t *c) {
    return call_elements(c) *
           (8 + (c->in[RESIDUAL].given ? 1 : 0) + c->weight[RESIDUAL_BIAS].given);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t width = c->in[X].width;
    const float *weight = weight_row(&c->weight[WEIGHT], 0),
                *bias = weight_row(&c->weight[BIAS], 0);
    const float *residual_bias = weight_row(&c->weight[RESIDUAL_BIAS], 0);
    FOR_EACH_ROW(c, s, r) {
        float *y = row_of(&c->out[c->outputs - 1], s, r);
        float *sum = c->outputs == 2 ? row_of(&c->out[0], s, r) : y;
        const moments_t m = sum_row(width, row_of(&c->in[X], s, r), row_of(&c->in[RESIDUAL], s, r),
                                    residual_bias, NULL, c->number[EPS], sum);
        for (int64_t i = 0; i < width; i++)
            y[i] = (sum[i] - m.mean) * m.scale * weight[i] + bias[i];
    }
    return STATUS_OK;
}

static const pointwise_t layernorm = {
    .name = "layernorm",
    .summary = "(sum,) y = x (+ residual + residual_bias), normalised, times weight, plus bias",
    .inputs = {"x", "?residual"},
    .weights = {"weight", "bias", "?residual_bias"},
    .numbers = {"eps"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(layernorm)

static const pointwise_kernel_t cpu = {"layernorm", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
