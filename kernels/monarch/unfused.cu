/*
 * monarch/unfused: the paper's baseline, bmm - permute - bmm - permute.
 *
 *   T[l][n][k][r'] = X_l V_l   ->   T'[k][n][l][r']   ->   Y'[k][n][q] = T'_k U_k   ->   Y[n][j][k]
 */
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/monarch/stages.h"

enum { PERMUTE_THREADS = 256, PERMUTE_TOKENS = 4 };

static int64_t inner_elements(const problem_t *p) { /* T and T' */
    return p->blocks * p->tokens * p->rank;
}

static int64_t outer_elements(const problem_t *p) { /* Y' */
    return p->tokens * p->out_features;
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const double size = (double)dtype_size(p->dtype);
    bytes[0] = bytes[1] = size * (double)inner_elements(p);
    bytes[2] = size * (double)outer_elements(p);
    return 3;
}

/* T is dead when Y' is written: they share a buffer, as a caching allocator would do. */
static size_t first_buffer_bytes(const problem_t *p) {
    const size_t inner = buffer_bytes(p, inner_elements(p));
    const size_t outer = buffer_bytes(p, outer_elements(p));
    return inner > outer ? inner : outer;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + first_buffer_bytes(p) + buffer_bytes(p, inner_elements(p));
}

static status_t first_bmm(const problem_t *p, const void *x, const void *v, void *t,
                          void *cublas_workspace, stream_t stream) {
    const int64_t block_in = p->in_features / p->blocks;
    const cublaslt_gemm_t gemm = {
        .dtype = p->dtype,
        .m = p->tokens,
        .n = p->rank,
        .k = block_in,
        .batch = p->blocks,
        .a = {.ld = p->in_features, .stride = block_in, .transposed = false},
        .b = {.ld = block_in, .stride = p->rank * block_in, .transposed = true},
        .c = {.ld = p->rank, .stride = p->tokens * p->rank, .transposed = false}};
    return cublaslt_gemm(&gemm, x, v, t, cublas_workspace, stream);
}

/*
 * to[k][n][l] = from[l][n][k] for runs of `run` WORDs. Threads follow the output of one token, so
 * writes are contiguous over (l, run); reads of a block cover whole lines of its tokens' rows.
 */
template <typename WORD>
static __global__ void __launch_bounds__(PERMUTE_THREADS)
    permute_kernel(const WORD *from, WORD *to, int64_t tokens, int blocks, int run) {
    const int64_t row = (int64_t)blocks * run;
    const unsigned index = blockIdx.x * blockDim.x + threadIdx.x;
    if (index >= blocks * row) return;
    const unsigned line = index / (unsigned)run, word = index % (unsigned)run;
    const int64_t k = line / (unsigned)blocks, l = line % (unsigned)blocks;
    const WORD *const source = from + l * tokens * row + k * run + word;
    WORD *const target = to + k * tokens * row + l * run + word;
    for (int64_t token = (int64_t)blockIdx.y * PERMUTE_TOKENS; token < tokens;
         token += (int64_t)gridDim.y * PERMUTE_TOKENS) {
        WORD part[PERMUTE_TOKENS];
#pragma unroll
        for (int i = 0; i < PERMUTE_TOKENS; i++)
            if (token + i < tokens) part[i] = source[(token + i) * row];
#pragma unroll
        for (int i = 0; i < PERMUTE_TOKENS; i++)
            if (token + i < tokens) target[(token + i) * row] = part[i];
    }
}

template <typename WORD>
static status_t permute_words(const problem_t *p, const void *from, void *to, int64_t run,
                              cudaStream_t stream) {
    const int64_t groups = ceil_div(p->tokens, PERMUTE_TOKENS);
    const int64_t words = p->blocks * p->blocks * run;
    const int threads = words < PERMUTE_THREADS ? (int)round_up(words, 32) : PERMUTE_THREADS;
    const dim3 grid((unsigned)ceil_div(words, threads), grid_yz(groups));
    permute_kernel<WORD><<<grid, threads, 0, stream>>>((const WORD *)from, (WORD *)to, p->tokens,
                                                       (int)p->blocks, (int)run);
    CUDA_LAUNCHED("permute_kernel");
    return STATUS_OK;
}

/* The widest word that r' consists of. */
static status_t permute(const problem_t *p, const void *from, void *to, cudaStream_t stream) {
    const int64_t run = p->rank / p->blocks;
    if (run % 8 == 0) return permute_words<uint4>(p, from, to, run / 8, stream);
    if (run % 4 == 0) return permute_words<uint2>(p, from, to, run / 4, stream);
    if (run % 2 == 0) return permute_words<uint32_t>(p, from, to, run / 2, stream);
    return permute_words<uint16_t>(p, from, to, run, stream);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    char *const first = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    char *const second = first + first_buffer_bytes(p);
    status_t st = first_bmm(p, tensors[0], tensors[1], first, workspace, stream);
    if (st == STATUS_OK) st = permute(p, first, second, (cudaStream_t)stream);
    if (st == STATUS_OK)
        st = monarch_second_bmm(p, second, tensors[2], first, p->out_features / p->blocks,
                                p->tokens * (p->out_features / p->blocks), workspace, stream);
    if (st == STATUS_OK) st = monarch_order_jk(p, first, tensors[3], stream);
    return st;
}

static const variant_t monarch_unfused = {
    .structure = "monarch",
    .name = "unfused",
    .summary = "the paper's baseline: bmm, permute, bmm, permute; output order (j, k)",
    .device = DEVICE_CUDA,
    .baseline = true,
    .output_order = ORDER_JK,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = monarch_supports,
    .intermediates = intermediates,
    .cuda_core_flops = NULL,
    .pack = monarch_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(monarch_unfused)
