/*
 * patches: cuts images [channels][image][image] into rows of [channels][patch][patch], row by row,
 * so that the convolution of a patch embedding is a linear layer.
 */
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { IMAGE };
enum { CHANNELS, SIZE, PATCH };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t channels = (int64_t)c->number[CHANNELS], size = (int64_t)c->number[SIZE],
                  patch = (int64_t)c->number[PATCH];
    const int64_t most = 1 << 20; /* so that no product overflows */
    if (channels < 1 || channels > most || size > most || patch < 1 || size % patch ||
        c->in[IMAGE].rows != 1 || c->in[IMAGE].width != channels * size * size) {
        snprintf(why, why_len, "it needs one row of channels x size x size, and patch | size");
        return false;
    }
    shape_output(c, 0, (size / patch) * (size / patch), channels * patch * patch);
    return true;
}

static double flops(const call_t *c) {
    (void)c;
    return 0;
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t channels = (int64_t)c->number[CHANNELS], size = (int64_t)c->number[SIZE],
                  patch = (int64_t)c->number[PATCH], side = size / patch;
    FOR_EACH_ROW(c, s, r) {
        const float *image = row_of(&c->in[IMAGE], s, 0);
        const float *corner = image + r / side * patch * size + r % side * patch;
        float *y = row_of(&c->out[0], s, r);
        for (int64_t k = 0; k < channels; k++)
            for (int64_t i = 0; i < patch; i++, y += patch)
                memcpy(y, corner + (k * size + i) * size, (size_t)patch * sizeof *y);
    }
    return STATUS_OK;
}

static const pointwise_t patches = {
    .name = "patches",
    .summary = "an image [channels][size][size] as rows of [channels][patch][patch]",
    .inputs = {"image"},
    .numbers = {"channels", "size", "patch"},
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(patches)

static const pointwise_kernel_t cpu = {"patches", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
