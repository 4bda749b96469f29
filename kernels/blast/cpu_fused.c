/*
 * blast/fused: everything before U is elementwise over the rank, so each core takes a tile of
 * tokens through slices of the rank: Y_l = X_l V_l for all l stays in its L2, as wide as that
 * allows, and is summed to Z_k for all k at once. Z stays in its share of the last-level cache,
 * and out_k += Z_k U_k over a whole span of slices.
 * Too few tokens for the team: all cores share each stage of one tile over the whole rank.
 */
#include <omp.h>

#include "kernels/cpu_panels.h"
#include "kernels/cpu_team.h"

typedef struct {
    int64_t b, n, p, q, r;
    int64_t width, v_size, u_size; /* floats of packed V_l and U_k */
    int64_t tile;                  /* tokens */
    int64_t slice, y_ld;           /* ranks of Y at a time, and its row stride */
    int64_t span, z_ld;            /* ranks of Z at a time, a multiple of slice */
    bool shared;                   /* cores share each tile */
    int threads;
} plan_t;

/* Ranks, in whole panels, whose `floats` each fit in half of a cache; at least one panel. */
static int64_t ranks_in(int64_t cache_bytes, int64_t floats, int64_t width) {
    const int64_t ranks = cache_bytes / 2 / (int64_t)sizeof(float) / floats / width * width;
    return ranks > width ? ranks : width;
}

static plan_t make_plan(const problem_t *problem) {
    const cpu_team_t team = cpu_team();
    const int64_t b = problem->blocks, r = problem->rank;
    plan_t x = {.b = b,
                .n = problem->tokens,
                .p = problem->in_features / b,
                .q = problem->out_features / b,
                .r = r,
                .width = cpu_panel_width(),
                .slice = r,
                .span = r,
                .threads = team.threads};
    x.v_size = cpu_panels_count(x.p, r);
    x.u_size = cpu_panels_count(r, x.q);
    x.shared = x.n < x.threads * TILE_TOKENS / 2;
    int64_t tiles = ceil_div(x.n, TILE_TOKENS);
    if (!x.shared) tiles = round_up(tiles, x.threads);
    x.tile = min_of(x.n, round_up(ceil_div(x.n, tiles), cpu_panel_rows()));
    if (!x.shared) {
        const int64_t fit = ranks_in(team.private_bytes, b * x.tile, x.width),
                      most = ranks_in(team.shared_bytes / x.threads, b * x.tile, x.width),
                      spans = ceil_div(r, most > fit ? most : fit),
                      slices = ceil_div(ceil_div(r, spans), fit);
        x.slice = round_up(ceil_div(r, spans * slices), x.width);
        x.span = slices * x.slice;
    }
    /* 16 more: rows a power of two apart would fall into the same cache sets. */
    x.y_ld = round_up(x.slice, 16) + 16;
    x.z_ld = round_up(x.span, 16) + 16;
    return x;
}

/* V[l][p][r] and U[k][r][q] to panels; S as it is. */
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const plan_t x = make_plan(p);
    const float *from = src;
    float *to = dst;
    const int64_t k = tensor == 1 ? x.p : x.r, n = tensor == 1 ? x.r : x.q;
    if (tensor == 2) {
        for (int64_t i = 0; to && i < x.b * x.b * x.r; i++) to[i] = from[i];
        return x.b * x.b * x.r;
    }
    for (int64_t l = 0; to && l < x.b; l++)
        cpu_panels_pack(k, n, from + l * k * n, n, to + l * cpu_panels_count(k, n));
    return x.b * cpu_panels_count(k, n);
}

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    const plan_t x = make_plan(p);
    const int64_t copies = x.shared ? 1 : x.threads;
    return sizeof(float) * (size_t)(copies * x.b * x.tile * (x.y_ld + x.z_ld));
}

typedef struct {
    const float *in, *v, *s, *u;
    float *out;
} tensors_t;

