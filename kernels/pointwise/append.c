/*
 * append: writes the rows of x (and y, alike) behind the `past` rows of a cache of keys or values,
 * one output each. In a phase without a cache the runner lets the outputs be the inputs and
 * launches nothing.
 */
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { X, Y };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t rows = c->in[X].rows, width = c->in[X].width;
    for (int i = 0; i < c->outputs; i++) shape_output(c, i, c->past + rows, width);
    if (c->in[Y].given && c->in[Y].rows == rows && c->in[Y].width == width && c->outputs == 2)
        return true;
    if (!c->in[Y].given && c->outputs == 1) return true;
    snprintf(why, why_len, "it gives one output for each input, and two inputs have equal sizes");
    return false;
}

static double flops(const call_t *c) {
    (void)c;
    return 0;
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    for (int i = 0; i < c->outputs; i++)
        for (int64_t s = 0; s < c->batch; s++)
            for (int64_t r = 0; r < c->in[i].rows; r++)
                memcpy(row_of(&c->out[i], s, c->past + r), row_of(&c->in[i], s, r),
                       (size_t)c->in[i].width * sizeof(float));
    return STATUS_OK;
}

static const pointwise_t append = {
    .name = "append",
    .summary = "the cache of keys (and of values), with the new rows behind those of the past",
    .inputs = {"x", "?y"},
    .appends = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(append)

static const pointwise_kernel_t cpu = {"append", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
