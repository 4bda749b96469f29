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

/* Two neighbouring elements, of which the first `count` exist. */
template <bool EVEN> __device__ inline uint32_t pair_load(const uint16_t *from, int count) {
    if constexpr (EVEN) return count > 0 ? *(const uint32_t *)from : 0;
    return (count > 0 ? (uint32_t)from[0] : 0) | (count > 1 ? (uint32_t)from[1] << 16 : 0);
}

template <bool EVEN> __device__ inline void pair_store(uint16_t *to, uint32_t pair, int count) {
    if constexpr (EVEN) {
        if (count > 0) *(uint32_t *)to = pair;
    } else {
        if (count > 0) to[0] = (uint16_t)pair;
        if (count > 1) to[1] = (uint16_t)(pair >> 16);
    }
}

/* S[l0 .. l0+16][k0 .. k0+BLOCKS][rank0 .. rank0+64] to shared memory, zeros beyond its ends. */
template <int BLOCKS, bool EVEN>
__device__ inline void mix_load_scales(uint32_t *scales, const mix_args_t *args, int l0, int k0,
                                       int64_t rank0) {
    __syncthreads(); /* the previous chunk is no longer read */
    for (int i = (int)threadIdx.x; i < MIX_CHUNK * BLOCKS * 32; i += MIX_WARPS * 32) {
        const int l = l0 + i / 32 / BLOCKS, k = k0 + i / 32 % BLOCKS;
        const int64_t rank = rank0 + i % 32 * 2;
        const bool inside = l < args->blocks && k < args->blocks;
        const int count = inside ? (int)min((int64_t)2, args->rank - rank) : 0;
        const int64_t row = (int64_t)l * args->blocks + k;
        scales[i] = pair_load<EVEN>((const uint16_t *)args->s + row * args->rank + rank, count);
    }
    __syncthreads();
}

/*
 * A warp keeps z of TOKENS tokens x 2 ranks a lane x BLOCKS output blocks in registers and streams
 * the y of one input block after the other, each read once; AHEAD blocks are loaded in advance.
 * More than BLOCKS output blocks go to gridDim.z. EVEN: r is even, pairs are aligned.
 */
template <typename T, int BLOCKS, bool EVEN>
__global__ void __launch_bounds__(MIX_WARPS * 32, 2) mix_kernel(mix_args_t args) {
    constexpr int TOKENS = 64 / BLOCKS, AHEAD = BLOCKS / 4;
    extern __shared__ uint4 smem[];
    uint32_t *const scales = (uint32_t *)smem;
    const int lane = (int)threadIdx.x % 32, k0 = (int)blockIdx.z * BLOCKS;
    const int64_t rank0 = (int64_t)blockIdx.x * MIX_RANKS, rank = rank0 + lane * 2;
    const int count = (int)max((int64_t)0, min((int64_t)2, args.rank - rank));
    const bool chunked = args.blocks > MIX_CHUNK;

    const auto load = [&](uint32_t part[AHEAD][TOKENS], int l, int64_t token) {
#pragma unroll
        for (int a = 0; a < AHEAD; a++)
#pragma unroll
            for (int i = 0; i < TOKENS; i++) {
                const bool inside = l + a < args.blocks && token + i < args.tokens;
                const int64_t row = (l + a) * args.tokens + token + i;
                part[a][i] = pair_load<EVEN>((const uint16_t *)args.y + row * args.rank + rank,
                                             inside ? count : 0);
            }
    };

    if (!chunked) mix_load_scales<BLOCKS, EVEN>(scales, &args, 0, k0, rank0);
    for (int64_t tile = blockIdx.y; tile * MIX_WARPS * TOKENS < args.tokens; tile += gridDim.y) {
        const int64_t token = (tile * MIX_WARPS + threadIdx.x / 32) * TOKENS;
        float z[BLOCKS][TOKENS][2] = {};
        uint32_t now[AHEAD][TOKENS], next[AHEAD][TOKENS];
        load(now, 0, token);
        for (int l = 0; l < args.blocks; l += AHEAD) {
            if (chunked && l % MIX_CHUNK == 0)
                mix_load_scales<BLOCKS, EVEN>(scales, &args, l, k0, rank0);
            load(next, l + AHEAD, token);
#pragma unroll
            for (int a = 0; a < AHEAD; a++) {
                if (l + a >= args.blocks) break;
                const uint32_t *const row = scales + (l + a) % MIX_CHUNK * BLOCKS * 32 + lane;
#pragma unroll
                for (int k = 0; k < BLOCKS; k++) {
                    if (k0 + k >= args.blocks) break;
                    const float2 s = widen_pair<T>(row[k * 32]);
#pragma unroll
                    for (int i = 0; i < TOKENS; i++) {
                        const float2 y = widen_pair<T>(now[a][i]);
                        z[k][i][0] += s.x * y.x;
                        z[k][i][1] += s.y * y.y;
                    }
                }
            }
#pragma unroll
            for (int a = 0; a < AHEAD; a++)
#pragma unroll
                for (int i = 0; i < TOKENS; i++) now[a][i] = next[a][i];
        }
#pragma unroll
        for (int k = 0; k < BLOCKS; k++)
#pragma unroll
            for (int i = 0; i < TOKENS; i++) {
                const bool inside = k0 + k < args.blocks && token + i < args.tokens;
                const int64_t row = (k0 + k) * args.tokens + token + i;
                pair_store<EVEN>((uint16_t *)args.z + row * args.rank + rank,
                                 round_pair<T>(z[k][i][0], z[k][i][1]), inside ? count : 0);
            }
    }
}

template <typename T, int BLOCKS, bool EVEN>
static status_t mix_launch(const mix_args_t *args, cudaStream_t stream) {
    static uint64_t opted_in;
    const size_t bytes = (size_t)MIX_CHUNK * BLOCKS * MIX_RANKS * 2;
    const int64_t groups = ceil_div(args->blocks, BLOCKS);
    const int64_t rank_tiles = ceil_div(args->rank, MIX_RANKS);
    const int64_t token_tiles = ceil_div(args->tokens, MIX_WARPS * (64 / BLOCKS));
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
