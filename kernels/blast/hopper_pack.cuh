/* Host: where the elements of the packed V, S and U of blast/fused and blast/fused_fp8 come from,
 * as the kernels (hopper_mix.cuh, hopper_last.cuh) take them. */
#ifndef BLROOF_BLAST_HOPPER_PACK_CUH
#define BLROOF_BLAST_HOPPER_PACK_CUH

#include "kernels/blast/hopper_mix_shape.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/wgmma.cuh"

/* Where column `row` of the packed V_l of a tile comes from: a rank of the tile. */
template <typename S> static int rank_of_column(int blocks, int l, int row) {
    const int owner = l >= inputs_of(blocks, 0).count, input = l - inputs_of(blocks, owner).first;
    const int half = row / S::KEPT == 0 ? owner : 1 - owner, lane = row % 8 / 2;
    return half * S::KEPT + row % S::KEPT / 8 * 8 + ((lane - input) & 3) * 2 + row % 2;
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

/* Element i of the packed S of a rank, [vector][lane][word]: which S[l][k], or l = -1 for a zero.
 */
struct s_place_t {
    int64_t l, k;
};

template <typename S> static inline s_place_t s_place(int blocks, int64_t rank, int i) {
    const int element = i % 2, lane = i / 2 / S::S_VECTOR % 32;
    const int word = i / 2 % S::S_VECTOR + i / 2 / S::S_VECTOR / 32 * S::S_VECTOR;
    const int words = S::BLOCKS == 8 ? 1 : 2; /* of an operand */
    const int step = word / words / S::N_TILES, half = (int)(rank % S::RANKS) / S::KEPT;
    const int k = word / words % S::N_TILES * 8 + lane / 4;
    const slot_t slot =
        slot_of<S>(step, word % words, element, (lane % 4 - (int)(rank / 2 % 4)) & 3);
    const inputs_t inputs = inputs_of(blocks, slot.peers ? 1 - half : half);
    if (k >= blocks || slot.input >= inputs.count) return {-1, k};
    return {inputs.first + slot.input, k};
}

/* Columns of U in groups of 32 such that a lane of wgmma's result has eight neighbours: where the
 * packed tile has column 8j + 2t + e, the product has 8t + 2j + e. A last, shorter group stays in
 * order. */
static inline int stored_column(int packed, int columns) {
    const int in_group = packed % 32;
    if (packed - in_group + 32 > columns) return packed;
    return packed - in_group + in_group / 2 % 4 * 8 + in_group / 8 * 2 + in_group % 2;
}

#endif
