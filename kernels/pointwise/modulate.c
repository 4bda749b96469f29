/*
 * modulate: s = x (+ gate * (residual + residual_bias)), y = normalised(s) * (1 + scale) + shift:
 * the adaptive layer norm of DiT (Peebles, Xie, arXiv 2212.09748). With two outputs the first one
 * is s. shift, scale and gate have one row a sequence.
 */
#include <stdio.h>

#include "kernels/pointwise/cpu_norm.h"

enum { X, SHIFT, SCALE, RESIDUAL, GATE };
enum { RESIDUAL_BIAS };
enum { EPS };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t rows = c->in[X].rows, width = c->in[X].width;
    for (int i = 0; i < c->outputs; i++) shape_output(c, i, rows, width);
    shape_weight(c, RESIDUAL_BIAS, 1, width);
    for (int i = SHIFT; i <= GATE; i++)
        if (!shape_matches(c, i, rows, width, why, why_len)) return false;
    return true;
}

static double flops(const call_t *c) {
    return call_elements(c) * (9 + (c->in[RESIDUAL].given ? 1 : 0) + c->in[GATE].given +
                               c->weight[RESIDUAL_BIAS].given);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t width = c->in[X].width;
    const float *residual_bias = weight_row(&c->weight[RESIDUAL_BIAS], 0);
    FOR_EACH_ROW(c, s, r) {
        const float *shift = row_of(&c->in[SHIFT], s, r), *scale = row_of(&c->in[SCALE], s, r);
        float *y = row_of(&c->out[c->outputs - 1], s, r);
        float *sum = c->outputs == 2 ? row_of(&c->out[0], s, r) : y;
        const moments_t m = sum_row(width, row_of(&c->in[X], s, r), row_of(&c->in[RESIDUAL], s, r),
                                    residual_bias, row_of(&c->in[GATE], s, r), c->number[EPS], sum);
        for (int64_t i = 0; i < width; i++)
            y[i] = (sum[i] - m.mean) * m.scale * (1 + scale[i]) + shift[i];
    }
    return STATUS_OK;
}

static const pointwise_t modulate = {
    .name = "modulate",
    .summary = "(sum,) y = x (+ gate * residual), normalised, times 1 + scale, plus shift",
    .inputs = {"x", "shift", "scale", "?residual", "?gate"},
    .weights = {"?residual_bias"},
    .numbers = {"eps"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(modulate)

static const pointwise_kernel_t cpu = {"modulate", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
