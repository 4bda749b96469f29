/* V, S and U of blast/fused as its kernels take them: host code. */
#include "kernels/blast/hopper_pack.cuh"

static constexpr int ROW = SWIZZLE / 2; /* elements */

/* ---- packed V: [rank tile][l][chunk] tiles of RANKS x 64, K-major, swizzled ---- */
template <typename S>
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, in_block = p->in_features / b, r = p->rank;
    const int64_t chunks = ceil_div(in_block, ROW), rank_tiles = ceil_div(r, S::RANKS);
    const int64_t tiles = rank_tiles * b * chunks;
    if (!dst) return tiles * S::RANKS * ROW;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t in0 = tile % chunks * ROW, rank0 = tile / chunks / b * S::RANKS;
        const int l = (int)(tile / chunks % b);
        for (int row = 0; row < S::RANKS; row++) {
            const int64_t rank = rank0 + rank_of_column<S>((int)b, l, row);
            uint16_t *const to = dst + (tile * S::RANKS + row) * ROW;
            for (int i = 0; i < ROW; i++)
                to[swizzled_chunk<SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    in0 + i < in_block && rank < r ? src[(l * in_block + in0 + i) * r + rank] : 0;
        }
    }
    return tiles * S::RANKS * ROW;
}

/* ---- packed S: [rank tile][half][rank][vector][lane][word]: the B operands of mma.m16n8k16 ----
 */
template <typename S>
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, r = p->rank, rows = round_up(r, S::RANKS);
    constexpr int ELEMENTS = 32 * S::S_WORDS * 2; /* of a rank */
    if (!dst) return rows * ELEMENTS;
#pragma omp parallel for
    for (int64_t rank = 0; rank < rows; rank++)
        for (int i = 0; i < ELEMENTS; i++) {
            const s_place_t at = s_place<S>((int)b, rank, i);
            dst[rank * ELEMENTS + i] =
                rank < r && at.l >= 0 ? src[(at.l * b + at.k) * r + rank] : (uint16_t)0;
        }
    return rows * ELEMENTS;
}

int64_t hopper_pack_v(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                      uint16_t *dst) {
    return with_shape(p, tiles, [&]<typename S>() { return pack_v<S>(p, src, dst); });
}

int64_t hopper_pack_s(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                      uint16_t *dst) {
    return with_shape(p, tiles, [&]<typename S>() { return pack_s<S>(p, src, dst); });
}

/* ---- packed U: [k][column tile][chunk] tiles of COLUMNS x 64, K-major, 128-byte swizzle ---- */
int64_t hopper_pack_u(const problem_t *p, hopper_tiles_t shape, const uint16_t *src,
                      uint16_t *dst) {
    const int64_t q = p->out_features / p->blocks, r = p->rank, columns = shape.columns;
    const int64_t chunks = ceil_div(r, ROW), column_tiles = ceil_div(q, columns);
    const int64_t tiles = p->blocks * column_tiles * chunks;
    if (!dst) return tiles * columns * ROW;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t rank0 = tile % chunks * ROW, k = tile / chunks / column_tiles;
        const int64_t column0 = tile / chunks % column_tiles * columns;
        for (int row = 0; row < columns; row++) {
            const int64_t column = column0 + stored_column(row, (int)columns);
            uint16_t *const to = dst + (tile * columns + row) * ROW;
            for (int i = 0; i < ROW; i++)
                to[swizzled_chunk<SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    rank0 + i < r && column < q ? src[(k * r + rank0 + i) * q + column] : 0;
        }
    }
    return tiles * columns * ROW;
}
