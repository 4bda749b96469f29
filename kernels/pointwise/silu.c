/* silu: v = x + bias, y = v sigmoid(v). */
#include "kernels/pointwise/cpu_rows.h"

enum { X };
enum { BIAS };

static bool shape(call_t *c, char *why, size_t why_len) {
    (void)why, (void)why_len;
    shape_output(c, 0, c->in[X].rows, c->in[X].width);
    shape_weight(c, BIAS, 1, c->in[X].width);
    return true;
}

static double flops(const call_t *c) {
    return call_elements(c) * (4 + (c->weight[BIAS].given ? 1 : 0));
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const float *bias = weight_row(&c->weight[BIAS], 0);
    FOR_EACH_ROW(c, s, r) {
        const float *x = row_of(&c->in[X], s, r);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < c->in[X].width; i++) {
            const float v = bias ? x[i] + bias[i] : x[i];
            y[i] = v * fast_sigmoid(v);
        }
    }
    return STATUS_OK;
}

static const pointwise_t silu = {
    .name = "silu",
    .summary = "y = v sigmoid(v) with v = x (+ bias)",
    .inputs = {"x"},
    .weights = {"?bias"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(silu)

static const pointwise_kernel_t cpu = {"silu", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
