/*
 * blast/three_bmm_int8: three batched products with both intermediates in int8, by own kernels.
 *
 *   Y_l = X_l V_l   ->   Z_k[n][r] = sum_l s_lk[r] Y_l[n][r]   ->   Y_k = Z_k U_k
 *
 * The kernel that writes 64 ranks of a token has them all in registers, so quantising costs no pass
 * over memory. Stages 2 and 3 turn codes (int8_codes.cuh) into the 16-bit dtype on the way to the
 * matrix units. Weights are not quantised.
 */
#include "kernels/blast/int8_codes.cuh"

/*
 * The error that the format explains, relative to the norm of the result. Rounding to steps of
 * max/127 leaves an error uniform in half a step to both sides, max / (127 sqrt(12)) in the root
 * mean square. Over 64 random values of standard deviation 1 max is about 2.7 if they are sums of
 * many terms, and up to 3.5 if Z is a product of two numbers (one block), so one rounding costs
 * 0.6 to 0.8 %. Products with random S and U keep relative errors; Y and Z add in squares to at
 * most 1.1 %. Three roundings to bf16 (of Y and Z before the matrix units, and of the result), 0.17
 * % each, make it 1.15 %.
 */
static const double INT8_TOLERANCE = 0.012;

enum { MIX_WARPS = PIECES, MIX_BLOCKS = 3 /* of threads an SM */ };

/* Stage 1: a warp has 64 columns of 16 * MT rows; tile and group are its place in Y_l. */
template <int MT>
__device__ inline void y_store(const float acc[MT][8][4], const mixed_shape_t &s, quantised_t y,
                               int64_t l, int64_t group0, int64_t tile) {
    const int lane = (int)threadIdx.x % 32, token = lane / 4, piece = lane % 4;
    if (tile >= s.tiles) return;
#pragma unroll
    for (int i = 0; i < MT * 2; i++) {
        float values[PIECE_RANKS], magnitude = 0;
#pragma unroll
        for (int e = 0; e < PIECE_RANKS; e++) {
            values[e] = acc[i / 2][e / 2][i % 2 * 2 + e % 2];
            magnitude = larger(magnitude, values[e]);
        }
        magnitude = larger(magnitude, __shfl_xor_sync(~0u, magnitude, 1));
        magnitude = larger(magnitude, __shfl_xor_sync(~0u, magnitude, 2));
        const float scale = scale_of(magnitude);
        const int64_t group = group0 + i;
        if (group >= s.groups) return;
        store_vector(s.piece(y, l, group, tile, piece) + token * PIECE_RANKS,
                     quantise(values, 1 / scale));
        if (piece == 0) s.scale(y, l, tile)[group * PIECE_TOKENS + token] = scale;
    }
}

/* Y of one tile after the other; the ring already loads the next one while a tile is quantised. */
template <typename T, typename TILE, bool VECTOR>
static __global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    first_kernel(const T *x, const T *v, quantised_t y, mixed_shape_t s, unsigned tiles_m,
                 unsigned tiles_n) {
    constexpr int BM = TILE::BM, BN = TILE::BN, STAGES = TILE::STAGES, MT = TILE::WM / 16;
    static_assert(TILE::WN == SCALE_RANKS, "a warp finds the scales of its columns");
    extern __shared__ __align__(128) uint4 smem[];
    T *const stages = (T *)smem;
    const int warp = (int)threadIdx.x / 32;
    const int row_a = warp / (BN / TILE::WN) * TILE::WM, row_b = warp % (BN / TILE::WN) * TILE::WN;
    const unsigned tiles = tiles_m * tiles_n * (unsigned)s.blocks;
    const int steps = (int)((s.block_in + TILE_K - 1) / TILE_K);
    dependents_launch();

    unsigned ahead = blockIdx.x; /* the tile that loads are in, and how far */
    int ahead_step = 0, ahead_slot = 0, rows = 0, columns = 0;
    const T *a = x, *b = v;
    const auto load = [&] {
        if (ahead < tiles) {
            if (ahead_step == 0) {
                const int64_t row0 = (int64_t)(ahead % tiles_m) * BM, l = ahead / tiles_m / tiles_n;
                const int64_t column0 = (int64_t)(ahead / tiles_m % tiles_n) * BN;
                a = x + row0 * s.in_features + l * s.block_in;
                b = v + (l * s.rank + column0) * s.block_in;
                rows = (int)min((int64_t)BM, s.tokens - row0);
                columns = (int)min((int64_t)BN, s.rank - column0);
            }
            T *const stage = stages + ahead_slot * TILE::STAGE;
            const int64_t k = (int64_t)ahead_step * TILE_K;
            tile_load<BM, TILE::THREADS, VECTOR>(stage, a, s.in_features, rows, k, s.block_in);
            tile_load<BN, TILE::THREADS, VECTOR>(stage + BM * TILE_K, b, s.block_in, columns, k,
                                                 s.block_in);
            if (++ahead_slot == STAGES) ahead_slot = 0;
            if (++ahead_step == steps) ahead_step = 0, ahead += gridDim.x;
        }
        cp_async_commit();
    };

    for (int step = 0; step < STAGES - 1; step++) load();
    int slot = 0;
    for (unsigned tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        float acc[MT][8][4] = {};
        for (int step = 0; step < steps; step++) {
            cp_async_wait<STAGES - 2>();
            __syncthreads();
            load();
            const T *const stage = stages + slot * TILE::STAGE;
            tile_mma<T, MT, 8, false>(acc, stage, stage + BM * TILE_K, row_a, row_b, [](int) {});
            if (++slot == STAGES) slot = 0;
        }
        const int64_t group0 = ((int64_t)(tile % tiles_m) * BM + row_a) / PIECE_TOKENS;
        const int64_t column = (int64_t)(tile / tiles_m % tiles_n) * BN + row_b;
        y_store<MT>(acc, s, y, tile / tiles_m / tiles_n, group0, column / SCALE_RANKS);
    }
}