/* Z[k][tile][z_ld] of all k for ranks first to first + len. */
static void make_z(const plan_t *x, const tensors_t *a, int64_t i, int64_t first, int64_t len,
                   float *y, float *z) {
    const int64_t b = x->b, rows = min_of(x->tile, x->n - i), y_size = x->tile * x->y_ld;
    for (int64_t l = 0; l < b; l++)
        cpu_panels_gemm(rows, len, x->p, a->in + (i * b + l) * x->p, b * x->p,
                        a->v + l * x->v_size + first * x->p, x->p * x->width, false, y + l * y_size,
                        x->y_ld);
    cpu_scale_sum(rows, len, b, y, y_size, x->y_ld, a->s + first, x->r, z, x->tile * x->z_ld,
                  x->z_ld);
}

static void tile_of_tokens(const plan_t *x, const tensors_t *a, int64_t i, float *y, float *z) {
    const int64_t b = x->b, rows = min_of(x->tile, x->n - i);
    for (int64_t span = 0; span < x->r; span += x->span) {
        const int64_t end = min_of(span + x->span, x->r);
        for (int64_t first = span; first < end; first += x->slice)
            make_z(x, a, i, first, min_of(x->slice, end - first), y, z + first - span);
        for (int64_t k = 0; k < b; k++)
            cpu_panels_gemm(rows, x->q, end - span, z + k * x->tile * x->z_ld, x->z_ld,
                            a->u + k * x->u_size + span * x->width, x->r * x->width, span > 0,
                            a->out + (i * b + k) * x->q, b * x->q);
    }
}

static void launch_tiles(const plan_t *x, const tensors_t *a, float *workspace) {
#pragma omp parallel num_threads(x->threads)
    {
        float *y = workspace + omp_get_thread_num() * x->b * x->tile * (x->y_ld + x->z_ld);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < x->n; i += x->tile)
            tile_of_tokens(x, a, i, y, y + x->b * x->tile * x->y_ld);
    }
}

static void launch_shared(const plan_t *x, const tensors_t *a, float *y) {
    enum { RANKS = 32 };
    const int64_t b = x->b, r = x->r, w = x->width, size = x->tile * x->y_ld;
    float *z = y + b * size; /* the whole rank at once: strides are those of y */
#pragma omp parallel num_threads(x->threads)
    for (int64_t i = 0; i < x->n; i += x->tile) {
        const int64_t rows = min_of(x->tile, x->n - i);
#pragma omp for collapse(2) schedule(static)
        for (int64_t l = 0; l < b; l++)
            for (int64_t t = 0; t < r; t += w)
                cpu_panels_gemm(rows, min_of(w, r - t), x->p, a->in + (i * b + l) * x->p, b * x->p,
                                a->v + l * x->v_size + t * x->p, x->p * w, false, y + l * size + t,
                                x->y_ld);
#pragma omp for schedule(static)
        for (int64_t t = 0; t < r; t += RANKS)
            cpu_scale_sum(rows, min_of(RANKS, r - t), b, y + t, size, x->y_ld, a->s + t, r, z + t,
                          size, x->y_ld);
#pragma omp for collapse(2) schedule(static)
        for (int64_t k = 0; k < b; k++)
            for (int64_t j = 0; j < x->q; j += w)
                cpu_panels_gemm(rows, min_of(w, x->q - j), r, z + k * size, x->y_ld,
                                a->u + k * x->u_size + j * r, r * w, false,
                                a->out + (i * b + k) * x->q + j, b * x->q);
    }
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)stream;
    const plan_t x = make_plan(p);
    const tensors_t a = {tensors[0], tensors[1], tensors[2], tensors[3], tensors[4]};
    (x.shared ? launch_shared : launch_tiles)(&x, &a, workspace);
    return STATUS_OK;
}

static const variant_t fused = {
    .structure = "blast",
    .name = "fused",
    .summary = "one pass, Y and Z kept in the core's cache, weights in panels; output order (k, j)",
    .device = DEVICE_CPU,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .pack = pack,
    .workspace = workspace,
    .launch = launch,
};
REGISTER_VARIANT(fused)
