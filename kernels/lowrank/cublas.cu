/* lowrank/cublas: two cuBLASLt GEMMs, T = X V, Y = T U; both weights packed K-contiguous. */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/pack.h"

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = (double)dtype_size(p->dtype) * (double)p->tokens * (double)p->rank;
    return 1;
}

/* V[in][r] -> V[r][in], U[r][out] -> U[out][r]. */
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const int64_t v_dims[MAX_DIMS] = {1, 1, p->in_features, p->rank};
    const int64_t u_dims[MAX_DIMS] = {1, 1, p->rank, p->out_features};
    static const int order[MAX_DIMS] = {0, 1, 3, 2};
    return pack_transpose(p->dtype, tensor == 1 ? v_dims : u_dims, order, src, dst);
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + buffer_bytes(p, p->tokens * p->rank);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    char *const inner = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    const cublaslt_gemm_t down = {.dtype = p->dtype,
                                  .m = p->tokens,
                                  .n = p->rank,
                                  .k = p->in_features,
                                  .batch = 1,
                                  .a = {.ld = p->in_features, .stride = 0, .transposed = false},
                                  .b = {.ld = p->in_features, .stride = 0, .transposed = true},
                                  .c = {.ld = p->rank, .stride = 0, .transposed = false}};
    const cublaslt_gemm_t up = {.dtype = p->dtype,
                                .m = p->tokens,
                                .n = p->out_features,
                                .k = p->rank,
                                .batch = 1,
                                .a = {.ld = p->rank, .stride = 0, .transposed = false},
                                .b = {.ld = p->rank, .stride = 0, .transposed = true},
                                .c = {.ld = p->out_features, .stride = 0, .transposed = false}};
    const status_t st = cublaslt_gemm(&down, tensors[0], tensors[1], inner, workspace, stream);
    if (st != STATUS_OK) return st;
    return cublaslt_gemm(&up, inner, tensors[2], tensors[3], workspace, stream);
}

static const variant_t lowrank_cublas = {
    .structure = "lowrank",
    .name = "cublas",
    .summary = "two cuBLASLt GEMMs through an intermediate in memory",
    .device = DEVICE_CUDA,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .cuda_core_flops = NULL,
    .pack = pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(lowrank_cublas)
