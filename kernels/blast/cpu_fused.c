/*
 * blast/fused: everything before U is elementwise over the rank, so each core takes a tile of
 * tokens through a slice of the rank at a time: Y_l = X_l V_l for all l, then for each k
 * Z = sum_l Y_l * s_lk and out_k += Z U_k. The slice is as wide as the core's L2 allows.
 * Too few tokens for the team: all cores share each stage of one tile over the whole rank.
 */
#include <omp.h>

#include "kernels/cpu_panels.h"
#include "kernels/cpu_team.h"

typedef struct {
    int64_t b, n, p, q, r;
    int64_t width, v_size, u_size; /* floats of packed V_l and U_k */
    int64_t tile, slice, ld;       /* tokens, ranks and row stride of a Y_l or Z */
    bool shared;                   /* cores share each tile */
    int threads;
} plan_t;

static plan_t make_plan(const problem_t *problem) {
    const cpu_team_t team = cpu_team();
    const int64_t b = problem->blocks, rows = cpu_panel_rows();
    const int64_t budget = team.private_bytes / 2 / (int64_t)sizeof(float) / (b + 1);
    plan_t x = {.b = b,
                .n = problem->tokens,
                .p = problem->in_features / b,
                .q = problem->out_features / b,
                .r = problem->rank,
                .width = cpu_panel_width(),
                .slice = problem->rank,
                .threads = team.threads};
    x.v_size = cpu_panels_count(x.p, x.r);
    x.u_size = cpu_panels_count(x.r, x.q);
    x.shared = x.n < x.threads * TILE_TOKENS / 2;
    int64_t tiles = ceil_div(x.n, TILE_TOKENS);
    if (!x.shared) tiles = round_up(tiles, x.threads);
    x.tile = round_up(ceil_div(x.n, tiles), rows);
    if (!x.shared) {
        while (x.tile > rows && x.tile * x.width > budget) x.tile = round_up(x.tile / 2, rows);
        const int64_t widest = budget / x.tile > x.width ? budget / x.tile : x.width;
        const int64_t slices = ceil_div(x.r, widest / x.width * x.width);
        x.slice = round_up(ceil_div(x.r, slices), x.width);
    }
    x.tile = min_of(x.tile, x.n);
    /* 16 more: rows a power of two apart would fall into the same cache sets. */
    x.ld = round_up(x.slice, 16) + 16;
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
    const int64_t matrices = x.shared ? 2 * x.b : x.threads * (x.b + 1);
    return sizeof(float) * (size_t)(matrices * x.tile * x.ld);
}

typedef struct {
    const float *in, *v, *s, *u;
    float *out;
} tensors_t;

static void slice_of_tile(const plan_t *x, const tensors_t *a, int64_t i, int64_t first,
                          float *scratch) {
    const int64_t b = x->b, rows = min_of(x->tile, x->n - i), len = min_of(x->slice, x->r - first),
                  size = x->tile * x->ld;
    float *z = scratch + b * size;
    for (int64_t l = 0; l < b; l++)
        cpu_panels_gemm(rows, len, x->p, a->in + (i * b + l) * x->p, b * x->p,
                        a->v + l * x->v_size + first * x->p, x->p * x->width, false,
                        scratch + l * size, x->ld);
    for (int64_t k = 0; k < b; k++) {
        cpu_scale_sum(rows, len, b, scratch, size, x->ld, a->s + k * x->r + first, b * x->r, z,
                      x->ld);
        cpu_panels_gemm(rows, x->q, len, z, x->ld, a->u + k * x->u_size + first * x->width,
                        x->r * x->width, first > 0, a->out + (i * b + k) * x->q, b * x->q);
    }
}

static void launch_tiles(const plan_t *x, const tensors_t *a, float *workspace) {
#pragma omp parallel num_threads(x->threads)
    {
        float *scratch = workspace + omp_get_thread_num() * (x->b + 1) * x->tile * x->ld;
#pragma omp for schedule(static)
        for (int64_t i = 0; i < x->n; i += x->tile)
            for (int64_t first = 0; first < x->r; first += x->slice)
                slice_of_tile(x, a, i, first, scratch);
    }
}

static void launch_shared(const plan_t *x, const tensors_t *a, float *y) {
    enum { RANKS = 64 };
    const int64_t b = x->b, r = x->r, w = x->width, size = x->tile * x->ld;
    float *z = y + b * size;
#pragma omp parallel num_threads(x->threads)
    for (int64_t i = 0; i < x->n; i += x->tile) {
        const int64_t rows = min_of(x->tile, x->n - i);
#pragma omp for collapse(2) schedule(static)
        for (int64_t l = 0; l < b; l++)
            for (int64_t t = 0; t < r; t += w)
                cpu_panels_gemm(rows, min_of(w, r - t), x->p, a->in + (i * b + l) * x->p, b * x->p,
                                a->v + l * x->v_size + t * x->p, x->p * w, false, y + l * size + t,
                                x->ld);
#pragma omp for collapse(2) schedule(static)
        for (int64_t k = 0; k < b; k++)
            for (int64_t t = 0; t < r; t += RANKS)
                cpu_scale_sum(rows, min_of(RANKS, r - t), b, y + t, size, x->ld, a->s + k * r + t,
                              b * r, z + k * size + t, x->ld);
#pragma omp for collapse(2) schedule(static)
        for (int64_t k = 0; k < b; k++)
            for (int64_t j = 0; j < x->q; j += w)
                cpu_panels_gemm(rows, min_of(w, x->q - j), r, z + k * size, x->ld,
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
