/*
 * blast/unfused: the paper's baseline, bmm - scale and sum - bmm.
 *
 *   Y[l][n][r] = X_l V_l   ->   Z[k][n][r] = sum_l S[l][k][r] Y[l][n][r]   ->   Y_k = Z_k U_k
 */
#include "kernels/blast/stages.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

/*
 * A lane owns two ranks, a warp 64 ranks x MIX_TOKENS tokens x MIX_BLOCKS output blocks. The blocks
 * of threads stack up to MIX_GROUPS warps, so that more output blocks find y in L1. S of MIX_CHUNK
 * input blocks is in shared memory at a time.
 */
enum {
    MIX_RANKS = 64,
    MIX_TOKENS = 4,
    MIX_BLOCKS = 8,
    MIX_WARPS = 4, /* along the tokens */
    MIX_GROUPS = 4,
    MIX_CHUNK = 16,
    MIX_AHEAD = 2 /* input blocks whose y is loaded in advance */
};

typedef struct {
    const void *y, *s;
    void *z;
    int64_t tokens, rank;
    int blocks;
} mix_args_t;

/* The elements at 0 and `second` (0 or 1); EVEN: 0 and 1, aligned to 4 bytes. */
template <bool EVEN> __device__ inline uint32_t pair_load(const uint16_t *from, int second) {
    if constexpr (EVEN) return *(const uint32_t *)from;
    return (uint32_t)from[0] | (uint32_t)from[second] << 16;
}

template <bool EVEN> __device__ inline void pair_store(uint16_t *to, uint32_t pair, int second) {
    if constexpr (EVEN) {
        *(uint32_t *)to = pair;
    } else {
        to[0] = (uint16_t)pair;
        if (second) to[1] = (uint16_t)(pair >> 16);
    }
}

/* S[l0 .. l0+16][k0 ...][two ranks a lane] to shared memory, as [l][k/4][lane][k%4]; zeros beyond
 * b. */
template <bool EVEN>
__device__ inline void mix_load_scales(uint4 *scales, const mix_args_t *args, int l0, int k0,
                                       int64_t column, int second) {
    const int quads = (int)blockDim.z * (MIX_BLOCKS / 4);
    __syncthreads(); /* the previous chunk is no longer read */
#pragma unroll 4
    for (int i = (int)(threadIdx.z * MIX_WARPS + threadIdx.y); i < MIX_CHUNK * quads;
         i += (int)blockDim.z * MIX_WARPS) {
        const int l = l0 + i / quads, k = k0 + i % quads * 4;
        const int64_t row = (int64_t)min(l, args->blocks - 1) * args->blocks;
        uint32_t words[4];
#pragma unroll
        for (int e = 0; e < 4; e++) { /* loaded without a branch, so that all are under way */
            const int64_t line = row + min(k + e, args->blocks - 1);
            const uint32_t pair =
                pair_load<EVEN>((const uint16_t *)args->s + line * args->rank + column, second);
            words[e] = l < args->blocks && k + e < args->blocks ? pair : 0;
        }
        scales[i * 32 + threadIdx.x] = make_uint4(words[0], words[1], words[2], words[3]);
    }
    __syncthreads();
}

/* z[k] += S[l][k] y of one input block, for two ranks; zero scales pad b to a multiple of 4. */
template <typename T>
__device__ inline void mix_add(float z[MIX_BLOCKS][MIX_TOKENS][2], const uint32_t y[MIX_TOKENS],
                               const uint4 *scales, int blocks) {
#pragma unroll
    for (int quad = 0; quad < MIX_BLOCKS / 4; quad++) {
        if (quad * 4 >= blocks) break;
        const uint4 four = scales[quad * 32];
        const uint32_t words[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float2 s = widen_pair<T>(words[e]);
#pragma unroll
            for (int i = 0; i < MIX_TOKENS; i++) {
                const float2 pair = widen_pair<T>(y[i]);
                z[quad * 4 + e][i][0] += s.x * pair.x;
                z[quad * 4 + e][i][1] += s.y * pair.y;
            }
        }
    }
}

