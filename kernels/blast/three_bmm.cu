/*
 * blast/three_bmm: the paper's optimisation (5). Three batched products with the tokens contiguous
 * in both intermediates, so that nothing is permuted and stage 2 runs on the matrix units.
 *
 *   Y[r][l][n] = V_l^T X_l^T   ->   Z[k][r][n] = sum_l S[r][k][l] Y[r][l][n]   ->   Y_k = Z_k U_k
 *
 * Stage 2 is r products of (b x b)(b x n): far too little work for the bytes, so its kernel is
 * built for bandwidth. Rows of Y and Z are padded to 8 tokens; what the padding holds stays in it.
 */
#include "kernels/blast/stages.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm.cuh"

enum { STAGE_WARPS = 4, WARP_TOKENS = 64, FRAGMENT = 256 /* elements of a 16 x 16 block of S */ };

static int64_t padded_tokens(const problem_t *p) {
    return round_up(p->tokens, 8);
}

int64_t blast_token_elements(const problem_t *p) {
    return p->blocks * p->rank * padded_tokens(p);
}

/* S[l][k][r] -> [r][k/16][l/16][lane][8]: one 16-byte load a lane is a matrix operand; padded with
 * zeros to multiples of 16. */
static int64_t pack_scales(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, r = p->rank, sides = ceil_div(b, 16);
    const int64_t count = r * sides * sides * FRAGMENT;
    if (!dst) return count;
    for (int64_t i = 0; i < count; i++) {
        const int64_t block = i / FRAGMENT, s = block / (sides * sides);
        const int lane = (int)(i % FRAGMENT / 8), element = (int)(i % 8);
        const int64_t k = block / sides % sides * 16 + fragment_row(lane, element);
        const int64_t l = block % sides * 16 + fragment_column(lane, element);
        dst[i] = k < b && l < b ? src[(l * b + k) * r + s] : (uint16_t)0;
    }
    return count;
}

int64_t blast_token_pack(const problem_t *p, int tensor, const void *src, void *dst) {
    if (tensor != 2) return blast_pack(p, tensor, src, dst);
    return pack_scales(p, (const uint16_t *)src, (uint16_t *)dst);
}

/*
 * A lane loads eight neighbouring tokens of a row of Y and feeds one to each of eight mma: column
 * `column` of mma i is token 8*chunk(column) + i. A lane's results are then eight neighbours, too,
 * and chunk() orders them so that the four lanes of a row store 64 bytes side by side.
 */
__host__ __device__ inline int chunk_of_column(int column) {
    return column / 2 + column % 2 * 4;
}

/* This lane's eight tokens of the four input blocks that it contributes to a 16-deep mma. */
__device__ inline void y_load(uint4 rows[4], const uint16_t *y, int l, int blocks, int64_t pitch,
                              bool inside) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = l + i % 2 + i / 2 * 8;
        rows[i] =
            inside && row < blocks ? *(const uint4 *)(y + row * pitch) : make_uint4(0, 0, 0, 0);
    }
}

/* acc[i] += S block * tokens i of each chunk. */
template <typename T>
__device__ inline void y_mma(float acc[8][4], uint4 scales, const uint4 rows[4]) {
    const uint32_t a[4] = {scales.x, scales.y, scales.z, scales.w};
    const uint32_t words[4][4] = {{rows[0].x, rows[0].y, rows[0].z, rows[0].w},
                                  {rows[1].x, rows[1].y, rows[1].z, rows[1].w},
                                  {rows[2].x, rows[2].y, rows[2].z, rows[2].w},
                                  {rows[3].x, rows[3].y, rows[3].z, rows[3].w}};
#pragma unroll
    for (int i = 0; i < 8; i++) {
        const unsigned halves = i % 2 ? 0x7632 : 0x5410; /* the high or low half of both words */
        const uint32_t b[2] = {__byte_perm(words[0][i / 2], words[1][i / 2], halves),
                               __byte_perm(words[2][i / 2], words[3][i / 2], halves)};
        mma_16816<T>(acc[i], a, b);
    }
}

template <typename T> __device__ inline void z_store(uint16_t *z, const float acc[8][4], int part) {
    store_vector(z, make_uint4(round_pair<T>(acc[0][part], acc[1][part]),
                               round_pair<T>(acc[2][part], acc[3][part]),
                               round_pair<T>(acc[4][part], acc[5][part]),
                               round_pair<T>(acc[6][part], acc[7][part])));
}

/*
 * A warp: one rank index, 64 tokens. HELD: how many groups of 16 input blocks stay in registers
 * for all output blocks; 0 reads them again for each 16 output blocks. `sides` is ceil(b / 16).
 */