/* A lane's 16 ranks of one token of four input blocks: what it contributes to 16 mma. */
typedef struct {
    uint4 codes[4];
    float scales[4];
} y_part_t;

template <int ROWS>
__device__ inline void y_load(y_part_t &part, const mixed_shape_t &s, quantised_t y, int l0,
                              int64_t group, int64_t tile) {
    const int piece = (int)threadIdx.x / 32, token = (int)threadIdx.x % 32 / 4;
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int l = l0 + (int)threadIdx.x % 4 * 2 + i % 2 + i / 2 * 8;
        const bool valid = l < s.blocks;
        part.codes[i] =
            valid ? *(const uint4 *)(s.piece(y, l, group, tile, piece) + token * PIECE_RANKS)
                  : make_uint4(0, 0, 0, 0);
        part.scales[i] = valid ? s.scale(y, l, tile)[group * PIECE_TOKENS + token] : 0;
    }
}

/* acc[e] += S block * Y of rank e. */
template <typename T, int ROWS>
__device__ inline void y_mma(float acc[PIECE_RANKS][4], const y_part_t &part, const uint4 *s,
                             int stride) {
    affine_t a[ROWS];
#pragma unroll
    for (int i = 0; i < ROWS; i++) a[i] = affine(part.scales[i]);
#pragma unroll
    for (int e = 0; e < PIECE_RANKS; e++) {
        float values[4] = {};
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const uint32_t words[4] = {part.codes[i].x, part.codes[i].y, part.codes[i].z,
                                       part.codes[i].w};
            values[i] = dequantise(words[e / 4], e % 4, a[i]);
        }
        const uint4 fragment = s[e * stride];
        const uint32_t a_part[4] = {fragment.x, fragment.y, fragment.z, fragment.w};
        const uint32_t b_part[2] = {round_pair<T>(values[0], values[1]),
                                    round_pair<T>(values[2], values[3])};
        mma_16816<T>(acc[e], a_part, b_part);
    }
}

/*
 * Stage 2's results of 16 output blocks from k0 on, 8 tokens, this warp's 16 ranks: the other warps
 * have the other ranks of the scale. ROWS as in mix_kernel().
 */
