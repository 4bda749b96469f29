/*
 * blast/unfused: the paper's baseline, bmm - scale and sum - bmm.
 *
 *   Y[l][n][r] = X_l V_l   ->   Z[k][n][r] = sum_l S[l][k][r] Y[l][n][r]   ->   Y_k = Z_k U_k
 */
#include "kernels/blast/stages.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

/* A lane owns two ranks, a warp 64; S of 16 input blocks is in shared memory at a time. */
enum { MIX_WARPS = 4, MIX_RANKS = 64, MIX_CHUNK = 16 };

typedef struct {
    const void *y, *s;
    void *z;
    int64_t tokens, rank;
    int blocks;
} mix_args_t;

/* Tokens a warp: as many as reuse a scale well and leave registers for b sums of each. */
static constexpr int mix_tokens(int blocks) {
    return blocks == 4 ? 8 : blocks == 32 ? 2 : 4;
}

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

/* S[l0 .. l0+16][k0 .. k0+BLOCKS][two ranks a lane] to shared memory, zeros beyond b. */
template <int BLOCKS, bool EVEN>
__device__ inline void mix_load_scales(uint32_t *scales, const mix_args_t *args, int l0, int k0,
                                       int64_t column, int second) {
    __syncthreads(); /* the previous chunk is no longer read */
    for (int i = (int)threadIdx.x / 32; i < MIX_CHUNK * BLOCKS; i += MIX_WARPS) {
        const int l = l0 + i / BLOCKS, k = k0 + i % BLOCKS;
        const int64_t row = (int64_t)l * args->blocks + k;
        const uint16_t *const from = (const uint16_t *)args->s + row * args->rank + column;
        const bool inside = l < args->blocks && k < args->blocks;
        scales[i * 32 + threadIdx.x % 32] = inside ? pair_load<EVEN>(from, second) : 0;
    }
    __syncthreads();
}

/* z[k] += S[l][k] y of one input block, for two ranks; zero scales pad b to a multiple of 4. */
template <typename T, int BLOCKS, int TOKENS>
__device__ inline void mix_add(float z[BLOCKS][TOKENS][2], const uint32_t y[TOKENS],
                               const uint32_t *scales, int blocks) {
#pragma unroll
    for (int k = 0; k < BLOCKS; k++) {
        if (k % 4 == 0 && k >= blocks) break;
        const float2 s = widen_pair<T>(scales[k * 32]);
#pragma unroll
        for (int i = 0; i < TOKENS; i++) {
            const float2 pair = widen_pair<T>(y[i]);
            z[k][i][0] += s.x * pair.x;
            z[k][i][1] += s.y * pair.y;
        }
    }
}

/*
 * A warp keeps z of TOKENS tokens x 2 ranks a lane x BLOCKS output blocks in registers and streams
 * the y of one input block after the other, each read once; AHEAD blocks are loaded in advance.
 * More than BLOCKS output blocks go to gridDim.z. EVEN: r is even, pairs are aligned. Loads beyond
 * an end are clamped to it, so that they need no branch; their results are not stored.
 */
