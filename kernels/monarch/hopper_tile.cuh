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
    int chunks, passes, parts;              /* chunks of p; passes = b * parts of r' */
    int token_tiles, k_tiles, column_tiles; /* groups of k; column tiles of one k */
};

/* A tile of a plan: `group` output blocks side by side, each `columns` wide with `rank` ranks a
 * pass. Clusters of `across` tiles share T: their number a k is a multiple. */
struct monarch_tile_t {
    int tokens, columns, rank, group, across;
};

/* Ranks of a pass: the choice with the least padding, the largest one for long r'. */
static inline int monarch_pass_rank(int64_t rank_block, int largest) {
    if (rank_block <= 16) return 16;
    if (rank_block <= 32) return 32;
    if (rank_block <= 48) return 48;
    if (rank_block <= 64 && largest >= 64) return 64;
    const int second = largest == 96 ? 64 : largest == 64 ? 48 : 32;
    return round_up(rank_block, largest) <= round_up(rank_block, second) ? largest : second;
}

static inline monarch_tiling_t monarch_tiling(const problem_t *p, monarch_tile_t tile) {
    const int64_t b = p->blocks, parts = ceil_div(p->rank / b, tile.rank);
    return {.tokens = (int)p->tokens,
            .in_block = (int)(p->in_features / b),
            .out_block = (int)(p->out_features / b),
            .out_features = (int)p->out_features,
            .chunks = (int)ceil_div(p->in_features / b, CHUNK),
            .passes = (int)(b * parts),
            .parts = (int)parts,
            .token_tiles = (int)ceil_div(p->tokens, tile.tokens),
            .k_tiles = (int)(b / tile.group),
            .column_tiles =
                (int)round_up(ceil_div(p->out_features / b, tile.columns), tile.across)};
}

/* What all Hopper plans ask for. */
static inline bool monarch_hopper_supports(const problem_t *p, const device_info_t *device,
                                           char *why, size_t why_len) {
    if (!supports_hopper(device, why, why_len)) return false;
    if (p->in_features / p->blocks % 8) /* where a box of X may start */
        snprintf(why, why_len, "p = in/blocks = %lld is not a multiple of 8",
                 (long long)(p->in_features / p->blocks));
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

/*
 * ---- packed V: [k tile][l][part][chunk] tiles of group * RANK x 64, K-major, 128-byte swizzle
 * ----
 */
static inline int64_t monarch_pack_v(const problem_t *p, monarch_tile_t shape, const uint16_t *src,
                                     uint16_t *dst) {
    const monarch_tiling_t t = monarch_tiling(p, shape);
    const int64_t b = p->blocks, rank_block = p->rank / b, rows = shape.group * shape.rank;
    const int64_t tiles = (int64_t)t.k_tiles * t.passes * t.chunks;
    if (!dst) return tiles * rows * CHUNK;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t chunk = tile % t.chunks, pass = tile / t.chunks % t.passes;
        const int64_t l = pass / t.parts, k0 = tile / t.chunks / t.passes * shape.group;
        for (int row = 0; row < rows; row++) {
            const int64_t k = k0 + row / shape.rank;
            const int64_t r = pass % t.parts * shape.rank + row % shape.rank;
            const uint16_t *const from = src + (l * b + k) * t.in_block * rank_block + r;
            uint16_t *const to = dst + (tile * rows + row) * CHUNK;
            for (int i = 0; i < CHUNK; i++) {
                const int64_t in = chunk * CHUNK + i;
                to[swizzled_chunk<CHUNK_SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    in < t.in_block && r < rank_block ? from[in * rank_block] : 0;
            }
        }
    }
    return tiles * rows * CHUNK;
}

/*
 * ---- packed U: [k tile][column tile][l][part][k in group] tiles of COLUMNS x RANK, K-major ----
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

static inline int64_t monarch_pack_u(const problem_t *p, monarch_tile_t shape, const uint16_t *src,
                                     uint16_t *dst) {
    const monarch_tiling_t t = monarch_tiling(p, shape);
    const int64_t b = p->blocks, rank_block = p->rank / b, elements = shape.columns * shape.rank;
    const int64_t tiles = (int64_t)t.k_tiles * t.column_tiles * t.passes * shape.group;
    if (!dst) return tiles * elements;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t pass = tile / shape.group % t.passes, l = pass / t.parts;
        const int64_t place = tile / shape.group / t.passes; /* k tile, column tile */
        const int64_t k = place / t.column_tiles * shape.group + tile % shape.group;
        const uint16_t *const from = src + (k * b + l) * rank_block * t.out_block;
        for (int s = 0; s < shape.rank; s++)
            for (int row = 0; row < shape.columns; row++) {
                const int64_t r = pass % t.parts * shape.rank + s;
                const int64_t column =
                    place % t.column_tiles * shape.columns + monarch_stored_column(row);
                dst[tile * elements + monarch_u_offset(shape.columns, shape.rank, row, s)] =
                    r < rank_block && column < t.out_block ? from[r * t.out_block + column] : 0;
            }
    }
    return tiles * elements;
}

/* ---- device code ---- */

/* T (64 x RANK of a warpgroup) rounded to the A operand of the second product. */
template <typename T, int COUNT>
__device__ inline void monarch_round(uint32_t (&to)[COUNT / 2], float (&from)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT / 2; i++) to[i] = round_pair<T>(from[2 * i], from[2 * i + 1]);
}

/*
 * Stores 32 columns of a warpgroup's 64 rows, 16 accumulators a thread, at y: its first row, first
 * column. `rows` rows and `columns` columns from there on exist; columns is a multiple of 8.
 */
template <typename T>
__device__ inline void monarch_store_32(T *y, int64_t ld, int rows, int columns, const float *acc) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x % WARPGROUP / 32;
    const int row = warp * 16 + lane / 4, column = lane % 4 * 8;
    if (column >= columns) return;
#pragma unroll
    for (int half = 0; half < 2; half++) { /* rows row and row + 8 */
        const float *const a = acc + half * 2;
        if (row + half * 8 < rows)
            store_vector(y + (row + half * 8) * ld + column,
                         make_uint4(round_pair<T>(a[0], a[1]), round_pair<T>(a[4], a[5]),
                                    round_pair<T>(a[8], a[9]), round_pair<T>(a[12], a[13])));
    }
}

#endif
