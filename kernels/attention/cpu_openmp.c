/*
 * attention/openmp: for each head and tile of queries, keys in blocks that stay in a core's cache,
 * with a running maximum and sum (online softmax): no matrix of all scores.
 */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/attention/attention.h"
#include "kernels/cpu_panels.h"
#include "kernels/cpu_team.h"

enum { QUERIES = 64, KEYS = 192 };

/* Scratch of a thread, in floats. */
typedef struct {
    int64_t d, queries, panels; /* panels: of K^T or V of a block */
} plan_t;

typedef struct {
    float *q, *keys, *values, *scores, *out, *largest, *sum;
} scratch_t;

static plan_t make_plan(const problem_t *p) {
    plan_t x = {.d = attention_head_dim(p), .queries = min_of(QUERIES, p->tokens)};
    const int64_t keys = cpu_panels_count(x.d, KEYS), values = cpu_panels_count(KEYS, x.d);
    x.panels = keys > values ? keys : values;
    return x;
}

static int64_t scratch_floats(const plan_t *x) {
    return round_up(2 * x->queries * x->d + 2 * x->panels + x->queries * KEYS + 2 * x->queries, 16);
}

static scratch_t scratch_of(const plan_t *x, float *at) {
    scratch_t s = {.keys = at};
    s.values = s.keys + x->panels;
    s.q = s.values + x->panels;
    s.out = s.q + x->queries * x->d;
    s.scores = s.out + x->queries * x->d;
    s.largest = s.scores + x->queries * KEYS;
    s.sum = s.largest + x->queries;
    return s;
}

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    const plan_t x = make_plan(p);
    return sizeof(float) * (size_t)(cpu_team().threads * scratch_floats(&x));
}

/* K's rows to panels of K^T; columns past `keys` are zero. */
static void pack_transposed(int64_t keys, int64_t d, const float *k, int64_t stride, float *to) {
    const int64_t width = cpu_panel_width();
    for (int64_t first = 0; first < keys; first += width, to += d * width)
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < width; j++)
                to[i * width + j] = first + j < keys ? k[(first + j) * stride + i] : 0;
}

/* 2^x for x <= 0, to a relative 2^-23: the integer part by its bits, the rest by a polynomial
 * (Taylor's series of 2^f; |f| <= 1/2). A loop of it is a loop of vectors. */
static inline float exp2_of(float x) {
    const float shift = 0x1.8p23f;
    x = x < -126 ? -126 : x;
    const float whole = x + shift, f = x - (whole - shift);
    uint32_t bits;
    memcpy(&bits, &whole, sizeof bits);
    bits = (bits + 127) << 23;
    float power, series = 1.5252734e-5f;
    memcpy(&power, &bits, sizeof power);
    series = series * f + 1.5403530e-4f;
    series = series * f + 1.3333558e-3f;
    series = series * f + 9.6181291e-3f;
    series = series * f + 5.5504109e-2f;
    series = series * f + 2.4022651e-1f;
    series = series * f + 6.9314718e-1f;
    return (series * f + 1) * power;
}

/* One row of scores to weights, of which the first `seen` of `keys` count. */
static void soften(int64_t seen, int64_t keys, int64_t d, float *scores, float *largest, float *sum,
                   float *out) {
    float top = *largest, total = 0;
#pragma omp simd reduction(max : top)
    for (int64_t j = 0; j < seen; j++) top = scores[j] > top ? scores[j] : top;
    const float before = exp2_of(*largest - top);
    for (int64_t i = 0; top > *largest && i < d; i++) out[i] *= before;
#pragma omp simd reduction(+ : total)
    for (int64_t j = 0; j < seen; j++) {
        const float weight = exp2_of(scores[j] - top);
        scores[j] = weight;
        total += weight;
    }
    for (int64_t j = seen > 0 ? seen : 0; j < keys; j++) scores[j] = 0;
    *sum = *sum * before + total;
    *largest = top;
}

