/*
 * timestep: y = [cos(t f_i), sin(t f_i)] with f_i = 10000^(-i / (width/2)): the sinusoidal
 * embedding of a diffusion step, cosines first, as in DiT (Peebles, Xie, arXiv 2212.09748).
 */
#include <math.h>
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { T };
enum { FREQUENCIES };
enum { WIDTH };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t width = (int64_t)c->number[WIDTH];
    shape_output(c, 0, c->in[T].rows, width);
    shape_weight(c, FREQUENCIES, 1, width / 2);
    if (c->in[T].whole && c->in[T].width == 1 && width >= 2 && width % 2 == 0) return true;
    snprintf(why, why_len, "it needs one whole number a row, and an even width");
    return false;
}

static double flops(const call_t *c) {
    return call_elements(c) * 2;
}

static void table(const call_t *c, int slot, float *values) {
    (void)slot;
    const double half = c->number[WIDTH] / 2;
    for (int64_t i = 0; i < (int64_t)half; i++) values[i] = (float)pow(10000, -(double)i / half);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t half = c->out[0].width / 2;
    const float *frequency = weight_row(&c->weight[FREQUENCIES], 0);
    FOR_EACH_ROW(c, s, r) {
        const float t = (float)*whole_row(&c->in[T], s, r);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < half; i++) {
            y[i] = cosf(t * frequency[i]);
            y[half + i] = sinf(t * frequency[i]);
        }
    }
    return STATUS_OK;
}

static const pointwise_t timestep = {
    .name = "timestep",
    .summary = "the sinusoidal embedding of a diffusion step",
    .inputs = {"t"},
    .weights = {"=frequencies"},
    .numbers = {"width"},
    .shape = shape,
    .flops = flops,
    .table = table,
};
REGISTER_POINTWISE(timestep)

static const pointwise_kernel_t cpu = {"timestep", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