template <int ROWS>
__device__ inline void z_store(const float acc[PIECE_RANKS][4], float4 maxima[MIX_WARPS][32],
                               const mixed_shape_t &s, quantised_t z, int k0, int64_t group,
                               int64_t tile) {
    const int lane = (int)threadIdx.x % 32, row = lane / 4, pair = lane % 4;
    const int piece = (int)threadIdx.x / 32;
    float most[4] = {};
#pragma unroll
    for (int e = 0; e < PIECE_RANKS; e++)
#pragma unroll
        for (int i = 0; i < ROWS; i++) most[i] = larger(most[i], acc[e][i]);
    maxima[piece][lane] = make_float4(most[0], most[1], most[2], most[3]);
    __syncthreads();
#pragma unroll
    for (int w = 0; w < MIX_WARPS; w++) {
        const float4 other = maxima[w][lane];
        most[0] = larger(most[0], other.x), most[1] = larger(most[1], other.y);
        most[2] = larger(most[2], other.z), most[3] = larger(most[3], other.w);
    }
#pragma unroll
    for (int i = 0; i < ROWS; i += 2) {
        const int k = k0 + row + i * 4;
        if (k >= s.blocks) break;
        const float scales[2] = {scale_of(most[i]), scale_of(most[i + 1])};
        uint8_t *const to = s.piece(z, k, group, tile, piece) + pair * PIECE_RANKS;
#pragma unroll
        for (int e = 0; e < 2; e++) {
            float values[PIECE_RANKS];
#pragma unroll
            for (int r = 0; r < PIECE_RANKS; r++) values[r] = acc[r][i + e];
            store_vector(to + e * 4 * PIECE_RANKS, quantise(values, 1 / scales[e]));
        }
        if (piece == 0)
            *(float2 *)(s.scale(z, k, tile) + group * PIECE_TOKENS + pair * 2) =
                make_float2(scales[0], scales[1]);
    }
}

/*
 * Stage 2: four warps share 64 ranks and go through groups of 8 tokens, so that their part of S
 * stays in L1. A warp multiplies S of each of 16 ranks (16 x 16 blocks) with Y (16 blocks x 8
 * tokens). ROWS: 2 where blocks are at most 8, and half of each operand is zero; else 4. In a piece
 * of Z even tokens stand before odd ones, which makes 64 bytes of the four lanes of a row.
 */
template <typename T, int ROWS>
static __global__ void __launch_bounds__(MIX_WARPS * 32, MIX_BLOCKS)
    mix_kernel(quantised_t y, const uint4 *fragments, quantised_t z, mixed_shape_t s,
               int groups_each) {
    __shared__ float4 maxima[2][MIX_WARPS][32];
    const int64_t tile = blockIdx.x % s.tiles, group0 = blockIdx.x / s.tiles * groups_each;
    const int64_t end = min(group0 + groups_each, s.groups);
    const int stride = s.sides * s.sides * 32;
    const uint4 *const mine =
        fragments + (tile * SCALE_RANKS + (int)threadIdx.x / 32 * PIECE_RANKS) * (int64_t)stride +
        (int)threadIdx.x % 32;
    dependents_launch();
    dependency_wait();

    y_part_t now, next;
    y_load<ROWS>(next, s, y, 0, group0, tile);
    int buffer = 0;
    for (int64_t group = group0; group < end; group++) {
        for (int k = 0; k < s.sides; k++, buffer ^= 1) {
            float acc[PIECE_RANKS][4] = {};
            for (int l = 0; l < s.sides; l++) {
                now = next;
                const bool last_l = l + 1 == s.sides, last = last_l && k + 1 == s.sides;
                if (!last || group + 1 < end)
                    y_load<ROWS>(next, s, y, last_l ? 0 : (l + 1) * 16, last ? group + 1 : group,
                                 tile);
                y_mma<T, ROWS>(acc, now, mine + (k * s.sides + l) * 32, stride);
            }
            z_store<ROWS>(acc, maxima[buffer], s, z, k * 16, group, tile);
        }
    }
}

/* A stage of stage 3's ring: U (BN x 64), codes (BM x 64 bytes), scales (BM), in this order. */
template <int BM, int BN, int WM, int WN, int STAGES, int BLOCKS>
struct code_tile : gemm_tile<BM, BN, WM, WN, STAGES, BLOCKS> {
    static constexpr int U_BYTES = BN * TILE_K * 2, CODE_BYTES = BM * SCALE_RANKS;
    static constexpr int STAGE_BYTES = U_BYTES + CODE_BYTES + BM * (int)sizeof(float);
    static constexpr int RESULT_BYTES = BM * (BN + 8) * 2;
    static constexpr size_t SMEM_BYTES =
        STAGES * STAGE_BYTES > RESULT_BYTES ? STAGES *STAGE_BYTES : RESULT_BYTES;
};

