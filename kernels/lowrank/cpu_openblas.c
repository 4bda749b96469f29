/* lowrank/openblas: T = X V, then Y = T U, each one sgemm on all cores. */
#include "kernels/cpu_blas.h"

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = 4.0 * (double)p->tokens * (double)p->rank;
    return 1;
}

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    return sizeof(float) * (size_t)(p->tokens * p->rank);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)stream;
    cpu_gemm(false, p->tokens, p->rank, p->in_features, tensors[0], p->in_features, tensors[1],
             p->rank, workspace, p->rank);
    cpu_gemm(false, p->tokens, p->out_features, p->rank, workspace, p->rank, tensors[2],
             p->out_features, tensors[3], p->out_features);
    return STATUS_OK;
}

static const variant_t openblas = {
    .structure = "lowrank",
    .name = "openblas",
    .summary = "two OpenBLAS sgemms on all cores; output order (k, j)",
    .device = DEVICE_CPU,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .supports = cpu_blas_supports,
    .intermediates = intermediates,
    .workspace = workspace,
    .launch = launch,
};
REGISTER_VARIANT(openblas)
