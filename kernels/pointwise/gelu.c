/*
 * gelu: v = x + bias, y = v/2 (1 + erf(v / sqrt 2)), or with tanh=1 its approximation
 * v/2 (1 + tanh(sqrt(2/pi) (v + 0.044715 v^3))). Hendrycks, Gimpel, arXiv 1606.08415.
 */
#include <math.h>

#include "kernels/pointwise/cpu_rows.h"

enum { X };
enum { BIAS };
enum { TANH };

static bool shape(call_t *c, char *why, size_t why_len) {
    (void)why, (void)why_len;
    shape_output(c, 0, c->in[X].rows, c->in[X].width);
    shape_weight(c, BIAS, 1, c->in[X].width);
    return true;
}

static double flops(const call_t *c) {
    return call_elements(c) * ((c->number[TANH] != 0 ? 9 : 5) + c->weight[BIAS].given);
}

/* v/2 (1 + tanh u) = v sigmoid(2u) */
static inline float gelu_tanh(float v) {
    return v * fast_sigmoid(1.5957691216f * (v + 0.044715f * v * v * v));
}

/* erf to 1.5e-7 by 7.1.26 of Abramowitz and Stegun, "Handbook of Mathematical Functions". */
static inline float gelu_erf(float v) {
    const float z = fabsf(v) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
    const float tail =
        ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t +
         0.254829592f) *
        t * fast_exp(-z * z);
    /* 1 + erf(v / sqrt 2), without cancellation where it is nearly 0 */
    return 0.5f * v * (v < 0 ? tail : 2.0f - tail);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    const int64_t width = c->in[X].width;
    const float *bias = weight_row(&c->weight[BIAS], 0);
    const bool approximate = c->number[TANH] != 0;
    FOR_EACH_ROW(c, s, r) {
        const float *x = row_of(&c->in[X], s, r);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < width; i++) y[i] = bias ? x[i] + bias[i] : x[i];
        if (approximate)
            for (int64_t i = 0; i < width; i++) y[i] = gelu_tanh(y[i]);
        else
            for (int64_t i = 0; i < width; i++) y[i] = gelu_erf(y[i]);
    }
    return STATUS_OK;
}

static const pointwise_t gelu = {
    .name = "gelu",
    .summary = "y = GELU(x + bias), exact or (tanh=1) the tanh form",
    .inputs = {"x"},
    .weights = {"?bias"},
    .numbers = {"tanh=0"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(gelu)

static const pointwise_kernel_t cpu = {"gelu", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