/*
 * A warp keeps its z in registers and streams the y of one input block after the other. Output
 * blocks beyond a block's groups go to gridDim.z. EVEN: r is even, pairs are aligned. Loads beyond
 * an end are clamped to it, so that they need no branch; their results are not stored.
 */
template <typename T, bool EVEN>
static __global__ void __launch_bounds__(32 * MIX_WARPS * MIX_GROUPS, 1)
    mix_kernel(mix_args_t args) {
    extern __shared__ uint4 smem[];
    const int lane = (int)threadIdx.x, quads = (int)blockDim.z * (MIX_BLOCKS / 4);
    const int block_k0 = (int)(blockIdx.z * blockDim.z) * MIX_BLOCKS;
    const int k0 = block_k0 + (int)threadIdx.z * MIX_BLOCKS;
    const uint4 *const scales = smem + (int)threadIdx.z * (MIX_BLOCKS / 4) * 32 + lane;
    const int64_t wanted = (int64_t)blockIdx.x * MIX_RANKS + lane * 2;
    const int64_t column = min(wanted, args.rank - (EVEN ? 2 : 1));
    const int second = column + 1 < args.rank, blocks = args.blocks, rank = (int)args.rank;
    const int64_t block_stride = args.tokens * args.rank;
    const bool chunked = blocks > MIX_CHUNK;

    if (!chunked) mix_load_scales<EVEN>(smem, &args, 0, block_k0, column, second);
    for (int64_t tile = blockIdx.y; tile * MIX_WARPS * MIX_TOKENS < args.tokens;
         tile += gridDim.y) {
        const int64_t token = (tile * MIX_WARPS + threadIdx.y) * MIX_TOKENS;
        const int64_t first = min(token, args.tokens - 1);
        const int last = (int)min((int64_t)MIX_TOKENS, args.tokens - first) - 1;
        const uint16_t *ahead = (const uint16_t *)args.y + first * args.rank + column;
        unsigned offset[MIX_TOKENS];
#pragma unroll
        for (int i = 0; i < MIX_TOKENS; i++) offset[i] = (unsigned)(min(i, last) * rank);
        const auto load = [&](uint32_t part[MIX_AHEAD][MIX_TOKENS], int l) {
#pragma unroll
            for (int a = 0; a < MIX_AHEAD; a++) {
#pragma unroll
                for (int i = 0; i < MIX_TOKENS; i++)
                    part[a][i] = pair_load<EVEN>(ahead + offset[i], second);
                if (l + a + 1 < blocks) ahead += block_stride;
            }
        };
        float z[MIX_BLOCKS][MIX_TOKENS][2] = {};
        uint32_t now[MIX_AHEAD][MIX_TOKENS], next[MIX_AHEAD][MIX_TOKENS];
        load(next, 0);
        for (int l = 0; l < blocks; l += MIX_AHEAD) {
            if (chunked && l % MIX_CHUNK == 0)
                mix_load_scales<EVEN>(smem, &args, l, block_k0, column, second);
#pragma unroll
            for (int a = 0; a < MIX_AHEAD; a++)
#pragma unroll
                for (int i = 0; i < MIX_TOKENS; i++) now[a][i] = next[a][i];
            if (l + MIX_AHEAD < blocks) load(next, l + MIX_AHEAD);
#pragma unroll
            for (int a = 0; a < MIX_AHEAD; a++) {
                if (l + a >= blocks) break;
                mix_add<T>(z, now[a], scales + (l + a) % MIX_CHUNK * quads * 32, blocks - k0);
            }
        }
        uint16_t *to = (uint16_t *)args.z + k0 * block_stride + first * args.rank + column;
        if (wanted >= args.rank || token >= args.tokens) continue;
#pragma unroll
        for (int k = 0; k < MIX_BLOCKS; k++, to += block_stride) {
            if (k0 + k >= blocks) break;
#pragma unroll
            for (int i = 0; i < MIX_TOKENS; i++)
                if (i <= last)
                    pair_store<EVEN>(to + offset[i], round_pair<T>(z[k][i][0], z[k][i][1]), second);
        }
    }
}

