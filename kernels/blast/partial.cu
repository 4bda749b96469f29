/*
 * blast/partial: the paper's optimisation (4). Stages 1 and 2 are one kernel, Y stays in registers.
 *
 *   Z[k][n][r] = sum_l S[l][k][r] (X_l V_l)[n][r]   ->   Y_k = Z_k U_k
 *
 * A block of threads owns a tile of tokens x ranks and z of all b output blocks in fp32 registers:
 * the larger b, the smaller the tile, and the more often X and V are read.
 */
#include "kernels/blast/stages.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile.cuh"

/* Warps form a 2 x 4 grid, tokens x ranks. */
enum { WARPS_M = 2, WARPS_N = 4, PARTIAL_THREADS = WARPS_M * WARPS_N * 32, MAX_BLOCKS = 32 };

typedef struct {
    const void *x, *v, *s;
    void *z;
    int64_t tokens, in_features, block_in, rank;
    int blocks;
} partial_args_t;

/* Sizes that follow from the most output blocks BLOCKS and the warp tile WM x WN. */
template <int BLOCKS, int WM, int WN> struct partial_shape {
    static constexpr int BM = WARPS_M * WM, BN = WARPS_N * WN, PITCH = BN + 8;
    static constexpr int STAGES = BLOCKS == 4 ? 3 : 4, STAGE = (BM + BN) * TILE_K;
    static constexpr int RESULT = BM * PITCH;               /* z of one output block */
    static constexpr int RESULTS = STAGES * STAGE / RESULT; /* that fit where the stages were */
    static constexpr int GROUPS = (BLOCKS + RESULTS - 1) / RESULTS;
    static constexpr size_t scale_bytes(int blocks) {
        return (size_t)blocks * blocks * BN * 2;
    }
    static constexpr size_t smem_bytes(int blocks) {
        return STAGES * STAGE * 2 + scale_bytes(blocks);
    }
};

/* S[l][k][rank0 .. rank0+BN] of all l and k to shared memory, zeros beyond r. */
template <int BN>
__device__ inline void partial_load_scales(uint16_t *scales, const partial_args_t *args,
                                           int64_t rank0) {
    const int rows = args->blocks * args->blocks, ranks = (int)min((int64_t)BN, args->rank - rank0);
    const uint16_t *const from = (const uint16_t *)args->s + rank0;
    if (args->rank % 8 == 0) {
        for (int i = (int)threadIdx.x; i < rows * (BN / 8); i += PARTIAL_THREADS) {
            const int row = i / (BN / 8), column = i % (BN / 8) * 8;
            ((uint4 *)scales)[i] = column < ranks
                                       ? *(const uint4 *)(from + row * args->rank + column)
                                       : make_uint4(0, 0, 0, 0);
        }
    } else {
        for (int i = (int)threadIdx.x; i < rows * BN; i += PARTIAL_THREADS) {
            const int row = i / BN, column = i % BN;
            scales[i] = column < ranks ? from[row * args->rank + column] : (uint16_t)0;
        }
    }
}

/* Stores `count` results, tiles of BM x PITCH in shared memory, to Z[k0 ...]. */
template <int BM, int BN>
__device__ inline void partial_store(const uint16_t *results, const partial_args_t *args, int k0,
                                     int count, int64_t token0, int64_t rank0) {
    constexpr int PITCH = BN + 8, VECTORS = BN / 8;
    for (int i = (int)threadIdx.x; i < count * BM * VECTORS; i += PARTIAL_THREADS) {
        const int row = i / VECTORS % BM, column = i % VECTORS * 8, k = i / VECTORS / BM;
        const int64_t left = args->rank - rank0 - column;
        if (token0 + row >= args->tokens || left <= 0) continue;
        const uint16_t *const from = results + (k * BM + row) * PITCH + column;
        const int64_t line = (k0 + k) * args->tokens + token0 + row;
        uint16_t *const to = (uint16_t *)args->z + line * args->rank + rank0 + column;
        if (args->rank % 8 == 0)
            *(uint4 *)to = *(const uint4 *)from;
        else
            for (int e = 0; e < 8 && e < left; e++) to[e] = from[e];
    }
}

