/*
 * blast: Y_k = (sum_l (X_l V_l) * s_lk) U_k, * elementwise over the rank.
 * V[l][p][r], S[l][k][r], U[k][r][q] with p = in/b, q = out/b.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/operator.h"

static bool validate(const problem_t *p, char *why, size_t why_len) {
    if (p->blocks < 1 || p->rank < 1)
        snprintf(why, why_len, "blast needs blocks and rank of at least 1");
    else if (p->in_features % p->blocks)
        snprintf(why, why_len, "blocks %lld does not divide in_features %lld", (long long)p->blocks,
                 (long long)p->in_features);
    else if (p->out_features % p->blocks)
        snprintf(why, why_len, "blocks %lld does not divide out_features %lld",
                 (long long)p->blocks, (long long)p->out_features);
    else
        return true;
    return false;
}

static int tensors(const problem_t *p, tensor_t out[MAX_TENSORS]) {
    const int64_t b = p->blocks, r = p->rank;
    out[0] = (tensor_t){"X", TENSOR_INPUT, {p->tokens, p->in_features, 1, 1}};
    out[1] = (tensor_t){"V", TENSOR_WEIGHT, {b, p->in_features / b, r, 1}};
    out[2] = (tensor_t){"S", TENSOR_WEIGHT, {b, b, r, 1}};
    out[3] = (tensor_t){"U", TENSOR_WEIGHT, {b, r, p->out_features / b, 1}};
    out[4] = (tensor_t){"Y", TENSOR_OUTPUT, {p->tokens, p->out_features, 1, 1}};
    return 5;
}

static double flops(const problem_t *p) {
    const double b = (double)p->blocks;
    return 2.0 * (double)p->tokens * (double)p->rank *
           ((double)p->in_features + (double)p->out_features + b * b);
}

static void reference(const problem_t *p, const float *const *in, double *out_row) {
    const int64_t b = p->blocks, r = p->rank, pin = p->in_features / b, q = p->out_features / b;
    const float *v = in[1], *s = in[2], *u = in[3];
    double *y = calloc((size_t)(b * r), sizeof *y);
    for (int64_t j = 0; j < p->out_features; j++) out_row[j] = 0;
    for (int64_t i = 0; y && i < p->in_features; i++)
        for (int64_t t = 0; t < r; t++)
            y[i / pin * r + t] += (double)in[0][i] * (double)v[i * r + t];
    for (int64_t k = 0; y && k < b; k++)
        for (int64_t t = 0; t < r; t++) {
            double z = 0;
            for (int64_t l = 0; l < b; l++) z += y[l * r + t] * (double)s[(l * b + k) * r + t];
            for (int64_t j = 0; j < q; j++)
                out_row[k * q + j] += z * (double)u[(k * r + t) * q + j];
        }
    free(y);
}

static const structure_t blast = {
    .name = "blast",
    .summary = "Y_k = (sum_l (X_l V_l) * s_lk) U_k, V[l][p][r], S[l][k][r], U[k][r][q]",
    .stages = 3,
    .validate = validate,
    .tensors = tensors,
    .flops = flops,
    .reference = reference,
};
REGISTER_STRUCTURE(blast)
