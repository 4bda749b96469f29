/* dense: Y = X W. W is [out][in], as frameworks keep it. */
#include <stdio.h>

#include "kernels/operator.h"

static bool validate(const problem_t *p, char *why, size_t why_len) {
    (void)p, (void)why, (void)why_len;
    return true;
}

static int tensors(const problem_t *p, tensor_t out[MAX_TENSORS]) {
    out[0] = (tensor_t){"X", TENSOR_INPUT, {p->tokens, p->in_features, 1, 1}};
    out[1] = (tensor_t){"W", TENSOR_WEIGHT, {p->out_features, p->in_features, 1, 1}};
    out[2] = (tensor_t){"Y", TENSOR_OUTPUT, {p->tokens, p->out_features, 1, 1}};
    return 3;
}

static double flops(const problem_t *p) {
    return 2.0 * (double)p->tokens * (double)p->in_features * (double)p->out_features;
}

static void reference(const problem_t *p, const float *const *in, double *out_row) {
    const float *x = in[0], *w = in[1];
    for (int64_t j = 0; j < p->out_features; j++) {
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < p->in_features; i++)
            sum += (double)x[i] * (double)w[j * p->in_features + i];
        out_row[j] = sum;
    }
}

static const structure_t dense = {
    .name = "dense",
    .summary = "Y = X W, W[out][in]: the uncompressed layer",
    .stages = 1,
    .validate = validate,
    .tensors = tensors,
    .flops = flops,
    .reference = reference,
};
REGISTER_STRUCTURE(dense)