/* Starts the copy of 64 ranks of Z_k, tokens of BM / 8 groups, and of their scales. */
template <typename TILE>
__device__ inline void z_load(char *stage, const mixed_shape_t &s, quantised_t z, int64_t k,
                              int64_t group0, int64_t tile) {
    constexpr int CHUNKS = PIECES * PIECE / 16, PASSES = TILE::BM / 8 * CHUNKS / TILE::THREADS;
    static_assert(TILE::THREADS >= TILE::BM / 4 && TILE::THREADS % CHUNKS == 0, "passes are whole");
    const int thread = (int)threadIdx.x, groups = (int)min(s.groups - group0, (int64_t)TILE::BM);
    const uint8_t *const from = s.piece(z, k, group0, tile, 0) + thread % CHUNKS * 16;
    char *const codes = stage + TILE::U_BYTES;
#pragma unroll
    for (int pass = 0; pass < PASSES; pass++) {
        const int group = pass * (TILE::THREADS / CHUNKS) + thread / CHUNKS;
        cp_async(codes + (pass * TILE::THREADS + thread) * 16,
                 from + group * s.tiles * (PIECES * PIECE), group < groups);
    }
    if (thread < TILE::BM / 4)
        cp_async(codes + TILE::CODE_BYTES + thread * 16,
                 s.scale(z, k, tile) + group0 * PIECE_TOKENS + thread * 4, thread / 2 < groups);
}

/* acc += Z U over 64 ranks: codes become operands in registers. */
template <typename T, typename TILE>
__device__ inline void code_mma(float acc[TILE::WM / 16][TILE::WN / 8][4], const char *stage,
                                int row_a, int row_b) {
    constexpr int MT = TILE::WM / 16, NT = TILE::WN / 8;
    const int lane = (int)threadIdx.x % 32, eighth = lane % 8;
    const T *const u = (const T *)stage;
    const uint8_t *const codes = (const uint8_t *)stage + TILE::U_BYTES;
    const float *const scales = (const float *)(codes + TILE::CODE_BYTES) + row_a + lane / 4;
    /* matrices: token groups 0, 1 of piece 0, then of piece 1; even tokens stand before odd ones */
    const int place = eighth % 2 * 4 + eighth / 2;
    const uint8_t *const from =
        codes + ((row_a / 8 + lane / 8 % 2) * PIECES + lane / 16) * PIECE + place * PIECE_RANKS;
    uint32_t words[2][MT][4], b_part[2][NT][2];
    const auto load_b = [&](int step) {
#pragma unroll
        for (int j = 0; j < NT; j += 2)
            ldmatrix_x4(b_part[step % 2][j], u + tile_offset(row_b + j * 8 + lane / 16 * 8 + eighth,
                                                             2 * step + lane / 8 % 2));
    };
    /* of steps step and step + 1 */
    const auto load_codes = [&](int step) {
#pragma unroll
        for (int i = 0; i < MT; i++)
            ldmatrix_x4(words[step / 2 % 2][i], from + (i * 2 * PIECES + step) * PIECE);
    };
    load_codes(0);
    load_b(0);
    affine_t a[MT][2];
#pragma unroll
    for (int i = 0; i < MT * 2; i++) a[i / 2][i % 2] = affine(scales[i * 8]);
#pragma unroll
    for (int step = 0; step < PIECES; step++) {
        if (step + 1 < PIECES) load_b(step + 1);
        if (step == 0) load_codes(2);
#pragma unroll
        for (int i = 0; i < MT; i++) {
            const uint32_t *const pair = words[step / 2][i] + step % 2 * 2;
            uint32_t a_part[4]; /* rows alternate, then columns */
#pragma unroll
            for (int e = 0; e < 4; e++)
                a_part[e] = round_pair<T>(dequantise(pair[e % 2], e / 2 * 2, a[i][e % 2]),
                                          dequantise(pair[e % 2], e / 2 * 2 + 1, a[i][e % 2]));
#pragma unroll
            for (int j = 0; j < NT; j++) mma_16816<T>(acc[i][j], a_part, b_part[step % 2][j]);
        }
    }
}

