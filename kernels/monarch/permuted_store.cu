/*
 * monarch/permuted_store: the paper's optimisations (1) and (2). The first bmm stores straight into
 * the second bmm's layout.
 *
 *   T'[k][n][l][r'] = X_l V_l   ->   Y'[k][n][q] = T'_k U_k   ->   Y[n][j][k]
 */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/monarch/stages.h"

static int64_t inner_elements(const problem_t *p) { /* T' */
    return p->blocks * p->tokens * p->rank;
}

static int64_t outer_elements(const problem_t *p) { /* Y' */
    return p->tokens * p->out_features;
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const double size = (double)dtype_size(p->dtype);
    bytes[0] = size * (double)inner_elements(p);
    bytes[1] = size * (double)outer_elements(p);
    return 2;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + buffer_bytes(p, inner_elements(p)) +
           buffer_bytes(p, outer_elements(p));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const int64_t block_out = p->out_features / p->blocks;
    char *const inner = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    char *const outer = inner + buffer_bytes(p, inner_elements(p));
    status_t st = monarch_first_bmm_permuted(p, tensors[0], tensors[1], inner, stream);
    if (st == STATUS_OK)
        st = monarch_second_bmm(p, inner, tensors[2], outer, block_out, p->tokens * block_out,
                                workspace, stream);
    if (st == STATUS_OK) st = monarch_order_jk(p, outer, tensors[3], stream);
    return st;
}

static const variant_t monarch_permuted_store = {
    .structure = "monarch",
    .name = "permuted_store",
    .summary = "first bmm stores into the second's layout (1, 2); output order (j, k)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_JK,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = monarch_supports,
    .intermediates = intermediates,
    .cuda_core_flops = NULL,
    .pack = monarch_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(monarch_permuted_store)