/* z[k] += S[l][k] y for this warp's part of the tile; scales points at S[l][0] of its ranks. */
template <typename T, int BLOCKS, int MT, int NT, int BN>
__device__ inline void partial_mix(float z[BLOCKS][MT][NT][4], const float y[MT][NT][4],
                                   const uint16_t *scales, int blocks) {
#pragma unroll
    for (int k = 0; k < BLOCKS; k++) {
        if (k >= blocks) break;
#pragma unroll
        for (int j = 0; j < NT; j++) {
            const float2 s = widen_pair<T>(*(const uint32_t *)(scales + k * BN + j * 8));
#pragma unroll
            for (int i = 0; i < MT; i++) {
                z[k][i][j][0] += s.x * y[i][j][0];
                z[k][i][j][1] += s.y * y[i][j][1];
                z[k][i][j][2] += s.x * y[i][j][2];
                z[k][i][j][3] += s.y * y[i][j][3];
            }
        }
    }
}

template <typename T, int BLOCKS, int WM, int WN, bool VECTOR>
static __global__ void __launch_bounds__(PARTIAL_THREADS, 1)
    partial_kernel(partial_args_t args, unsigned token_tiles) {
    using shape = partial_shape<BLOCKS, WM, WN>;
    constexpr int BM = shape::BM, BN = shape::BN, STAGES = shape::STAGES, MT = WM / 16, NT = WN / 8;
    extern __shared__ __align__(128) uint4 smem[];
    T *const stages = (T *)smem;
    uint16_t *const scales = (uint16_t *)(stages + STAGES * shape::STAGE);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int row = warp / WARPS_N * WM, column = warp % WARPS_N * WN;
    const int64_t token0 = (int64_t)(blockIdx.x % token_tiles) * BM;
    const int64_t rank0 = (int64_t)(blockIdx.x / token_tiles) * BN;
    const int tokens = (int)min((int64_t)BM, args.tokens - token0);
    const int ranks = (int)min((int64_t)BN, args.rank - rank0);
    const int chunks = (int)((args.block_in + TILE_K - 1) / TILE_K), steps = chunks * args.blocks;

    int ahead_l = 0, ahead_chunk = 0; /* what the next load brings; beyond the last it is zeros */
    const auto load = [&](int step, int part) {
        T *const stage = stages + step % STAGES * shape::STAGE;
        const T *const x = (const T *)args.x + token0 * args.in_features + ahead_l * args.block_in;
        const T *const v = (const T *)args.v + (ahead_l * args.rank + rank0) * args.block_in;
        const int64_t k = (int64_t)ahead_chunk * TILE_K;
        const bool inside = step < steps;
        tile_load_part<BM, PARTIAL_THREADS, VECTOR>(stage, x, args.in_features, inside ? tokens : 0,
                                                    k, args.block_in, part);
        tile_load_part<BN, PARTIAL_THREADS, VECTOR>(stage + BM * TILE_K, v, args.block_in,
                                                    inside ? ranks : 0, k, args.block_in, part);
        if (part < TILE_PARTS - 1) return;
        if (++ahead_chunk == chunks) ahead_chunk = 0, ahead_l++;
        cp_async_commit();
    };

    float z[BLOCKS][MT][NT][4] = {}, y[MT][NT][4] = {};
    for (int step = 0; step < STAGES - 1; step++)
#pragma unroll
        for (int part = 0; part < TILE_PARTS; part++) load(step, part);
    partial_load_scales<BN>(scales, &args, rank0); /* seen by all after the first barrier */
    int l = 0, chunk = 0;
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        const T *const stage = stages + step % STAGES * shape::STAGE;
        tile_mma<T, MT, NT, false>(y, stage, stage + BM * TILE_K, row, column,
                                   [&](int part) { load(step + STAGES - 1, part); });
        if (++chunk < chunks) continue;
        const uint16_t *const s = scales + l * args.blocks * BN + column + lane % 4 * 2;
        partial_mix<T, BLOCKS, MT, NT, BN>(z, y, s, args.blocks);
#pragma unroll
        for (int i = 0; i < MT * NT * 4; i++) (&y[0][0][0])[i] = 0;
        chunk = 0, l++;
    }
    cp_async_wait<0>();

#pragma unroll
    for (int group = 0; group < shape::GROUPS; group++) {
        const int k0 = group * shape::RESULTS;
        if (k0 >= args.blocks) break;
        __syncthreads();
#pragma unroll
        for (int i = 0; i < shape::RESULTS && k0 + i < BLOCKS; i++)
            tile_store<T, MT, NT>(stages + i * shape::RESULT, shape::PITCH, z[k0 + i], row, column);
        __syncthreads();
        partial_store<BM, BN>((const uint16_t *)stages, &args, k0,
                              min(shape::RESULTS, args.blocks - k0), token0, rank0);
    }
}

