/*
 * attention: O = softmax(Q K^T / sqrt(d)) V for each head, d its features; heads share K and V in
 * groups of heads / kv_heads neighbours. Q[batch][tokens][heads][d], K and V
 * [batch][context][kv_heads][d], O[batch][tokens][heads][d].
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/attention/attention.h"

static bool validate(const problem_t *p, char *why, size_t why_len) {
    if (p->heads < 1 || p->kv_heads < 1 || p->batch < 1)
        snprintf(why, why_len, "attention needs heads, kv_heads and batch of at least 1");
    else if (p->in_features != p->out_features)
        snprintf(why, why_len, "in_features and out_features are both heads x head dim");
    else if (p->in_features % p->heads)
        snprintf(why, why_len, "heads %lld does not divide in_features %lld", (long long)p->heads,
                 (long long)p->in_features);
    else if (p->heads % p->kv_heads)
        snprintf(why, why_len, "kv_heads %lld does not divide heads %lld", (long long)p->kv_heads,
                 (long long)p->heads);
    else if (p->context < p->tokens)
        snprintf(why, why_len, "context %lld is less than tokens %lld", (long long)p->context,
                 (long long)p->tokens);
    else
        return true;
    return false;
}

static int tensors(const problem_t *p, tensor_t out[MAX_TENSORS]) {
    const int64_t d = attention_head_dim(p);
    out[0] = (tensor_t){"Q", TENSOR_INPUT, {p->batch, p->tokens, p->heads, d}};
    out[1] = (tensor_t){"K", TENSOR_INPUT, {p->batch, p->context, p->kv_heads, d}};
    out[2] = (tensor_t){"V", TENSOR_INPUT, {p->batch, p->context, p->kv_heads, d}};
    out[3] = (tensor_t){"O", TENSOR_OUTPUT, {p->batch, p->tokens, p->heads, d}};
    return 4;
}

/* Two products over the pairs of query and key that count. */
static double flops(const problem_t *p) {
    const double n = (double)p->tokens, hidden = (double)p->context - n;
    const double pairs = p->causal ? n * hidden + n * (n + 1) / 2 : n * (double)p->context;
    return 4 * (double)p->batch * (double)p->in_features * pairs;
}

/* One head of one query: `keys` rows of K and V, `stride` apart. */
static void reference_head(const float *q, const float *k, const float *v, int64_t keys,
                           int64_t stride, int64_t d, double *weight, double *out) {
    const double scale = 1 / sqrt((double)d);
    double largest = -INFINITY, sum = 0;
    for (int64_t j = 0; j < keys; j++) {
        double s = 0;
#pragma omp simd reduction(+ : s)
        for (int64_t i = 0; i < d; i++) s += (double)q[i] * (double)k[j * stride + i];
        weight[j] = s * scale;
        largest = fmax(largest, weight[j]);
    }
    for (int64_t i = 0; i < d; i++) out[i] = 0;
    for (int64_t j = 0; j < keys; j++) {
        const double w = exp(weight[j] - largest);
        sum += w;
        for (int64_t i = 0; i < d; i++) out[i] += w * (double)v[j * stride + i];
    }
    for (int64_t i = 0; i < d; i++) out[i] /= sum;
}

static void reference_row(const problem_t *p, const float *const *in, int64_t row,
                          double *out_row) {
    const int64_t d = attention_head_dim(p), group = p->heads / p->kv_heads;
    const int64_t batch = row / p->tokens, token = row % p->tokens;
    const int64_t kv = batch * attention_kv_batch_stride(p);
    const float *q = in[0] + row * attention_q_stride(p);
    double *weight = malloc((size_t)p->context * sizeof *weight);
    for (int64_t h = 0; weight && h < p->heads; h++)
        reference_head(q + h * d, in[1] + kv + h / group * d, in[2] + kv + h / group * d,
                       attention_keys(p, token), attention_kv_stride(p), d, weight,
                       out_row + h * d);
    free(weight);
}

static const structure_t attention = {
    .name = "attention",
    .summary = "O = softmax(Q K^T / sqrt(d)) V of each head; causal, grouped-query",
    .stages = 3, /* scores, weights, output */
    .validate = validate,
    .tensors = tensors,
    .flops = flops,
    .reference_row = reference_row,
};
REGISTER_STRUCTURE(attention)