/* Stage 3. */
template <typename T, typename TILE>
static __global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    last_kernel(quantised_t z, const T *u, mixed_shape_t s, strided_out_t out, unsigned tiles_m,
                unsigned tiles_n) {
    constexpr int BM = TILE::BM, BN = TILE::BN, STAGES = TILE::STAGES;
    extern __shared__ __align__(128) uint4 smem[];
    char *const stages = (char *)smem;
    const int warp = (int)threadIdx.x / 32;
    const int row_a = warp / (BN / TILE::WN) * TILE::WM, row_b = warp % (BN / TILE::WN) * TILE::WN;
    const int64_t row0 = (int64_t)(blockIdx.x % tiles_m) * BM, k = blockIdx.x / tiles_m / tiles_n;
    const int64_t column0 = (int64_t)(blockIdx.x / tiles_m % tiles_n) * BN;
    const int rows = (int)min((int64_t)BM, s.tokens - row0), steps = (int)s.tiles;
    const int columns = (int)min((int64_t)BN, s.block_out - column0);
    const int64_t row_u = s.tiles * SCALE_RANKS;
    const T *const from = u + (k * s.block_out + column0) * row_u;

    const auto load_u = [&](int step) {
        if (step < steps)
            tile_load<BN, TILE::THREADS, true>((T *)(stages + step % STAGES * TILE::STAGE_BYTES),
                                               from, row_u, columns, (int64_t)step * TILE_K, row_u);
    };
    const auto load_codes = [&](int step) {
        if (step < steps)
            z_load<TILE>(stages + step % STAGES * TILE::STAGE_BYTES, s, z, k, row0 / PIECE_TOKENS,
                         step);
        cp_async_commit();
    };

    for (int step = 0; step < STAGES - 1; step++) load_u(step);
    dependency_wait();
    for (int step = 0; step < STAGES - 1; step++) load_codes(step);
    float acc[TILE::WM / 16][TILE::WN / 8][4] = {};
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load_u(step + STAGES - 1);
        load_codes(step + STAGES - 1);
        code_mma<T, TILE>(acc, stages + step % STAGES * TILE::STAGE_BYTES, row_a, row_b);
    }
    cp_async_wait<0>();
    __syncthreads();
    gemm_store<T, TILE>((T *)smem, acc, row_a, row_b, row0, column0, k, rows, columns, out);
}

typedef gemm_tile<128, 128, 64, 64, 3, 2> first_large_t;
typedef gemm_tile<64, 64, 16, 64, 4, 3> first_small_t;
typedef code_tile<128, 128, 64, 64, 3, 2> last_large_t;
typedef code_tile<64, 64, 16, 64, 4, 3> last_small_t;

static status_t tile_count(int64_t tiles) {
    if (tiles <= INT32_MAX) return STATUS_OK;
    return fail(STATUS_UNSUPPORTED, "%lld tiles are more than one launch can hold",
                (long long)tiles);
}

template <typename T, typename TILE, bool VECTOR>
static status_t first_tiled(const mixed_shape_t *s, const void *x, const void *v, quantised_t y,
                            int sms, cudaStream_t stream) {
    static uint64_t opted_in;
    const auto kernel = first_kernel<T, TILE, VECTOR>;
    const int64_t tiles_m = ceil_div(s->tokens, TILE::BM);
    const int64_t tiles_n = ceil_div(s->tiles * SCALE_RANKS, TILE::BN);
    const int64_t tiles = tiles_m * tiles_n * s->blocks, resident = (int64_t)sms * TILE::BLOCKS;
    status_t st = tile_count(tiles);
    if (st == STATUS_OK) st = smem_opt_in((const void *)kernel, TILE::SMEM_BYTES, &opted_in);
    if (st != STATUS_OK) return st;
    kernel<<<(unsigned)(tiles < resident ? tiles : resident), TILE::THREADS, TILE::SMEM_BYTES,
             stream>>>((const T *)x, (const T *)v, y, *s, (unsigned)tiles_m, (unsigned)tiles_n);
    CUDA_LAUNCHED("first_kernel");
    return STATUS_OK;
}

/* Large tiles where they fill the device. */
static bool large(const mixed_shape_t *s, int64_t columns, int sms) {
    return s->tokens > 64 && ceil_div(s->tokens, 128) * ceil_div(columns, 128) * s->blocks >= sms;
}

template <typename T>
static status_t first(const mixed_shape_t *s, const void *x, const void *v, quantised_t y, int sms,
                      cudaStream_t stream) {
    const bool vector = s->block_in % 8 == 0 && ((uintptr_t)x | (uintptr_t)v) % 16 == 0;
    if (large(s, s->rank, sms))
        return vector ? first_tiled<T, first_large_t, true>(s, x, v, y, sms, stream)
                      : first_tiled<T, first_large_t, false>(s, x, v, y, sms, stream);
    return vector ? first_tiled<T, first_small_t, true>(s, x, v, y, sms, stream)
                  : first_tiled<T, first_small_t, false>(s, x, v, y, sms, stream);
}

