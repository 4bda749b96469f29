/*
 * What the Hopper plans of monarch/fused and monarch/fused_fp8 share: the shape of a tile, the
 * layout of packed weights, and the store of a result. Notation as in monarch.c: p = in/b,
 * q = out/b, r' = r/b. Operands have `bytes` bytes an element: 2 (bf16, fp16) or 1 (fp8).
 *
 * A tile is TOKENS tokens x COLUMNS columns of one output block k. It walks the passes
 * (l, part of r'), RANK ranks each:   T = X_l V_lk,   Y_k += T U_kl.
 * T needs `chunks` of X and V, 128 bytes of p each. The last one of a block may reach into the
 * next block of X: V is zero there.
 *
 * In fp8 X has a scale a token (fp8.cuh), V one a rank of (l, k), U one a column of Y. Between the
 * products a column of T is multiplied by its scale of V and by a constant, 1 / (p max|V|), which
 * brings any T into the range of fp8. The scales of X and U and the inverse of the constant wait
 * until the sums are complete. Rounding is relative in fp8, so a constant that is too small by some
 * powers of two costs nothing.
 */
#ifndef BLROOF_MONARCH_HOPPER_TILE_CUH
#define BLROOF_MONARCH_HOPPER_TILE_CUH

#include "kernels/cuda/fp8.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"
#include "kernels/cuda/wgmma_store.cuh"

enum { CHUNK_BYTES = 128, STEP_BYTES = 32, WARPGROUP = 128, WARPGROUP_ROWS = 64 };

/* Sizes of a problem in tiles; what a kernel needs to know. */
struct monarch_tiling_t {
    int tokens, in_block, out_block, out_features;
    int chunks, passes, parts;              /* chunks of p; passes = b / join * parts of r' */
    int token_tiles, k_tiles, column_tiles; /* groups of k; column tiles of one k */
};

/* A tile of a plan: `group` output blocks side by side, each `columns` wide. A pass is `rank` ranks
 * of each of `join` input blocks l. Clusters of `across` tiles share T: their number a k is a
 * multiple. */
struct monarch_tile_t {
    int tokens, columns, rank, group, join, across, bytes;

    /* Ranks of U for one output block in a pass, up to whole K steps. */
    int u_ranks() const {
        return (int)round_up(join * rank, STEP_BYTES / bytes);
    }
};

/* The scales of fp8: NULL in 16 bits. */
struct monarch_scales_t {
    const float *x; /* a token */
    const float *v; /* the columns of T of a pass, as monarch_scale_place() orders them */
    const float *u; /* a column of Y */
    const float *all;
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
            .chunks = (int)ceil_div(p->in_features / b, CHUNK_BYTES / tile.bytes),
            .passes = (int)(b / tile.join * parts),
            .parts = (int)parts,
            .token_tiles = (int)ceil_div(p->tokens, tile.tokens),
            .k_tiles = (int)(b / tile.group),
            .column_tiles =
                (int)round_up(ceil_div(p->out_features / b, tile.columns), tile.across)};
}

/* What all Hopper plans ask for. */
static inline bool monarch_hopper_supports(const problem_t *p, int bytes,
                                           const device_info_t *device, char *why, size_t why_len) {
    if (!supports_hopper(device, why, why_len)) return false;
    if (p->in_features / p->blocks % (16 / bytes)) /* a box of X starts at a multiple of 16 bytes */
        snprintf(why, why_len, "p = in/blocks = %lld is not a multiple of %d",
                 (long long)(p->in_features / p->blocks), 16 / bytes);
    else if (p->out_features / p->blocks % 8)
        snprintf(why, why_len, "q = out/blocks = %lld is not a multiple of 8",
                 (long long)(p->out_features / p->blocks));
    else if (bytes == 1 && p->in_features > FP8_ROW_MOST)
        snprintf(why, why_len, "quantises rows of at most %d features", FP8_ROW_MOST);
    else if (p->tokens > INT32_MAX / 2 || p->in_features > INT32_MAX / 2 ||
             p->out_features > INT32_MAX / 2)
        snprintf(why, why_len, "a dimension is beyond 2^30");
    else
        return true;
    return false;
}

