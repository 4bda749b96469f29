/*
 * rope: rotates queries and keys by their positions, the halves of a head paired (Su et al., arXiv
 * 2104.09864, as in Llama). factor > 1 stretches the long wavelengths as Llama 3.1 does: those
 * above original / low by the factor, those below original / high not at all.
 */
#include <math.h>
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { Q, K };
enum { FREQUENCIES };
enum { THETA, HEAD, FACTOR, LOW, HIGH, ORIGINAL };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t head = (int64_t)c->number[HEAD];
    for (int i = Q; i <= K; i++) {
        if (head < 2 || head % 2 || c->in[i].width % head) {
            snprintf(why, why_len, "a width of %lld is not a number of heads of %lld (even)",
                     (long long)c->in[i].width, (long long)head);
            return false;
        }
        shape_output(c, i, c->in[i].rows, c->in[i].width);
    }
    shape_weight(c, FREQUENCIES, 1, head / 2);
    if (c->outputs == 2 && c->in[Q].rows == c->in[K].rows) return true;
    snprintf(why, why_len, "it gives two outputs, of queries and keys with equal rows");
    return false;
}

static double flops(const call_t *c) {
    const double width = (double)c->in[Q].width + (double)c->in[K].width;
    return (double)c->batch * (double)c->in[Q].rows * width * 3;
}

static void table(const call_t *c, int slot, float *values) {
    (void)slot;
    const double head = c->number[HEAD], factor = c->number[FACTOR], low = c->number[LOW],
                 high = c->number[HIGH], original = c->number[ORIGINAL];
    for (int64_t i = 0; i < (int64_t)head / 2; i++) {
        const double f = pow(c->number[THETA], -2.0 * (double)i / head);
        const double wavelength = 2 * 3.14159265358979323846 / f;
        double share = (original / wavelength - low) / (high - low); /* of the unchanged one */
        share = fmin(1, fmax(0, share));
        values[i] = (float)(share * f + (1 - share) * f / factor);
    }
}

static void rotate(const float *x, float *y, const float *cosine, const float *sine, int64_t half) {
    for (int64_t i = 0; i < half; i++) {
        const float a = x[i], b = x[half + i];
        y[i] = a * cosine[i] - b * sine[i];
        y[half + i] = b * cosine[i] + a * sine[i];
    }
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t head = (int64_t)c->number[HEAD], half = head / 2;
    const float *frequency = weight_row(&c->weight[FREQUENCIES], 0);
    FOR_EACH_ROW(c, s, r) {
        float cosine[half], sine[half];
        for (int64_t i = 0; i < half; i++) {
            const float angle = (float)(c->past + r) * frequency[i];
            cosine[i] = cosf(angle);
            sine[i] = sinf(angle);
        }
        for (int k = Q; k <= K; k++)
            for (int64_t at = 0; at < c->in[k].width; at += head)
                rotate(row_of(&c->in[k], s, r) + at, row_of(&c->out[k], s, r) + at, cosine, sine,
                       half);
    }
    return STATUS_OK;
}

static const pointwise_t rope = {
    .name = "rope",
    .summary = "queries and keys, rotated by position in one pass",
    .inputs = {"q", "k"},
    .weights = {"=frequencies"},
    .numbers = {"theta", "head", "factor=1", "low=1", "high=4", "original=8192"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
    .table = table,
};
REGISTER_POINTWISE(rope)

static const pointwise_kernel_t cpu = {"rope", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