template <typename T, int BLOCKS, bool EVEN>
static __global__ void __launch_bounds__(MIX_WARPS * 32, 2) mix_kernel(mix_args_t args) {
    constexpr int TOKENS = mix_tokens(BLOCKS), AHEAD = 16 / TOKENS;
    extern __shared__ uint4 smem[];
    uint32_t *const scales = (uint32_t *)smem;
    const int lane = (int)threadIdx.x % 32, k0 = (int)blockIdx.z * BLOCKS;
    const int64_t wanted = (int64_t)blockIdx.x * MIX_RANKS + lane * 2;
    const int64_t column = min(wanted, args.rank - (EVEN ? 2 : 1));
    const int second = column + 1 < args.rank, blocks = args.blocks, rank = (int)args.rank;
    const int64_t block_stride = args.tokens * args.rank;
    const bool chunked = blocks > MIX_CHUNK;

    if (!chunked) mix_load_scales<BLOCKS, EVEN>(scales, &args, 0, k0, column, second);
    for (int64_t tile = blockIdx.y; tile * MIX_WARPS * TOKENS < args.tokens; tile += gridDim.y) {
        const int64_t token = (tile * MIX_WARPS + threadIdx.x / 32) * TOKENS;
        const int64_t first = min(token, args.tokens - 1);
        const int last = (int)min((int64_t)TOKENS, args.tokens - first) - 1;
        const uint16_t *const from = (const uint16_t *)args.y + first * args.rank + column;
        const auto load = [&](uint32_t part[AHEAD][TOKENS], int l) {
#pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                const uint16_t *const block = from + min(l + a, blocks - 1) * block_stride;
#pragma unroll
                for (int i = 0; i < TOKENS; i++)
                    part[a][i] = pair_load<EVEN>(block + (int64_t)min(i, last) * rank, second);
            }
        };
        float z[BLOCKS][TOKENS][2] = {};
        uint32_t now[AHEAD][TOKENS], next[AHEAD][TOKENS];
        load(next, 0);
        for (int l = 0; l < blocks; l += AHEAD) {
            if (chunked && l % MIX_CHUNK == 0)
                mix_load_scales<BLOCKS, EVEN>(scales, &args, l, k0, column, second);
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
#pragma unroll
                for (int i = 0; i < TOKENS; i++) now[a][i] = next[a][i];
            if (l + AHEAD < blocks) load(next, l + AHEAD);
#pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                if (l + a >= blocks) break;
                const uint32_t *const row = scales + (l + a) % MIX_CHUNK * BLOCKS * 32 + lane;
                mix_add<T, BLOCKS, TOKENS>(z, now[a], row, blocks - k0);
            }
        }
        uint16_t *const to = (uint16_t *)args.z + k0 * block_stride + first * args.rank + column;
        if (wanted >= args.rank || token >= args.tokens) continue;
#pragma unroll
        for (int k = 0; k < BLOCKS; k++) {
            if (k0 + k >= blocks) break;
#pragma unroll
            for (int i = 0; i < TOKENS; i++)
                if (i <= last)
                    pair_store<EVEN>(to + k * block_stride + (int64_t)i * rank,
                                     round_pair<T>(z[k][i][0], z[k][i][1]), second);
        }
    }
}

template <typename T, int BLOCKS, bool EVEN>
static status_t mix_launch(const mix_args_t *args, cudaStream_t stream) {
    static uint64_t opted_in;
    const size_t bytes = (size_t)MIX_CHUNK * BLOCKS * MIX_RANKS * 2;
    const int64_t groups = ceil_div(args->blocks, BLOCKS);
    const int64_t rank_tiles = ceil_div(args->rank, MIX_RANKS);
    const int64_t token_tiles = ceil_div(args->tokens, MIX_WARPS * mix_tokens(BLOCKS));
    int sms = 0;
    status_t st = device_sm_count(&sms);
    if (st != STATUS_OK) return st;
    st = smem_opt_in((const void *)mix_kernel<T, BLOCKS, EVEN>, bytes, &opted_in);
    if (st != STATUS_OK) return st;
    /* About four blocks an SM: each then uses the S it loaded for several tiles of tokens. */
    const int64_t wanted = ceil_div((int64_t)sms * 4, rank_tiles * groups);
    const dim3 grid((unsigned)rank_tiles, grid_yz(wanted < token_tiles ? wanted : token_tiles),
                    grid_yz(groups));
    mix_kernel<T, BLOCKS, EVEN><<<grid, MIX_WARPS * 32, bytes, stream>>>(*args);
    CUDA_LAUNCHED("mix_kernel");
    return STATUS_OK;
}

template <typename T, bool EVEN>
static status_t mix_blocks(const mix_args_t *args, cudaStream_t stream) {
    if (args->blocks <= 4) return mix_launch<T, 4, EVEN>(args, stream);
    if (args->blocks <= 8) return mix_launch<T, 8, EVEN>(args, stream);
    if (args->blocks <= 16) return mix_launch<T, 16, EVEN>(args, stream);
    return mix_launch<T, 32, EVEN>(args, stream);
}

template <typename T> static status_t mix(const mix_args_t *args, cudaStream_t stream) {
    return args->rank % 2 == 0 ? mix_blocks<T, true>(args, stream)
                               : mix_blocks<T, false>(args, stream);
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