template <typename T>
static status_t mix(const mixed_shape_t *s, quantised_t y, const void *fragments, quantised_t z,
                    int sms, cudaStream_t stream) {
    /* one wave of blocks, each with as many groups of tokens as that takes */
    const int64_t each = ceil_div(s->groups * s->tiles, (int64_t)sms * MIX_BLOCKS);
    const int64_t grid = ceil_div(s->groups, each) * s->tiles;
    const auto kernel = s->blocks <= 8 ? mix_kernel<T, 2> : mix_kernel<T, 4>;
    return launch_overlapped(kernel, grid, MIX_WARPS * 32, 1, 0, stream, y,
                             (const uint4 *)fragments, z, *s, (int)each);
}

template <typename T, typename TILE>
static status_t last_tiled(const mixed_shape_t *s, quantised_t z, const void *u, void *out,
                           cudaStream_t stream) {
    static uint64_t opted_in;
    const auto kernel = last_kernel<T, TILE>;
    const int64_t tiles_m = ceil_div(s->tokens, TILE::BM);
    const int64_t tiles_n = ceil_div(s->block_out, TILE::BN);
    const strided_out_t to = {.y = (uint16_t *)out,
                              .batch_stride = s->block_out,
                              .row_stride = s->out_features,
                              .vector = s->block_out % 8 == 0};
    const status_t st = smem_opt_in((const void *)kernel, TILE::SMEM_BYTES, &opted_in);
    if (st != STATUS_OK) return st;
    return launch_overlapped(kernel, tiles_m * tiles_n * s->blocks, TILE::THREADS, 1,
                             TILE::SMEM_BYTES, stream, z, (const T *)u, *s, to, (unsigned)tiles_m,
                             (unsigned)tiles_n);
}

template <typename T>
static status_t last(const mixed_shape_t *s, quantised_t z, const void *u, void *out, int sms,
                     cudaStream_t stream) {
    return large(s, s->block_out, sms) ? last_tiled<T, last_large_t>(s, z, u, out, stream)
                                       : last_tiled<T, last_small_t>(s, z, u, out, stream);
}

template <typename T>
static status_t stages(const problem_t *p, void *const *tensors, quantised_t y, quantised_t z,
                       cudaStream_t stream) {
    const mixed_shape_t s = mixed_shape(p);
    int sms = 0;
    status_t st = device_sm_count(&sms);
    if (st == STATUS_OK) st = first<T>(&s, tensors[0], tensors[1], y, sms, stream);
    if (st == STATUS_OK) st = mix<T>(&s, y, tensors[2], z, sms, stream);
    return st == STATUS_OK ? last<T>(&s, z, tensors[3], tensors[4], sms, stream) : st;
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

/* Of Y or Z; pieces are whole. */
static int64_t code_bytes(const problem_t *p) {
    return p->blocks * round_up(p->tokens, PIECE_TOKENS) * round_up(p->rank, SCALE_RANKS);
}

static int64_t scale_bytes(const problem_t *p) {
    return code_bytes(p) / SCALE_RANKS * (int64_t)sizeof(float);
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = (double)(code_bytes(p) + scale_bytes(p));
    return 2;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    return 2 * (size_t)(round_up(code_bytes(p), 256) + round_up(scale_bytes(p), 256));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const int64_t codes = round_up(code_bytes(p), 256),
                  half = (int64_t)workspace_bytes(p, NULL) / 2;
    char *const base = (char *)workspace;
    const quantised_t y = {(uint8_t *)base, (float *)(base + codes)};
    const quantised_t z = {(uint8_t *)base + half, (float *)(base + half + codes)};
    return DISPATCH_DTYPE(p, stages, p, tensors, y, z, (cudaStream_t)stream);
}

static const variant_t blast_three_bmm_int8 = {
    .structure = "blast",
    .name = "three_bmm_int8",
    .summary = "three batched products, Y and Z in int8 with a scale for 64 ranks of a token",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .tolerance = INT8_TOLERANCE,
    .supports = supports,
    .intermediates = intermediates,
    .pack = pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(blast_three_bmm_int8)