template <typename T, int HELD>
static __global__ void __launch_bounds__(STAGE_WARPS * 32)
    mix_mma_kernel(const uint16_t *y, const uint4 *scales, uint16_t *z, int64_t rank, int64_t pitch,
                   int64_t tiles, int blocks, int sides) {
    const int64_t index = (int64_t)blockIdx.x * STAGE_WARPS + threadIdx.x / 32;
    const int64_t s = index / tiles, token0 = index % tiles * WARP_TOKENS;
    if (s >= rank) return;
    const int lane = (int)threadIdx.x % 32, row = lane / 4, pair = lane % 4;
    const int64_t in_token = token0 + chunk_of_column(row) * 8;
    const int64_t out_token[2] = {token0 + chunk_of_column(pair * 2) * 8,
                                  token0 + chunk_of_column(pair * 2 + 1) * 8};
    const uint16_t *const from = y + s * blocks * pitch + in_token;
    const uint4 *const fragments = scales + s * sides * sides * 32 + lane;
    uint4 rows[HELD ? HELD : 1][4];
#pragma unroll
    for (int l = 0; l < HELD; l++)
        y_load(rows[l], from, l * 16 + pair * 2, blocks, pitch, in_token < pitch);
    for (int k = 0; k < sides; k++) {
        float acc[8][4] = {};
        if constexpr (HELD) {
#pragma unroll
            for (int l = 0; l < HELD; l++) y_mma<T>(acc, fragments[(k * sides + l) * 32], rows[l]);
        } else {
            for (int l = 0; l < sides; l++) {
                y_load(rows[0], from, l * 16 + pair * 2, blocks, pitch, in_token < pitch);
                y_mma<T>(acc, fragments[(k * sides + l) * 32], rows[0]);
            }
        }
#pragma unroll
        for (int part = 0; part < 4; part++) {
            const int64_t block = k * 16 + row + part / 2 * 8, token = out_token[part % 2];
            if (block < blocks && token < pitch)
                z_store<T>(z + (block * rank + s) * pitch + token, acc, part);
        }
    }
}

template <typename T>
static status_t mix(const problem_t *p, const void *y, const void *scales, void *z,
                    cudaStream_t stream) {
    const int64_t pitch = padded_tokens(p), tiles = ceil_div(pitch, WARP_TOKENS);
    const int64_t grid = ceil_div(p->rank * tiles, STAGE_WARPS);
    const int sides = (int)ceil_div(p->blocks, 16);
    if (grid > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "%lld tokens are more than one launch can hold",
                    (long long)p->tokens);
    const auto kernel = sides == 1   ? mix_mma_kernel<T, 1>
                        : sides == 2 ? mix_mma_kernel<T, 2>
                                     : mix_mma_kernel<T, 0>;
    kernel<<<(unsigned)grid, STAGE_WARPS * 32, 0, stream>>>(
        (const uint16_t *)y, (const uint4 *)scales, (uint16_t *)z, p->rank, pitch, tiles,
        (int)p->blocks, sides);
    CUDA_LAUNCHED("mix_mma_kernel");
    return STATUS_OK;
}

static status_t first_bmm(const problem_t *p, const void *x, const void *v, void *y,
                          void *cublas_workspace, stream_t stream) {
    const int64_t block_in = p->in_features / p->blocks, pitch = padded_tokens(p);
    const cublaslt_gemm_t gemm = {
        .dtype = p->dtype,
        .m = p->rank,
        .n = p->tokens,
        .k = block_in,
        .batch = p->blocks,
        .a = {.ld = block_in, .stride = p->rank * block_in, .transposed = false},
        .b = {.ld = p->in_features, .stride = block_in, .transposed = true},
        .c = {.ld = p->blocks * pitch, .stride = pitch, .transposed = false}};
    return cublaslt_gemm(&gemm, v, x, y, cublas_workspace, stream);
}

static status_t last_bmm(const problem_t *p, const void *z, const void *u, void *y,
                         void *cublas_workspace, stream_t stream) {
    const int64_t block_out = p->out_features / p->blocks, pitch = padded_tokens(p);
    const cublaslt_gemm_t gemm = {
        .dtype = p->dtype,
        .m = p->tokens,
        .n = block_out,
        .k = p->rank,
        .batch = p->blocks,
        .a = {.ld = pitch, .stride = p->rank * pitch, .transposed = true},
        .b = {.ld = p->rank, .stride = block_out * p->rank, .transposed = true},
        .c = {.ld = p->out_features, .stride = block_out, .transposed = false}};
    return cublaslt_gemm(&gemm, z, u, y, cublas_workspace, stream);
}

