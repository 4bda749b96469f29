/*
 * monarch/fused: for each output block k and tile of tokens, T = X_l V_lk of all l stays in the
 * core's L2 and goes straight into Y_k = T U_k. Blocks k are independent, so cores share nothing.
 * Too few (k, tile) pairs for the team: all cores share each stage of one tile instead.
 */
#include <omp.h>

#include "kernels/cpu_panels.h"
#include "kernels/cpu_team.h"

typedef struct {
    int64_t b, n, p, q, rb;        /* rb is r' */
    int64_t width, v_size, u_size; /* floats of packed V_lk and U_k */
    int64_t tile, group, ldt;      /* tokens, blocks l and row stride of a T */
    bool shared;                   /* cores share each tile */
    int threads;
} plan_t;

static plan_t make_plan(const problem_t *problem) {
    const cpu_team_t team = cpu_team();
    const int64_t b = problem->blocks, rows = cpu_panel_rows();
    plan_t x = {.b = b,
                .n = problem->tokens,
                .p = problem->in_features / b,
                .q = problem->out_features / b,
                .rb = problem->rank / b,
                .width = cpu_panel_width(),
                .threads = team.threads};
    const int64_t tiles = ceil_div(x.n, TILE_TOKENS);
    x.v_size = cpu_panels_count(x.p, x.rb);
    x.u_size = cpu_panels_count(problem->rank, x.q);
    x.tile = min_of(x.n, round_up(ceil_div(x.n, tiles), rows));
    x.shared = !cpu_team_balanced(tiles * b);
    x.group = team.private_bytes / 2 / (int64_t)sizeof(float) / (x.tile * x.rb);
    x.group = x.shared || x.group > b ? b : x.group < 1 ? 1 : x.group;
    x.group = ceil_div(b, ceil_div(b, x.group));
    /* 16 more: rows a power of two apart would fall into the same cache sets. */
    x.ldt = round_up(x.group * x.rb, 16) + 16;
    return x;
}

/* V[l][k][p][r'] to panels of V_lk in order [k][l]; U[k][l][r'][q] to panels of U_k[(l, r')][q]. */
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const plan_t x = make_plan(p);
    const float *from = src;
    if (tensor == 1) {
        for (int64_t k = 0; dst && k < x.b; k++)
            for (int64_t l = 0; l < x.b; l++)
                cpu_panels_pack(x.p, x.rb, from + (l * x.b + k) * x.p * x.rb, x.rb,
                                (float *)dst + (k * x.b + l) * x.v_size);
        return x.b * x.b * x.v_size;
    }
    for (int64_t k = 0; dst && k < x.b; k++)
        cpu_panels_pack(p->rank, x.q, from + k * p->rank * x.q, x.q, (float *)dst + k * x.u_size);
    return x.b * x.u_size;
}

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    const plan_t x = make_plan(p);
    return sizeof(float) * (size_t)((x.shared ? x.b : x.threads) * x.tile * x.ldt);
}

static void block(const plan_t *x, int64_t k, int64_t rows, const float *in, const float *v,
                  const float *u, float *t, float *y) {
    for (int64_t first = 0; first < x->b; first += x->group) {
        const int64_t len = min_of(x->group, x->b - first);
        for (int64_t l = 0; l < len; l++)
            cpu_panels_gemm(rows, x->rb, x->p, in + (first + l) * x->p, x->b * x->p,
                            v + (k * x->b + first + l) * x->v_size, x->p * x->width, false,
                            t + l * x->rb, x->ldt);
        cpu_panels_gemm(rows, x->q, len * x->rb, t, x->ldt,
                        u + k * x->u_size + first * x->rb * x->width, x->b * x->rb * x->width,
                        first > 0, y + k * x->q, x->b * x->q);
    }
}

/* k outermost: a core keeps the weights of a block while it goes through the tokens. */
static void launch_tiles(const plan_t *x, const float *in, const float *v, const float *u,
                         float *workspace, float *y) {
#pragma omp parallel num_threads(x->threads)
    {
        float *t = workspace + omp_get_thread_num() * x->tile * x->ldt;
#pragma omp for collapse(2) schedule(static)
        for (int64_t k = 0; k < x->b; k++)
            for (int64_t i = 0; i < x->n; i += x->tile)
                block(x, k, min_of(x->tile, x->n - i), in + i * x->b * x->p, v, u, t,
                      y + i * x->b * x->q);
    }
}

static void launch_shared(const plan_t *x, const float *in, const float *v, const float *u,
                          float *t, float *y) {
    const int64_t b = x->b, w = x->width;
#pragma omp parallel num_threads(x->threads)
    for (int64_t i = 0; i < x->n; i += x->tile) {
        const int64_t rows = min_of(x->tile, x->n - i);
#pragma omp for collapse(3) schedule(static)
        for (int64_t k = 0; k < b; k++)
            for (int64_t l = 0; l < b; l++)
                for (int64_t s = 0; s < x->rb; s += w)
                    cpu_panels_gemm(rows, min_of(w, x->rb - s), x->p, in + (i * b + l) * x->p,
                                    b * x->p, v + (k * b + l) * x->v_size + s * x->p, x->p * w,
                                    false, t + k * x->tile * x->ldt + l * x->rb + s, x->ldt);
#pragma omp for collapse(2) schedule(static)
        for (int64_t k = 0; k < b; k++)
            for (int64_t j = 0; j < x->q; j += w)
                cpu_panels_gemm(rows, min_of(w, x->q - j), b * x->rb, t + k * x->tile * x->ldt,
                                x->ldt, u + k * x->u_size + j * b * x->rb, b * x->rb * w, false,
                                y + (i * b + k) * x->q + j, b * x->q);
    }
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)stream;
    const plan_t x = make_plan(p);
    (x.shared ? launch_shared : launch_tiles)(&x, tensors[0], tensors[1], tensors[2], workspace,
                                              tensors[3]);
    return STATUS_OK;
}

static const variant_t fused = {
    .structure = "monarch",
    .name = "fused",
    .summary = "one pass, T kept in the core's cache, weights in panels; output order (k, j)",
    .device = DEVICE_CPU,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .pack = pack,
    .workspace = workspace,
    .launch = launch,
};
REGISTER_VARIANT(fused)
