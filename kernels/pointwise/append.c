/*
 * append: writes the rows of x behind the `past` rows of a cache of keys or values, its output. In
 * a phase without a cache the runner lets y be x and launches nothing.
 */
#include "kernels/pointwise/cpu_rows.h"

enum { X };

static bool shape(call_t *c, char *why, size_t why_len) {
    (void)why, (void)why_len;
    shape_output(c, 0, c->past + c->in[X].rows, c->in[X].width);
    return true;
}

static double flops(const call_t *c) {
    (void)c;
    return 0;
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    for (int64_t s = 0; s < c->batch; s++)
        for (int64_t r = 0; r < c->in[X].rows; r++)
            memcpy(row_of(&c->out[0], s, c->past + r), row_of(&c->in[X], s, r),
                   (size_t)c->in[X].width * sizeof(float));
    return STATUS_OK;
}

static const pointwise_t append = {
    .name = "append",
    .summary = "the cache of keys or values, with the rows of x behind those of the past",
    .inputs = {"x"},
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(append)

static const pointwise_kernel_t cpu = {"append", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
