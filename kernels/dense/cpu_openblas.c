/* dense/openblas: one sgemm (sgemv for one token) on all cores. */
#include "kernels/cpu_blas.h"

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace, (void)stream;
    cpu_gemm(true, p->tokens, p->out_features, p->in_features, tensors[0], p->in_features,
             tensors[1], p->in_features, tensors[2], p->out_features);
    return STATUS_OK;
}

static const variant_t openblas = {
    .structure = "dense",
    .name = "openblas",
    .summary = "one OpenBLAS sgemm on all cores; output order (k, j)",
    .device = DEVICE_CPU,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_FP32),
    .supports = cpu_blas_supports,
    .launch = launch,
};
REGISTER_VARIANT(openblas)
