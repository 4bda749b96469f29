/* unpatchify: rows of [patch][patch][channels] back to an image [channels][size][size], as DiT's.
 */
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { X };
enum { BIAS };
enum { CHANNELS, SIZE, PATCH };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t channels = (int64_t)c->number[CHANNELS], size = (int64_t)c->number[SIZE],
                  patch = (int64_t)c->number[PATCH];
    const int64_t most = 1 << 20; /* so that no product overflows */
    if (channels < 1 || channels > most || size > most || patch < 1 || size % patch ||
        c->in[X].rows != (size / patch) * (size / patch) ||
        c->in[X].width != channels * patch * patch) {
        snprintf(why, why_len, "it needs (size / patch)^2 rows of patch x patch x channels");
        return false;
    }
    shape_output(c, 0, 1, channels * size * size);
    shape_weight(c, BIAS, 1, c->in[X].width);
    return true;
}

static double flops(const call_t *c) {
    return c->weight[BIAS].given ? call_elements(c) : 0;
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t channels = (int64_t)c->number[CHANNELS], size = (int64_t)c->number[SIZE],
                  patch = (int64_t)c->number[PATCH], side = size / patch;
    const float *bias = weight_row(&c->weight[BIAS], 0);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t s = 0; s < c->batch; s++)
        for (int64_t r = 0; r < side * side; r++) {
            const float *x = row_of(&c->in[X], s, r);
            float *corner = row_of(&c->out[0], s, 0) + r / side * patch * size + r % side * patch;
            for (int64_t at = 0; at < c->in[X].width; at++) {
                const int64_t k = at % channels, column = at / channels % patch;
                const int64_t line = at / channels / patch;
                corner[(k * size + line) * size + column] = x[at] + (bias ? bias[at] : 0);
            }
        }
    return STATUS_OK;
}

static const pointwise_t unpatchify = {
    .name = "unpatchify",
    .summary = "rows of [patch][patch][channels] (+ bias) as an image [channels][size][size]",
    .inputs = {"x"},
    .weights = {"?bias"},
    .numbers = {"channels", "size", "patch"},
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(unpatchify)

static const pointwise_kernel_t cpu = {"unpatchify", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
