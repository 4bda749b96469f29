/*
 * What the Hopper plans of monarch/fused share: the shape of a tile, the layout of packed weights,
 * and the store of a result. Notation as in monarch.c: p = in/b, q = out/b, r' = r/b.
 *
 * A tile is TOKENS tokens x COLUMNS columns of one output block k. It walks the passes
 * (l, part of r'), RANK ranks each:   T = X_l V_lk,   Y_k += T U_kl.
 * T needs `chunks` = ceil(p / 64) chunks of X and V. The last one of a block may reach into the
 * next block of X: V is zero there.
 */
#ifndef BLROOF_MONARCH_HOPPER_TILE_CUH
#define BLROOF_MONARCH_HOPPER_TILE_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

enum { CHUNK = 64, CHUNK_SWIZZLE = CHUNK * 2, WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/* Sizes of a problem in tiles; what a kernel needs to know. */
struct monarch_tiling_t {
    int tokens, in_block, out_block, out_features;
    int blocks, chunks, parts;     /* l (and k); chunks of p; parts of r' */
    int column_tiles, token_tiles; /* column tiles of one k */
};

/* Ranks of a pass: the choice with the least padding, larger ones first for long r'. */
static inline int monarch_pass_rank(int64_t rank_block) {
    if (rank_block <= 16) return 16;
    if (rank_block <= 32) return 32;
    if (rank_block <= 48) return 48;
    if (rank_block <= 64) return 64;
    return round_up(rank_block, 96) <= round_up(rank_block, 64) ? 96 : 64;
}

static inline monarch_tiling_t monarch_tiling(const problem_t *p, int tokens, int columns,
                                              int rank) {
    const int64_t b = p->blocks;
    return {.tokens = (int)p->tokens,
            .in_block = (int)(p->in_features / b),
            .out_block = (int)(p->out_features / b),
            .out_features = (int)p->out_features,
            .blocks = (int)b,
            .chunks = (int)ceil_div(p->in_features / b, CHUNK),
            .parts = (int)ceil_div(p->rank / b, rank),
            .column_tiles = (int)ceil_div(p->out_features / b, columns),
            .token_tiles = (int)ceil_div(p->tokens, tokens)};
}

/* What all Hopper plans ask for. */
static inline bool monarch_hopper_supports(const problem_t *p, const device_info_t *device,
                                           char *why, size_t why_len) {
    if (!supports_hopper(device, why, why_len)) return false;
    if (p->in_features % 8)
        snprintf(why, why_len, "in_features %lld: rows of X must be multiples of 16 bytes",
                 (long long)p->in_features);
    else if (p->out_features / p->blocks % 8)
        snprintf(why, why_len, "q = out/blocks = %lld is not a multiple of 8",
                 (long long)(p->out_features / p->blocks));
    else if (p->tokens > INT32_MAX / 2 || p->in_features > INT32_MAX / 2 ||
             p->out_features > INT32_MAX / 2)
        snprintf(why, why_len, "a dimension is beyond 2^30");
    else
        return true;
    return false;
}

/* ---- packed V: [k][l][part][chunk] tiles of RANK x 64, K-major with 128-byte swizzle ---- */

static inline int64_t monarch_pack_v(const problem_t *p, int rank, const uint16_t *src,
                                     uint16_t *dst) {
    const int64_t b = p->blocks, in_block = p->in_features / b, rank_block = p->rank / b;
    const int64_t chunks = ceil_div(in_block, CHUNK), parts = ceil_div(rank_block, rank);
    const int64_t tile = (int64_t)rank * CHUNK, count = b * b * parts * chunks * tile;
    if (!dst) return count;
#pragma omp parallel for
    for (int64_t block = 0; block < b * b * parts; block++) {
        const int64_t part = block % parts, l = block / parts % b, k = block / parts / b;
        const uint16_t *const from = src + (l * b + k) * in_block * rank_block;
        uint16_t *const to = dst + block * chunks * tile;
        for (int64_t i = 0; i < chunks * CHUNK; i++)
            for (int s = 0; s < rank; s++) {
                const int64_t r = part * rank + s;
                const int in_row = swizzled_chunk<CHUNK_SWIZZLE>(s, (int)(i % CHUNK) / 8) * 8;
                to[i / CHUNK * tile + s * CHUNK + in_row + i % 8] =
                    i < in_block && r < rank_block ? from[i * rank_block + r] : 0;
            }
    }
    return count;
}

/*
 * ---- packed U: [k][column tile][l][part] tiles of COLUMNS x RANK, K-major ----
 *
 * RANK is cut into sections 64, 32 and 16 wide, each a tile of its own swizzle. The columns of U
 * are permuted within 32 so that a thread's results in four neighbouring 8-column groups of wgmma,
 * 8j + 2t + e for j = 0..3, are 8 neighbouring columns 8t + 2j + e of Y: one 16-byte store.
 */
__host__ __device__ constexpr int monarch_stored_column(int row) {
    return row / 32 * 32 + row / 2 % 4 * 8 + row / 8 % 4 * 2 + row % 2;
}

/* Element (row, s) of a tile. */
static inline int64_t monarch_u_offset(int columns, int rank, int row, int s) {
    const int wide = rank / 64 * 64, middle = rank % 64 / 32 * 32;
    if (s < wide)
        return (int64_t)(s / 64) * 64 * columns + row * 64 +
               swizzled_chunk<128>(row, s % 64 / 8) * 8 + s % 8;
    if (s < wide + middle)
        return (int64_t)wide * columns + row * 32 + swizzled_chunk<64>(row, (s - wide) / 8) * 8 +
               s % 8;
    return (int64_t)(wide + middle) * columns + row * 16 +
           swizzled_chunk<32>(row, (s - wide - middle) / 8) * 8 + s % 8;
}

/* The same place as a descriptor, for K step `step`; rows start at `row`, a multiple of 8. */
template <int COLUMNS, int RANK>
__device__ inline uint64_t monarch_u_descriptor(uint32_t tile, int step, int row = 0) {
    constexpr int WIDE = RANK / 64 * 4, MIDDLE = RANK % 64 / 32 * 2; /* in steps */
    if (step < WIDE)
        return wgmma_step(wgmma_tile<128>(tile + step / 4 * COLUMNS * 128 + row * 128), step % 4);
    if (step < WIDE + MIDDLE)
        return wgmma_step(wgmma_tile<64>(tile + WIDE * COLUMNS * 32 + row * 64), step - WIDE);
    return wgmma_tile<32>(tile + (WIDE + MIDDLE) * COLUMNS * 32 + row * 32);
}

static inline int64_t monarch_pack_u(const problem_t *p, int columns, int rank, const uint16_t *src,
                                     uint16_t *dst) {
    const int64_t b = p->blocks, out_block = p->out_features / b, rank_block = p->rank / b;
    const int64_t column_tiles = ceil_div(out_block, columns), parts = ceil_div(rank_block, rank);
    const int64_t tile = (int64_t)columns * rank, count = b * column_tiles * b * parts * tile;
    if (!dst) return count;
#pragma omp parallel for
    for (int64_t block = 0; block < b * column_tiles * b * parts; block++) {
        const int64_t part = block % parts, l = block / parts % b;
        const int64_t column_tile = block / parts / b % column_tiles;
        const int64_t k = block / parts / b / column_tiles;
        const uint16_t *const from = src + (k * b + l) * rank_block * out_block;
        uint16_t *const to = dst + block * tile;
        for (int s = 0; s < rank; s++)
            for (int row = 0; row < columns; row++) {
                const int64_t r = part * rank + s;
                const int64_t column = column_tile * columns + monarch_stored_column(row);
                to[monarch_u_offset(columns, rank, row, s)] =
                    r < rank_block && column < out_block ? from[r * out_block + column] : 0;
            }
    }
    return count;
}

/* ---- device code ---- */

/* T (64 x RANK of a warpgroup) rounded to the A operand of the second product. */
template <typename T, int COUNT>
__device__ inline void monarch_round(uint32_t (&to)[COUNT / 2], float (&from)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) to[i] = round_pair<T>(from[2 * i], from[2 * i + 1]);
}

/* Stores a warpgroup's 64 x COLUMNS results at y (its first row, first column): `rows` and
 * `columns` of them exist; columns is a multiple of 8. */
template <typename T, int COUNT>
__device__ inline void monarch_store(T *y, int64_t ld, int rows, int columns,
                                     const float (&acc)[COUNT]) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x % WARPGROUP / 32;
    const int row = warp * 16 + lane / 4, first = lane % 4 * 8;
    T *const from = y + row * ld + first;
#pragma unroll
    for (int half = 0; half < 2; half++) /* rows row and row + 8 */
#pragma unroll
        for (int group = 0; group < COUNT / 16; group++) { /* of 32 columns */
            const float *const a = acc + group * 16 + half * 2;
            if (row + half * 8 < rows && group * 32 + first < columns)
                store_vector(from + half * 8 * ld + group * 32,
                             make_uint4(round_pair<T>(a[0], a[1]), round_pair<T>(a[4], a[5]),
                                        round_pair<T>(a[8], a[9]), round_pair<T>(a[12], a[13])));
        }
}

#endif