typedef struct {
    const float *q, *k, *v;
    float *o;
    int64_t q_stride, kv_stride, o_stride;
    int64_t rows, keys; /* queries, and the keys that the first of them sees */
    bool causal;
} tile_t;

static void block(const tile_t *t, const plan_t *x, const scratch_t *s, int64_t first,
                  int64_t keys) {
    const int64_t d = x->d, width = cpu_panel_width();
    pack_transposed(keys, d, t->k + first * t->kv_stride, t->kv_stride, s->keys);
    cpu_panels_pack(keys, d, t->v + first * t->kv_stride, t->kv_stride, s->values);
    cpu_panels_gemm(t->rows, keys, d, s->q, d, s->keys, d * width, false, s->scores, KEYS);
    for (int64_t i = 0; i < t->rows; i++) {
        const int64_t seen = t->causal ? min_of(keys, t->keys + i - first) : keys;
        soften(seen, keys, d, s->scores + i * KEYS, &s->largest[i], &s->sum[i], s->out + i * d);
    }
    cpu_panels_gemm(t->rows, d, keys, s->scores, KEYS, s->values, keys * width, true, s->out, d);
}

static void tile(const tile_t *t, const plan_t *x, const scratch_t *s) {
    const int64_t d = x->d, all = t->causal ? t->keys + t->rows - 1 : t->keys;
    const float scale = 1.44269504F / sqrtf((float)d); /* log2(e): exp(x) is 2^(x log2(e)) */
    for (int64_t i = 0; i < t->rows; i++) {
        for (int64_t j = 0; j < d; j++) s->q[i * d + j] = t->q[i * t->q_stride + j] * scale;
        s->largest[i] = -1e30F;
        s->sum[i] = 0;
    }
    memset(s->out, 0, sizeof(float) * (size_t)(t->rows * d));
    for (int64_t first = 0; first < all; first += KEYS)
        block(t, x, s, first, min_of(KEYS, all - first));
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < d; j++) t->o[i * t->o_stride + j] = s->out[i * d + j] / s->sum[i];
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)stream;
    const plan_t x = make_plan(p);
    const int64_t group = p->heads / p->kv_heads, q_stride = attention_q_stride(p);
    const int64_t tiles = ceil_div(p->tokens, x.queries);
#pragma omp parallel num_threads(cpu_team().threads)
    {
        const scratch_t s =
            scratch_of(&x, (float *)workspace + omp_get_thread_num() * scratch_floats(&x));
#pragma omp for collapse(3) schedule(dynamic, 1)
        for (int64_t b = 0; b < p->batch; b++)
            for (int64_t h = 0; h < p->heads; h++)
                for (int64_t i = 0; i < tiles; i++) {
                    const int64_t token = (tiles - 1 - i) * x.queries; /* the longest first */
                    const int64_t row = b * p->tokens + token,
                                  kv = b * attention_kv_batch_stride(p) + h / group * x.d;
                    const tile_t t = {.q = (const float *)tensors[0] + row * q_stride + h * x.d,
                                      .k = (const float *)tensors[1] + kv,
                                      .v = (const float *)tensors[2] + kv,
                                      .o = (float *)tensors[3] + row * p->out_features + h * x.d,
                                      .q_stride = q_stride,
                                      .kv_stride = attention_kv_stride(p),
                                      .o_stride = p->out_features,
                                      .rows = min_of(x.queries, p->tokens - token),
                                      .keys = attention_keys(p, token),
                                      .causal = p->causal};
                    tile(&t, &x, &s);
                }
    }
    return STATUS_OK;
}

static const variant_t openmp = {
    .structure = "attention",
    .name = "openmp",
    .summary = "tiles of queries and keys in a core's cache, online softmax",
    .device = DEVICE_CPU,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .workspace = workspace,
    .launch = launch,
};
REGISTER_VARIANT(openmp)