/*
 * ---- packed V ----
 * [k tile][l][part][chunk] tiles of group * RANK rows x 128 bytes, K-major, 128-byte swizzle. In
 * fp8 follow the scales, [k tile][l][part] x group * RANK, and the inverse of the constant.
 */
static inline int64_t monarch_v_bytes(const problem_t *p, monarch_tile_t shape) {
    const monarch_tiling_t t = monarch_tiling(p, shape);
    return (int64_t)t.k_tiles * p->blocks * t.parts * t.chunks * shape.group * shape.rank *
           CHUNK_BYTES;
}

/* Where the scale of a row of V stands among those of its pass: a thread's are neighbours. */
static inline int monarch_scale_place(int rows, int row) {
    return row % 8 / 2 * (rows / 4) + row / 8 * 2 + row % 2;
}

/* How many scales there are. */
static inline int64_t monarch_v_scales(const problem_t *p, monarch_tile_t shape) {
    return monarch_v_bytes(p, shape) / CHUNK_BYTES / monarch_tiling(p, shape).chunks;
}

/* put(byte of dst, element of src or -1 for padding, place of its scale) */
template <typename PUT>
static void monarch_walk_v(const problem_t *p, monarch_tile_t shape, PUT put) {
    const monarch_tiling_t t = monarch_tiling(p, shape);
    const int64_t b = p->blocks, rank_block = p->rank / b, rows = shape.group * shape.rank;
    const int64_t passes = b * t.parts, elements = CHUNK_BYTES / shape.bytes * t.chunks;
#pragma omp parallel for
    for (int64_t pass = 0; pass < t.k_tiles * passes; pass++)
        for (int row = 0; row < rows; row++) {
            const int64_t l = pass % passes / t.parts;
            const int64_t k = pass / passes * shape.group + row / shape.rank;
            const int64_t r = pass % t.parts * shape.rank + row % shape.rank;
            const int64_t from = (l * b + k) * t.in_block * rank_block + r;
            const int64_t scale = pass * rows + monarch_scale_place((int)rows, row);
            for (int64_t i = 0; i < elements; i++) {
                const int64_t byte = i * shape.bytes, chunk = byte / CHUNK_BYTES;
                const int within = (int)(byte % CHUNK_BYTES);
                put(((pass * t.chunks + chunk) * rows + row) * CHUNK_BYTES +
                        swizzled_chunk<CHUNK_BYTES>(row, within / 16) * 16 + within % 16,
                    i < t.in_block && r < rank_block ? from + i * rank_block : -1, scale);
            }
        }
}

/*
 * ---- packed U ----
 * [k tile][column tile][pass][k in group] tiles of COLUMNS x u_ranks(), K-major. In fp8 the scales
 * of the columns of Y follow.
 *
 * A row is cut into sections 128, 64 and 32 bytes wide, each a tile of its own swizzle. The columns
 * of U are permuted for wgmma_store_32().
 * In fp8 the ranks are permuted within 16: a thread holds columns 2t, 2t + 1 of two 8-column groups
 * of T and gives them as columns 4t to 4t + 3.
 */
static inline int monarch_stored_rank(int s, int bytes) {
    return bytes == 2 ? s : s / 16 * 16 + s / 2 % 2 * 8 + s % 16 / 4 * 2 + s % 2;
}

