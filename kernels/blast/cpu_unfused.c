/*
 * blast/unfused: batched matmul, scale and sum, batched matmul.
 *   Y[l][n][t] = X_l V_l      Z[k][n][t] = sum_l Y[l][n][t] S[l][k][t]      out_k = Z_k U_k
 */
#include "kernels/cpu_blas.h"
#include "kernels/cpu_panels.h"
#include "kernels/cpu_team.h"

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = 4.0 * (double)p->blocks * (double)p->tokens * (double)p->rank;
    return 2;
}

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    return 2 * sizeof(float) * (size_t)(p->blocks * p->tokens * p->rank);
}

/* In tiles of tokens and rank, so that Y is read from memory once for all k. */
static void scale_sum(int64_t b, int64_t tokens, int64_t rank, const float *y, const float *s,
                      float *z) {
    enum { TOKENS = 16, RANK = 128 };
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t i = 0; i < tokens; i += TOKENS)
        for (int64_t t = 0; t < rank; t += RANK)
            cpu_scale_sum(min_of(TOKENS, tokens - i), min_of(RANK, rank - t), b, y + i * rank + t,
                          tokens * rank, rank, s + t, rank, z + i * rank + t, tokens * rank, rank);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)stream;
    const int64_t b = p->blocks, n = p->tokens, r = p->rank, pin = p->in_features / b,
                  q = p->out_features / b;
    float *y = workspace, *z = y + b * n * r;
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
                         .c = y,
                         .ldc = r,
                         .c_stride = n * r});
    scale_sum(b, n, r, y, tensors[2], z);
    cpu_bmm(&(cpu_bmm_t){.count = b,
                         .m = n,
                         .n = q,
                         .k = r,
                         .a = z,
                         .lda = r,
                         .a_stride = n * r,
                         .b = tensors[3],
                         .ldb = q,
                         .b_stride = r * q,
                         .c = tensors[4],
                         .ldc = p->out_features,
                         .c_stride = q});
    return STATUS_OK;
}

static const variant_t unfused = {
    .structure = "blast",
    .name = "unfused",
    .summary = "batched sgemm, scale and sum, batched sgemm; output order (k, j)",
    .device = DEVICE_CPU,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .supports = cpu_blas_supports,
    .intermediates = intermediates,
    .workspace = workspace,
    .launch = launch,
};
REGISTER_VARIANT(unfused)
