/* V and S of blast/fused as the mix kernel (hopper_mix.cu) takes them: host code. */
#include "kernels/blast/hopper_mix_shape.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/wgmma.cuh"

/* Where column `row` of the packed V_l of a tile comes from, l being input `input` of block `owner`
 * of the pair: a rank of the tile. */
template <typename S> static int rank_of_column(int row, int owner, int input) {
    const int half = row / S::KEPT == 0 ? owner : 1 - owner, lane = row % 8 / 2;
    return half * S::KEPT + row % S::KEPT / 8 * 8 + ((lane - input) & 3) * 2 + row % 2;
}

/* ---- packed V: [rank tile][l][chunk] tiles of RANKS x DEPTH, K-major, swizzled ---- */
template <typename S>
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, in_block = p->in_features / b, r = p->rank;
    const int64_t chunks = ceil_div(in_block, DEPTH), rank_tiles = ceil_div(r, S::RANKS);
    const int64_t tiles = rank_tiles * b * chunks;
    if (!dst) return tiles * S::RANKS * DEPTH;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t in0 = tile % chunks * DEPTH, rank0 = tile / chunks / b * S::RANKS;
        const int l = (int)(tile / chunks % b), owner = l >= inputs_of((int)b, 0).count;
        for (int row = 0; row < S::RANKS; row++) {
            const int64_t rank =
                rank0 + rank_of_column<S>(row, owner, l - inputs_of((int)b, owner).first);
            uint16_t *const to = dst + (tile * S::RANKS + row) * DEPTH;
            for (int i = 0; i < DEPTH; i++)
                to[swizzled_chunk<SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    in0 + i < in_block && rank < r ? src[(l * in_block + in0 + i) * r + rank] : 0;
        }
    }
    return tiles * S::RANKS * DEPTH;
}

/* The input (of the pair's first block, or of its second) that word `word`, element `element` of
 * lane t's operand stands for, t and the rank differing by `turn` = (t - pair) % 4. */
struct slot_t {
    bool peers;
    int input;
};

template <typename S> static slot_t slot_of(int step, int word, int element, int turn) {
    if (S::BLOCKS == 8) return {element == 1, turn};
    return {word == 1, turn + 8 * step + 4 * element};
}

/* ---- packed S: [rank tile][half][rank][vector][lane][word]: the B operands of mma.m16n8k16 ----
 */
template <typename S>
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, r = p->rank, rows = round_up(r, S::RANKS);
    constexpr int ROW = 32 * S::S_WORDS * 2; /* elements of a rank */
    if (!dst) return rows * ROW;
#pragma omp parallel for
    for (int64_t rank = 0; rank < rows; rank++) {
        const int half = (int)(rank % S::RANKS) / S::KEPT;
        for (int i = 0; i < ROW; i++) {
            const int element = i % 2, lane = i / 2 / S::S_VECTOR % 32;
            const int word = i / 2 % S::S_VECTOR + i / 2 / S::S_VECTOR / 32 * S::S_VECTOR;
            const int words = S::BLOCKS == 8 ? 1 : 2; /* of an operand */
            const int step = word / words / S::N_TILES;
            const int64_t k = word / words % S::N_TILES * 8 + lane / 4;
            const slot_t slot =
                slot_of<S>(step, word % words, element, (lane % 4 - (int)(rank / 2 % 4)) & 3);
            const inputs_t inputs = inputs_of((int)b, slot.peers ? 1 - half : half);
            const int64_t l = inputs.first + slot.input;
            dst[rank * ROW + i] = rank < r && k < b && slot.input < inputs.count
                                      ? src[(l * b + k) * r + rank]
                                      : (uint16_t)0;
        }
    }
    return rows * ROW;
}

int64_t hopper_pack_v(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                      uint16_t *dst) {
    return with_shape(p, tiles, [&]<typename S>() { return pack_v<S>(p, src, dst); });
}

int64_t hopper_pack_s(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                      uint16_t *dst) {
    return with_shape(p, tiles, [&]<typename S>() { return pack_s<S>(p, src, dst); });
}
