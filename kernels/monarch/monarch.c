/*
 * monarch: Y_k = sum_l (X_l V_lk) U_kl over b x b blocks, l input and k output block.
 * V[l][k][p][r'], U[k][l][r'][q] with p = in/b, q = out/b, r' = r/b.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/operator.h"

static bool validate(const problem_t *p, char *why, size_t why_len) {
    if (p->blocks < 1 || p->rank < 1)
        snprintf(why, why_len, "monarch needs blocks and rank of at least 1");
    else if (p->in_features % p->blocks)
        snprintf(why, why_len, "blocks %lld does not divide in_features %lld", (long long)p->blocks,
                 (long long)p->in_features);
    else if (p->out_features % p->blocks)
        snprintf(why, why_len, "blocks %lld does not divide out_features %lld",
                 (long long)p->blocks, (long long)p->out_features);
    else if (p->rank % p->blocks)
        snprintf(why, why_len, "blocks %lld does not divide rank %lld", (long long)p->blocks,
                 (long long)p->rank);
    else
        return true;
    return false;
}

static int tensors(const problem_t *p, tensor_t out[MAX_TENSORS]) {
    const int64_t b = p->blocks, rank_block = p->rank / b;
    out[0] = (tensor_t){"X", TENSOR_INPUT, {p->tokens, p->in_features, 1, 1}};
    out[1] = (tensor_t){"V", TENSOR_WEIGHT, {b, b, p->in_features / b, rank_block}};
    out[2] = (tensor_t){"U", TENSOR_WEIGHT, {b, b, rank_block, p->out_features / b}};
    out[3] = (tensor_t){"Y", TENSOR_OUTPUT, {p->tokens, p->out_features, 1, 1}};
    return 4;
}

static double flops(const problem_t *p) {
    return 2.0 * (double)p->tokens * (double)p->rank * (double)(p->in_features + p->out_features);
}

static void reference(const problem_t *p, const float *const *in, double *out_row) {
    const int64_t b = p->blocks, pin = p->in_features / b, q = p->out_features / b,
                  rb = p->rank / b;
    double *t = malloc((size_t)rb * sizeof *t);
    for (int64_t j = 0; j < p->out_features; j++) out_row[j] = 0;
    for (int64_t k = 0; t && k < b; k++)
        for (int64_t l = 0; l < b; l++) {
            const float *x = in[0] + l * pin, *v = in[1] + (l * b + k) * pin * rb;
            const float *u = in[2] + (k * b + l) * rb * q;
            for (int64_t s = 0; s < rb; s++) t[s] = 0;
            for (int64_t i = 0; i < pin; i++)
                for (int64_t s = 0; s < rb; s++) t[s] += (double)x[i] * (double)v[i * rb + s];
            for (int64_t s = 0; s < rb; s++)
                for (int64_t j = 0; j < q; j++) out_row[k * q + j] += t[s] * (double)u[s * q + j];
        }
    free(t);
}

static const structure_t monarch = {
    .name = "monarch",
    .summary = "Y_k = sum_l (X_l V_lk) U_kl, V[l][k][p][r'], U[k][l][r'][q]",
    .stages = 2,
    .validate = validate,
    .tensors = tensors,
    .flops = flops,
    .reference = reference,
};
REGISTER_STRUCTURE(monarch)
