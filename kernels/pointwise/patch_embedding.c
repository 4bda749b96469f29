/*
 * patch_embedding: y = x + bias + positions, behind a row of class + positions[0] if there is a
 * class. The rows of x come from patches and a linear layer. Dosovitskiy et al., arXiv 2010.11929.
 */
#include "kernels/pointwise/cpu_rows.h"

enum { X };
enum { POSITIONS, BIAS, CLASS };

static bool shape(call_t *c, char *why, size_t why_len) {
    (void)why, (void)why_len;
    const int64_t rows = c->in[X].rows + (c->weight[CLASS].given ? 1 : 0), width = c->in[X].width;
    shape_output(c, 0, rows, width);
    shape_weight(c, POSITIONS, rows, width);
    shape_weight(c, BIAS, 1, width);
    shape_weight(c, CLASS, 1, width);
    return true;
}

static double flops(const call_t *c) {
    return call_elements(c) * (1 + (c->weight[BIAS].given ? 1 : 0));
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const float *bias = weight_row(&c->weight[BIAS], 0), *class = weight_row(&c->weight[CLASS], 0);
    const int64_t first = class ? 1 : 0;
    FOR_EACH_ROW(c, s, r) {
        const float *position = weight_row(&c->weight[POSITIONS], r);
        const float *x = r < first ? class : row_of(&c->in[X], s, r - first);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < c->out[0].width; i++)
            y[i] = x[i] + position[i] + (bias && r >= first ? bias[i] : 0);
    }
    return STATUS_OK;
}

static const pointwise_t patch_embedding = {
    .name = "patch_embedding",
    .summary = "y = (class,) x + bias, plus positions",
    .inputs = {"x"},
    .weights = {"positions", "?bias", "?class"},
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(patch_embedding)

static const pointwise_kernel_t cpu = {"patch_embedding", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32),
                                       launch};
REGISTER_POINTWISE_KERNEL(cpu)