template <typename T, int BLOCKS, int WM, int WN, bool VECTOR>
static status_t partial_launch(const partial_args_t *args, cudaStream_t stream) {
    using shape = partial_shape<BLOCKS, WM, WN>;
    static uint64_t opted_in;
    const auto kernel = partial_kernel<T, BLOCKS, WM, WN, VECTOR>;
    const int64_t token_tiles = ceil_div(args->tokens, shape::BM);
    const int64_t rank_tiles = ceil_div(args->rank, shape::BN);
    if (token_tiles * rank_tiles > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "%lld tokens are more than one launch can hold",
                    (long long)args->tokens);
    const status_t st = smem_opt_in((const void *)kernel, shape::smem_bytes(BLOCKS), &opted_in);
    if (st != STATUS_OK) return st;
    kernel<<<(unsigned)(token_tiles * rank_tiles), PARTIAL_THREADS, shape::smem_bytes(args->blocks),
             stream>>>(*args, (unsigned)token_tiles);
    CUDA_LAUNCHED("partial_kernel");
    return STATUS_OK;
}

/* The warp tile for b output blocks: z of all of them must fit into the registers. */
static constexpr int warp_m(int64_t blocks) {
    return blocks <= 16 ? 32 : 16;
}
static constexpr int warp_n(int64_t blocks) {
    return blocks <= 4 ? 32 : blocks <= 8 ? 16 : 8;
}

template <typename T, int BLOCKS, bool VECTOR>
static status_t partial_tile(const partial_args_t *args, cudaStream_t stream) {
    return partial_launch<T, BLOCKS, warp_m(BLOCKS), warp_n(BLOCKS), VECTOR>(args, stream);
}

template <typename T, bool VECTOR>
static status_t partial_blocks(const partial_args_t *args, cudaStream_t stream) {
    if (args->blocks <= 4) return partial_tile<T, 4, VECTOR>(args, stream);
    if (args->blocks <= 8) return partial_tile<T, 8, VECTOR>(args, stream);
    if (args->blocks <= 16) return partial_tile<T, 16, VECTOR>(args, stream);
    return partial_tile<T, MAX_BLOCKS, VECTOR>(args, stream);
}

template <typename T> static status_t partial(const partial_args_t *args, cudaStream_t stream) {
    const int64_t distances = args->in_features | args->block_in;
    const uintptr_t addresses = (uintptr_t)args->x | (uintptr_t)args->v;
    return distances % 8 == 0 && addresses % 16 == 0 ? partial_blocks<T, true>(args, stream)
                                                     : partial_blocks<T, false>(args, stream);
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    if (!supports_portable(device, why, why_len)) return false;
    if (p->blocks <= MAX_BLOCKS) return true;
    snprintf(why, why_len, "z of all blocks is kept in registers: at most %d blocks", MAX_BLOCKS);
    return false;
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = (double)dtype_size(p->dtype) * (double)blast_inner_elements(p);
    return 1;
}

/* X is read for each tile of ranks, V for each tile of tokens; by each warp for its own tile. */
static tiling_t tiling(const problem_t *p) {
    const double rows = warp_m(p->blocks), columns = warp_n(p->blocks);
    const double token_tiles = (double)ceil_div(p->tokens, WARPS_M * warp_m(p->blocks));
    const double rank_tiles = (double)ceil_div(p->rank, WARPS_N * warp_n(p->blocks));
    const double size = (double)dtype_size(p->dtype), row_bytes = size * (double)p->in_features;
    const double flops = 2.0 * (double)p->tokens * (double)p->rank * (double)p->in_features;
    return {.blocks = token_tiles * rank_tiles,
            .flops = flops,
            .reread_bytes = row_bytes * ((double)p->tokens * (rank_tiles - 1) +
                                         (double)p->rank * (token_tiles - 1)),
            .shared_bytes = flops / 2 * size * (1 / rows + 1 / columns)};
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return CUBLASLT_WORKSPACE_BYTES + buffer_bytes(p, blast_inner_elements(p));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    char *const z = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    const partial_args_t args = {.x = tensors[0],
                                 .v = tensors[1],
                                 .s = tensors[2],
                                 .z = z,
                                 .tokens = p->tokens,
                                 .in_features = p->in_features,
                                 .block_in = p->in_features / p->blocks,
                                 .rank = p->rank,
                                 .blocks = (int)p->blocks};
    const status_t st = DISPATCH_DTYPE(p, partial, &args, (cudaStream_t)stream);
    if (st != STATUS_OK) return st;
    return blast_last_bmm(p, z, tensors[3], tensors[4], workspace, stream);
}

static const variant_t blast_partial = {
    .structure = "blast",
    .name = "partial",
    .summary = "stages 1 and 2 in one kernel, the sums in registers (4); then bmm",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .cuda_core_flops = blast_mix_flops,
    .tiling = tiling,
    .pack = blast_pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(blast_partial)
