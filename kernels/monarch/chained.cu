/*
 * monarch/chained: the paper's optimisation (3). As permuted_store, and the last permutation is
 * left to the next layer's static weights: the second bmm writes Y[n][k][j] itself.
 *
 *   T'[k][n][l][r'] = X_l V_l   ->   Y[n][k*q + j] = T'_k U_k
 */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/monarch/stages.h"

static int64_t inner_elements(const problem_t *p) { /* T' */
    return p->blocks * p->tokens * p->rank;
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = (double)dtype_size(p->dtype) * (double)inner_elements(p);
    return 1;
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + buffer_bytes(p, inner_elements(p));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    char *const inner = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    const status_t st = monarch_first_bmm_permuted(p, tensors[0], tensors[1], inner, stream);
    if (st != STATUS_OK) return st;
    return monarch_second_bmm(p, inner, tensors[2], tensors[3], p->out_features,
                              p->out_features / p->blocks, workspace, stream);
}

static const variant_t monarch_chained = {
    .structure = "monarch",
    .name = "chained",
    .summary = "as permuted_store without the last permutation (3); output order (k, j)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .cuda_core_flops = NULL,
    .pack = monarch_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(monarch_chained)

/* As a plan of monarch/fused: where T stays in the cache, or where every tile of a block of outputs
 * would compute it again. */
static bool supports_chain(const problem_t *p, const device_info_t *device, char *why,
                           size_t why_len) {
    static const int64_t TILE_COLUMNS = 256; /* the most of a tile that keeps T to itself */
    double bytes[MAX_INTERMEDIATES];
    intermediates(p, bytes);
    if (bytes[0] <= (double)device->cache_bytes || p->out_features / p->blocks > TILE_COLUMNS)
        return supports(p, device, why, why_len);
    snprintf(why, why_len, "T is larger than the L2 cache, and a tile computes it once");
    return false;
}

const variant_t monarch_chain = {
    .structure = "monarch",
    .name = "chain",
    .summary = "two kernels, T through L2",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports_chain,
    .intermediates = intermediates,
    .pack = monarch_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