/*
 * cuBLASLt has only slow kernels for a contiguous dimension that 8 does not divide, and that is
 * where the tokens are. Then stages 1 and 3 are our own, which write and read rows up to the pitch.
 */
static bool ragged(const problem_t *p) {
    return p->tokens % 8 != 0 && p->rank % 8 == 0;
}

template <typename T>
static status_t first_ragged(const problem_t *p, const void *x, const void *v, void *y,
                             cudaStream_t stream) {
    const int64_t block_in = p->in_features / p->blocks;
    const gemm_args_t args = {.a = v,
                              .b = x,
                              .m = p->rank,
                              .n = p->tokens,
                              .k = block_in,
                              .batch = p->blocks,
                              .ld_a = block_in,
                              .stride_a = p->rank * block_in,
                              .ld_b = p->in_features,
                              .stride_b = block_in};
    const int64_t pitch = padded_tokens(p);
    const strided_out_t out = {
        .y = (uint16_t *)y, .batch_stride = pitch, .row_stride = p->blocks * pitch, .vector = true};
    return gemm_launch<T>(&args, out, stream);
}

template <typename T>
static status_t last_ragged(const problem_t *p, const void *z, const void *u, void *y,
                            cudaStream_t stream) {
    const int64_t block_out = p->out_features / p->blocks, pitch = padded_tokens(p);
    const gemm_args_t args = {.a = z,
                              .b = u,
                              .m = p->tokens,
                              .n = block_out,
                              .k = p->rank,
                              .batch = p->blocks,
                              .ld_a = pitch,
                              .stride_a = p->rank * pitch,
                              .ld_b = p->rank,
                              .stride_b = block_out * p->rank};
    const strided_out_t out = {.y = (uint16_t *)y,
                               .batch_stride = block_out,
                               .row_stride = p->out_features,
                               .vector = block_out % 8 == 0};
    return gemm_launch_transposed<T>(&args, out, stream);
}

status_t blast_token_stages(const problem_t *p, void *const *tensors, void *y, void *z,
                            stream_t stream) {
    cudaStream_t cuda = (cudaStream_t)stream;
    status_t st = DISPATCH_DTYPE(p, first_ragged, p, tensors[0], tensors[1], y, cuda);
    if (st == STATUS_OK) st = DISPATCH_DTYPE(p, mix, p, y, tensors[2], z, cuda);
    if (st != STATUS_OK) return st;
    return DISPATCH_DTYPE(p, last_ragged, p, z, tensors[3], tensors[4], cuda);
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = (double)dtype_size(p->dtype) * (double)blast_token_elements(p);
    return 2;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + 2 * buffer_bytes(p, blast_token_elements(p));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    char *const y = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    char *const z = y + buffer_bytes(p, blast_token_elements(p));
    cudaStream_t cuda = (cudaStream_t)stream;
    status_t st = ragged(p) ? DISPATCH_DTYPE(p, first_ragged, p, tensors[0], tensors[1], y, cuda)
                            : first_bmm(p, tensors[0], tensors[1], y, workspace, stream);
    if (st == STATUS_OK) st = DISPATCH_DTYPE(p, mix, p, y, tensors[2], z, cuda);
    if (st != STATUS_OK) return st;
    return ragged(p) ? DISPATCH_DTYPE(p, last_ragged, p, z, tensors[3], tensors[4], cuda)
                     : last_bmm(p, z, tensors[3], tensors[4], workspace, stream);
}

static const variant_t blast_three_bmm = {
    .structure = "blast",
    .name = "three_bmm",
    .summary = "three batched products, tokens contiguous, all on matrix units (5)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .cuda_core_flops = NULL,
    .pack = blast_token_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(blast_three_bmm)

/* As a plan of blast/fused: where Y and Z stay in the cache. */
static bool supports_chain(const problem_t *p, const device_info_t *device, char *why,
                           size_t why_len) {
    double bytes[MAX_INTERMEDIATES];
    intermediates(p, bytes);
    if (bytes[0] + bytes[1] <= (double)device->cache_bytes)
        return supports(p, device, why, why_len);
    snprintf(why, why_len, "Y and Z are larger than the L2 cache");
    return false;
}

const variant_t blast_chain = {
    .structure = "blast",
    .name = "chain",
    .summary = "three kernels, Y and Z through L2",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports_chain,
    .intermediates = intermediates,
    .pack = blast_token_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
