/* lowrank: Y = (X V) U with V[in][r], U[r][out]. */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/operator.h"

static bool validate(const problem_t *p, char *why, size_t why_len) {
    if (p->rank >= 1) return true;
    snprintf(why, why_len, "low-rank needs a rank of at least 1");
    return false;
}

static int tensors(const problem_t *p, tensor_t out[MAX_TENSORS]) {
    out[0] = (tensor_t){"X", TENSOR_INPUT, {p->tokens, p->in_features, 1, 1}};
    out[1] = (tensor_t){"V", TENSOR_WEIGHT, {p->in_features, p->rank, 1, 1}};
    out[2] = (tensor_t){"U", TENSOR_WEIGHT, {p->rank, p->out_features, 1, 1}};
    out[3] = (tensor_t){"Y", TENSOR_OUTPUT, {p->tokens, p->out_features, 1, 1}};
    return 4;
}

static double flops(const problem_t *p) {
    return 2.0 * (double)p->tokens * (double)p->rank * (double)(p->in_features + p->out_features);
}

static void reference(const problem_t *p, const float *const *in, double *out_row) {
    const float *x = in[0], *v = in[1], *u = in[2];
    double *t = calloc((size_t)p->rank, sizeof *t);
    for (int64_t j = 0; j < p->out_features; j++) out_row[j] = 0;
    for (int64_t i = 0; t && i < p->in_features; i++)
        for (int64_t s = 0; s < p->rank; s++) t[s] += (double)x[i] * (double)v[i * p->rank + s];
    for (int64_t s = 0; t && s < p->rank; s++)
        for (int64_t j = 0; j < p->out_features; j++)
            out_row[j] += t[s] * (double)u[s * p->out_features + j];
    free(t);
}

static const structure_t lowrank = {
    .name = "lowrank",
    .summary = "Y = (X V) U, V[in][r], U[r][out]",
    .stages = 2,
    .validate = validate,
    .tensors = tensors,
    .flops = flops,
    .reference = reference,
};
REGISTER_STRUCTURE(lowrank)
