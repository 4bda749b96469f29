/*
 * monarch/unfused, as the original code: batched matmul, permute, batched matmul, permute.
 *   T[l][n][(k, s)] = X_l V_l      T'[k][n][(l, s)]      Y[k][n][j] = T'_k U_k      y[n][j][k]
 */
#include <string.h>

#include "kernels/cpu_blas.h"
#include "kernels/pack.h"

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = 4.0 * (double)p->blocks * (double)p->tokens * (double)p->rank;
    bytes[2] = 4.0 * (double)p->tokens * (double)p->out_features;
    return 3;
}

/* V[l][k][p][r'] to [l][p][k][r'], so that stage 1 is one product for each l. */
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const int64_t b = p->blocks;
    const int64_t dims[2][MAX_DIMS] = {{b, b, p->in_features / b, p->rank / b},
                                       {b, b, p->rank / b, p->out_features / b}};
    const int order[2][MAX_DIMS] = {{0, 2, 1, 3}, {0, 1, 2, 3}};
    return pack_transpose(p->dtype, dims[tensor - 1], order[tensor - 1], src, dst);
}

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    return sizeof(float) *
           (size_t)(2 * p->blocks * p->tokens * p->rank + p->tokens * p->out_features);
}

static void swap_blocks(int64_t b, int64_t tokens, int64_t rank_block, const float *t, float *out) {
    const int64_t rank = b * rank_block;
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t k = 0; k < b; k++)
        for (int64_t i = 0; i < tokens; i++)
            for (int64_t l = 0; l < b; l++)
                memcpy(out + (k * tokens + i) * rank + l * rank_block,
                       t + (l * tokens + i) * rank + k * rank_block,
                       (size_t)rank_block * sizeof *t);
}

/* y[n][j][k] = in[k][n][j]; a run of j at a time, so that each line of y is written whole. */
static void interleave(int64_t b, int64_t tokens, int64_t q, const float *in, float *y) {
    enum { RUN = 16 };
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t i = 0; i < tokens; i++)
        for (int64_t start = 0; start < q; start += RUN) {
            const int64_t end = start + RUN < q ? start + RUN : q;
            for (int64_t k = 0; k < b; k++)
                for (int64_t j = start; j < end; j++)
                    y[(i * q + j) * b + k] = in[(k * tokens + i) * q + j];
        }
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)stream;
    const int64_t b = p->blocks, n = p->tokens, r = p->rank, pin = p->in_features / b,
                  q = p->out_features / b;
    float *t = workspace, *swapped = t + b * n * r, *y = swapped + b * n * r;
    cpu_bmm(&(cpu_bmm_t){.count = b,
                         .m = n,
                         .n = r,
                         .k = pin,
                         .a = tensors[0],
                         .lda = p->in_features,
                         .a_stride = pin,
                         .b = tensors[1],
                         .ldb = r,
                         .b_stride = pin * r,
                         .c = t,
                         .ldc = r,
                         .c_stride = n * r});
    swap_blocks(b, n, r / b, t, swapped);
    cpu_bmm(&(cpu_bmm_t){.count = b,
                         .m = n,
                         .n = q,
                         .k = r,
                         .a = swapped,
                         .lda = r,
                         .a_stride = n * r,
                         .b = tensors[2],
                         .ldb = q,
                         .b_stride = r * q,
                         .c = y,
                         .ldc = q,
                         .c_stride = n * q});
    interleave(b, n, q, y, tensors[3]);
    return STATUS_OK;
}

static const variant_t unfused = {
    .structure = "monarch",
    .name = "unfused",
    .summary = "batched sgemm, permute, batched sgemm, permute; output order (j, k)",
    .device = DEVICE_CPU,
    .baseline = true,
    .output_order = ORDER_JK,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .supports = cpu_blas_supports,
    .intermediates = intermediates,
    .pack = pack,
    .workspace = workspace,
    .launch = launch,
};
REGISTER_VARIANT(unfused)
