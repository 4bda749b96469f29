/* dense/cublas: one cuBLASLt GEMM, Y = X W with W[out][in] as frameworks keep it. */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)p, (void)device;
    return CUBLASLT_WORKSPACE_BYTES;
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const cublaslt_gemm_t gemm = {.dtype = p->dtype,
                                  .m = p->tokens,
                                  .n = p->out_features,
                                  .k = p->in_features,
                                  .batch = 1,
                                  .a = {.ld = p->in_features, .stride = 0, .transposed = false},
                                  .b = {.ld = p->in_features, .stride = 0, .transposed = true},
                                  .c = {.ld = p->out_features, .stride = 0, .transposed = false}};
    return cublaslt_gemm(&gemm, tensors[0], tensors[1], tensors[2], workspace, stream);
}

static const variant_t dense_cublas = {
    .structure = "dense",
    .name = "cublas",
    .summary = "one cuBLASLt GEMM, the best of its heuristic's algorithms",
    .device = DEVICE_CUDA,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = NULL,
    .cuda_core_flops = NULL,
    .pack = NULL,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(dense_cublas)