/* Byte `byte` of row `row` of a tile `width` bytes wide. */
static inline int64_t monarch_u_offset(int columns, int width, int row, int byte) {
    const int wide = width / 128 * 128, middle = width % 128 / 64 * 64;
    if (byte < wide)
        return (int64_t)(byte / 128) * 128 * columns + row * 128 +
               swizzled_chunk<128>(row, byte % 128 / 16) * 16 + byte % 16;
    if (byte < wide + middle)
        return (int64_t)wide * columns + row * 64 +
               swizzled_chunk<64>(row, (byte - wide) / 16) * 16 + byte % 16;
    return (int64_t)(wide + middle) * columns + row * 32 +
           swizzled_chunk<32>(row, (byte - wide - middle) / 16) * 16 + byte % 16;
}

/* The same place as a descriptor, for K step `step`; rows start at `row`, a multiple of 8. */
template <int COLUMNS, int WIDTH>
__device__ inline uint64_t monarch_u_descriptor(uint32_t tile, int step, int row = 0) {
    constexpr int WIDE = WIDTH / 128 * 4, MIDDLE = WIDTH % 128 / 64 * 2; /* in steps */
    if (step < WIDE)
        return wgmma_step(wgmma_tile<128>(tile + step / 4 * COLUMNS * 128 + row * 128), step % 4);
    if (step < WIDE + MIDDLE)
        return wgmma_step(wgmma_tile<64>(tile + WIDE * COLUMNS * 32 + row * 64), step - WIDE);
    return wgmma_tile<32>(tile + (WIDE + MIDDLE) * COLUMNS * 32 + row * 32);
}

static inline int64_t monarch_u_bytes(const problem_t *p, monarch_tile_t shape) {
    const monarch_tiling_t t = monarch_tiling(p, shape);
    return (int64_t)t.k_tiles * t.column_tiles * t.passes * shape.group * shape.columns *
           shape.u_ranks() * shape.bytes;
}

/* put(byte of dst, element of src or -1 for padding, column of Y) */
template <typename PUT>
static void monarch_walk_u(const problem_t *p, monarch_tile_t shape, PUT put) {
    const monarch_tiling_t t = monarch_tiling(p, shape);
    const int64_t b = p->blocks, rank_block = p->rank / b;
    const int ranks = shape.u_ranks(), width = ranks * shape.bytes;
    const int64_t tiles = (int64_t)t.k_tiles * t.column_tiles * t.passes * shape.group;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t pass = tile / shape.group % t.passes;
        const int64_t place = tile / shape.group / t.passes; /* k tile, column tile */
        const int64_t k = place / t.column_tiles * shape.group + tile % shape.group;
        for (int i = 0; i < ranks; i++) {
            const int s = monarch_stored_rank(i, shape.bytes);
            const int64_t l = pass / t.parts * shape.join + s / shape.rank;
            const int64_t r = pass % t.parts * shape.rank + s % shape.rank;
            const bool exists = s < shape.join * shape.rank && r < rank_block;
            const int64_t from = ((k * b + l) * rank_block + r) * t.out_block;
            for (int row = 0; row < shape.columns; row++) {
                const int64_t column =
                    place % t.column_tiles * shape.columns + wgmma_stored_column(row);
                put(tile * shape.columns * width +
                        monarch_u_offset(shape.columns, width, row, i * shape.bytes),
                    exists && column < t.out_block ? from + column : -1, k * t.out_block + column);
            }
        }
    }
}

/* Packs tensor 1 (V) or 2 (U): pack() of a variant. */
int64_t monarch_hopper_pack(const problem_t *p, monarch_tile_t shape, int tensor,
                            const uint16_t *src, void *dst);

/* X as the copy engine finds it, in fp8 after it has been quantised into the workspace, and where
 * the scales are. */
