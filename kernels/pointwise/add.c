/* add: y = x + gate * (residual + bias). */
#include "kernels/pointwise/cpu_rows.h"

enum { X, RESIDUAL, GATE };
enum { BIAS };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t rows = c->in[X].rows, width = c->in[X].width;
    shape_output(c, 0, rows, width);
    shape_weight(c, BIAS, 1, width);
    return shape_matches(c, RESIDUAL, rows, width, why, why_len) &&
           shape_matches(c, GATE, rows, width, why, why_len);
}

static double flops(const call_t *c) {
    return call_elements(c) * (1 + (c->in[GATE].given ? 1 : 0) + c->weight[BIAS].given);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const float *bias = weight_row(&c->weight[BIAS], 0);
    FOR_EACH_ROW(c, s, r) {
        const float *x = row_of(&c->in[X], s, r), *residual = row_of(&c->in[RESIDUAL], s, r);
        const float *gate = row_of(&c->in[GATE], s, r);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < c->in[X].width; i++) {
            const float added = residual[i] + (bias ? bias[i] : 0);
            y[i] = x[i] + (gate ? gate[i] * added : added);
        }
    }
    return STATUS_OK;
}

static const pointwise_t add = {
    .name = "add",
    .summary = "y = x + residual, or x + gate * (residual + bias)",
    .inputs = {"x", "residual", "?gate"},
    .weights = {"?bias"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(add)

static const pointwise_kernel_t cpu = {"add", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