template <typename T, bool EVEN>
static status_t mix_launch(const mix_args_t *args, cudaStream_t stream) {
    static uint64_t opted_in;
    const int64_t groups = ceil_div(args->blocks, MIX_BLOCKS);
    const int64_t most = MIX_GROUPS, together = groups < most ? groups : most;
    const int64_t rank_tiles = ceil_div(args->rank, MIX_RANKS);
    const int64_t token_tiles = ceil_div(args->tokens, MIX_WARPS * MIX_TOKENS);
    const size_t group_bytes = (size_t)MIX_CHUNK * MIX_BLOCKS * MIX_RANKS * 2;
    int sms = 0;
    status_t st = device_sm_count(&sms);
    if (st != STATUS_OK) return st;
    st = smem_opt_in((const void *)mix_kernel<T, EVEN>, group_bytes * MIX_GROUPS, &opted_in);
    if (st != STATUS_OK) return st;
    /* One wave of 16 warps an SM: each block uses the S it loaded for several tiles of tokens. */
    const int64_t depth = ceil_div(groups, together);
    const int64_t resident = (int64_t)sms * MIX_GROUPS / (together * rank_tiles * depth);
    const int64_t rows = resident < 1 ? 1 : resident < token_tiles ? resident : token_tiles;
    const dim3 grid((unsigned)rank_tiles, grid_yz(rows), grid_yz(depth));
    const dim3 block(32, MIX_WARPS, (unsigned)together);
    mix_kernel<T, EVEN><<<grid, block, group_bytes *(size_t)together, stream>>>(*args);
    CUDA_LAUNCHED("mix_kernel");
    return STATUS_OK;
}

template <typename T> static status_t mix(const mix_args_t *args, cudaStream_t stream) {
    return args->rank % 2 == 0 ? mix_launch<T, true>(args, stream)
                               : mix_launch<T, false>(args, stream);
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = (double)dtype_size(p->dtype) * (double)blast_inner_elements(p);
    return 2;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + 2 * buffer_bytes(p, blast_inner_elements(p));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const int64_t block_in = p->in_features / p->blocks;
    char *const y = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    char *const z = y + buffer_bytes(p, blast_inner_elements(p));
    const cublaslt_gemm_t first = {
        .dtype = p->dtype,
        .m = p->tokens,
        .n = p->rank,
        .k = block_in,
        .batch = p->blocks,
        .a = {.ld = p->in_features, .stride = block_in, .transposed = false},
        .b = {.ld = block_in, .stride = p->rank * block_in, .transposed = true},
        .c = {.ld = p->rank, .stride = p->tokens * p->rank, .transposed = false}};
    const mix_args_t args = {.y = y,
                             .s = tensors[2],
                             .z = z,
                             .tokens = p->tokens,
                             .rank = p->rank,
                             .blocks = (int)p->blocks};
    status_t st = cublaslt_gemm(&first, tensors[0], tensors[1], y, workspace, stream);
    if (st == STATUS_OK) st = DISPATCH_DTYPE(p, mix, &args, (cudaStream_t)stream);
    if (st == STATUS_OK) st = blast_last_bmm(p, z, tensors[3], tensors[4], workspace, stream);
    return st;
}

static const variant_t blast_unfused = {
    .structure = "blast",
    .name = "unfused",
    .summary = "the paper's baseline: bmm, scale and sum on CUDA cores, bmm",
    .device = DEVICE_CUDA,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .cuda_core_flops = blast_mix_flops,
    .pack = blast_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(blast_unfused)