static inline status_t monarch_hopper_operands(const problem_t *p, monarch_tile_t tile,
                                               void *const *tensors, void *workspace,
                                               stream_t stream, CUtensorMap *x_map,
                                               monarch_scales_t *scales) {
    *scales = {};
    if (tile.bytes == 2)
        return tensor_map_2d(x_map, p->dtype, tensors[0], p->tokens, p->in_features, p->in_features,
                             tile.tokens, CHUNK_BYTES / 2, CHUNK_BYTES);
    const fp8_rows_t x = fp8_rows_at(p, workspace);
    const status_t st = fp8_quantise_rows(p, tensors[0], x, stream);
    if (st != STATUS_OK) return st;
    const float *const v = (const float *)((char *)tensors[1] + monarch_v_bytes(p, tile));
    const float *const u = (const float *)((char *)tensors[2] + monarch_u_bytes(p, tile));
    *scales = {x.scales, v, u, v + monarch_v_scales(p, tile)};
    return tensor_map_2d_bytes(x_map, x.codes, p->tokens, p->in_features, x.row_bytes, tile.tokens,
                               CHUNK_BYTES, CHUNK_BYTES);
}

/* Of a plan. */
static inline size_t monarch_fp8_workspace(const problem_t *p, const device_info_t *) {
    return fp8_rows_bytes(p);
}

/* X in fp8 is written and read again. */
static inline int monarch_fp8_intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = (double)p->tokens * (double)p->in_features;
    return 1;
}

/* ---- device code ---- */

/* This thread's scales of V for a pass of `rows` rows of V. */
__device__ inline const float4 *monarch_pass_scales(const float *scales, int pass, int rows) {
    return (const float4 *)(scales + (int64_t)pass * rows + (int)threadIdx.x % 4 * (rows / 4));
}

/* What the rows of this thread, of a warpgroup's from `token` on, are multiplied by in the end. */
__device__ inline float2 monarch_row_scales(const monarch_scales_t &scales, int token, int tokens) {
    const int row = token + (int)threadIdx.x % WARPGROUP / 32 * 16 + (int)threadIdx.x % 32 / 4;
    const float all = __ldg(scales.all);
    return make_float2(row < tokens ? scales.x[row] * all : 0,
                       row + 8 < tokens ? scales.x[row + 8] * all : 0);
}

/* Multiplies 32 columns of a warpgroup's 64 rows, laid out as wgmma_store_32() takes them, by the
 * scales of this thread's rows and those of the columns, of which `columns` exist. */
__device__ inline void monarch_scale_32(float *acc, float2 rows, const float *scales, int columns) {
    const int column = (int)threadIdx.x % 4 * 8;
    if (column >= columns) return;
    const float4 left = *(const float4 *)(scales + column);
    const float4 right = *(const float4 *)(scales + column + 4);
    const float of[8] = {left.x, left.y, left.z, left.w, right.x, right.y, right.z, right.w};
#pragma unroll
    for (int i = 0; i < 16; i++) acc[i] *= (i / 2 % 2 ? rows.y : rows.x) * of[i / 4 * 2 + i % 2];
}

/* Plans: NAME, SUMMARY, and the class with their supports(), pack() and launch(). */
#define HOPPER_PLAN(NAME, SUMMARY, ...)                                                            \
    extern const variant_t monarch_hopper_##NAME = {                                               \
        .structure = "monarch",                                                                    \
        .name = "hopper_" #NAME,                                                                   \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = __VA_ARGS__::supports,                                                         \
        .pack = __VA_ARGS__::pack,                                                                 \
        .launch = __VA_ARGS__::launch,                                                             \
    };

#define FP8_PLAN(NAME, SUMMARY, ...)                                                               \
    extern const variant_t monarch_fp8_##NAME = {                                                  \
        .structure = "monarch",                                                                    \
        .name = "fp8_" #NAME,                                                                      \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .tolerance = MONARCH_FP8_TOLERANCE,                                                        \
        .supports = __VA_ARGS__::supports,                                                         \
        .intermediates = monarch_fp8_intermediates,                                                \
        .pack = __VA_ARGS__::pack,                                                                 \
        .workspace = monarch_fp8_workspace,                                                        \
        .launch = __VA_ARGS__::launch,                                                             \
    };

#endif
