#include "kernels/monarch/stages.h"

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/gemm.cuh"
#include "kernels/pack.h"

enum { ORDER_SMEM_BYTES = 48 << 10, ORDER_TILE_ELEMENTS = 8192, ORDER_PAD = 2 };

int64_t monarch_pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const int64_t b = p->blocks, rank_block = p->rank / b;
    const int64_t v_dims[MAX_DIMS] = {b, b, p->in_features / b, rank_block};
    const int64_t u_dims[MAX_DIMS] = {b, b, rank_block, p->out_features / b};
    static const int v_order[MAX_DIMS] = {0, 1, 3, 2}, u_order[MAX_DIMS] = {0, 3, 1, 2};
    return tensor == 1 ? pack_transpose(p->dtype, v_dims, v_order, src, dst)
                       : pack_transpose(p->dtype, u_dims, u_order, src, dst);
}

bool monarch_supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    const int64_t most = ORDER_SMEM_BYTES / 2 / (1 + ORDER_PAD);
    if (!supports_portable(device, why, why_len)) return false;
    if (p->blocks <= most) return true;
    snprintf(why, why_len, "the permutation keeps one column of each block in 48 KB: at most %lld",
             (long long)most);
    return false;
}

/* Column k*r' + s of X_l V_l belongs at T[k][row][l][s]. */
typedef struct {
    uint16_t *t;
    int64_t tokens, row_stride; /* row_stride is r: one token of T[k] */
    int rank_block;
    bool vector;

    __device__ uint16_t *place(int64_t l, int64_t column) const {
        const int k = (int)column / rank_block, s = (int)column % rank_block;
        return t + k * tokens * row_stride + l * rank_block + s;
    }
} permuted_out_t;

template <typename T>
static status_t first_bmm(const gemm_args_t *args, permuted_out_t out, cudaStream_t stream) {
    return gemm_launch<T>(args, out, stream);
}

status_t monarch_first_bmm_permuted(const problem_t *p, const void *x, const void *v, void *t,
                                    stream_t stream) {
    const int64_t block_in = p->in_features / p->blocks, rank_block = p->rank / p->blocks;
    const gemm_args_t args = {.a = x,
                              .b = v,
                              .m = p->tokens,
                              .n = p->rank,
                              .k = block_in,
                              .batch = p->blocks,
                              .ld_a = p->in_features,
                              .stride_a = block_in,
                              .ld_b = block_in,
                              .stride_b = p->rank * block_in};
    const permuted_out_t out = {.t = (uint16_t *)t,
                                .tokens = p->tokens,
                                .row_stride = p->rank,
                                .rank_block = (int)rank_block,
                                .vector = rank_block % 8 == 0};
    return DISPATCH_DTYPE(p, first_bmm, &args, out, (cudaStream_t)stream);
}

status_t monarch_second_bmm(const problem_t *p, const void *t, const void *u, void *y, int64_t ld,
                            int64_t stride, void *cublas_workspace, stream_t stream) {
    const int64_t block_out = p->out_features / p->blocks;
    const cublaslt_gemm_t gemm = {
        .dtype = p->dtype,
        .m = p->tokens,
        .n = block_out,
        .k = p->rank,
        .batch = p->blocks,
        .a = {.ld = p->rank, .stride = p->tokens * p->rank, .transposed = false},
        .b = {.ld = p->rank, .stride = block_out * p->rank, .transposed = true},
        .c = {.ld = ld, .stride = stride, .transposed = false}};
    return cublaslt_gemm(&gemm, t, u, y, cublas_workspace, stream);
}

/*
 * One token and `tile` of its j: rows k of `from` come in along j, leave along (j, k). PAD keeps
 * the column reads of a warp in different banks.
 */
static __global__ void __launch_bounds__(256)
    order_jk_kernel(const uint16_t *from, uint16_t *y, int64_t tokens, int blocks, int block_out,
                    int tile, unsigned tiles, bool vector_in, bool vector_out) {
    extern __shared__ uint4 smem[];
    uint16_t *const rows = (uint16_t *)smem;
    const int64_t token = blockIdx.x / tiles;
    const int j0 = (int)(blockIdx.x % tiles) * tile, count = min(tile, block_out - j0);
    const int pitch = tile + ORDER_PAD;
    const int width = vector_in ? 8 : 1, per_row = count / width;
    for (int i = (int)threadIdx.x; i < blocks * per_row; i += (int)blockDim.x) {
        const int k = i / per_row, j = i % per_row * width;
        const uint16_t *const source = from + (k * tokens + token) * block_out + j0 + j;
        uint16_t *const to = rows + k * pitch + j;
        if (vector_in) {
            const uint4 part = *(const uint4 *)source;
            ((uint32_t *)to)[0] = part.x, ((uint32_t *)to)[1] = part.y;
            ((uint32_t *)to)[2] = part.z, ((uint32_t *)to)[3] = part.w;
        } else {
            *to = *source;
        }
    }
    __syncthreads();
    uint16_t *const out = y + (token * block_out + j0) * blocks;
    const int total = count * blocks, vectors = vector_out ? total / 8 : 0;
    for (int i = (int)threadIdx.x; i < vectors; i += (int)blockDim.x) {
        int j = i * 8 / blocks, k = i * 8 % blocks;
        uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
        for (int e = 0; e < 8; e++) {
            words[e / 2] |= (uint32_t)rows[k * pitch + j] << (e % 2 * 16);
            if (++k == blocks) k = 0, j++;
        }
        ((uint4 *)out)[i] = make_uint4(words[0], words[1], words[2], words[3]);
    }
    for (int i = vectors * 8 + (int)threadIdx.x; i < total; i += (int)blockDim.x)
        out[i] = rows[i % blocks * pitch + i / blocks];
}

status_t monarch_order_jk(const problem_t *p, const void *from, void *y, stream_t stream) {
    const int64_t b = p->blocks, block_out = p->out_features / b;
    int64_t tile = ORDER_SMEM_BYTES / 2 / b - ORDER_PAD;
    if (tile > ORDER_TILE_ELEMENTS / b) tile = ORDER_TILE_ELEMENTS / b;
    if (tile > block_out) tile = block_out;
    if (tile > 8) tile = tile / 8 * 8; /* 16-byte vectors begin each tile */
    if (tile < 1) tile = 1;
    const int64_t tiles = ceil_div(block_out, tile);
    const bool vector_in = block_out % 8 == 0 && tile % 8 == 0;
    const bool vector_out = p->out_features % 8 == 0 && tile * b % 8 == 0;
    if (p->tokens * tiles > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "%lld tokens are more than one launch can permute",
                    (long long)p->tokens);
    const size_t bytes = (size_t)(b * (tile + ORDER_PAD)) * 2;
    const int threads = tile * b > 1024 ? 256 : 128;
    order_jk_kernel<<<(unsigned)(p->tokens * tiles), threads, bytes, (cudaStream_t)stream>>>(
        (const uint16_t *)from, (uint16_t *)y, p->tokens, (int)b, (int)block_out, (int)tile,
        (unsigned)tiles, vector_in, vector_out);
    CUDA_LAUNCHED("order_jk_kernel");
    return STATUS_OK;
}
