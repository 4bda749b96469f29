/*
 * The intermediates Y and Z of blast/three_bmm_int8: how they lie in memory, the weights packed to
 * match, and the way to codes and back.
 *
 * Every token of a block has one fp32 scale for 64 ranks, the largest magnitude among them / 127. A
 * code is round(value / scale) + 128 in a byte. Codes lie in pieces of 8 tokens x 16 ranks, 128
 * bytes: [block][tokens/8][rank/64][4][8][16]. Which rank of its 64 a byte belongs to is what suits
 * the registers of stage 1, see rank_of_byte(); S and U are packed to match. Ranks are padded to 64
 * with zeros.
 */
#ifndef BLROOF_BLAST_INT8_CODES_CUH
#define BLROOF_BLAST_INT8_CODES_CUH

#include "kernels/blast/stages.h"
#include "kernels/cuda/gemm.cuh"

enum {
    SCALE_RANKS = 64, /* that share a scale: columns of a warp in stage 1, a K step in stage 3 */
    PIECE_TOKENS = 8,
    PIECE_RANKS = 16,
    PIECE = PIECE_TOKENS * PIECE_RANKS,
    PIECES = SCALE_RANKS / PIECE_RANKS,
    FRAGMENT = 256 /* elements of a 16 x 16 block of S */
};

typedef struct {
    uint8_t *codes;
    float *scales; /* [block][rank/64][token] */
} quantised_t;

typedef struct {
    int64_t tokens, groups, rank, tiles; /* groups of 8 tokens, tiles of 64 ranks */
    int64_t in_features, out_features, block_in, block_out;
    int blocks, sides; /* sides: ceil(blocks / 16) */

    __device__ uint8_t *piece(quantised_t q, int64_t block, int64_t group, int64_t tile,
                              int64_t piece) const {
        return q.codes + (((block * groups + group) * tiles + tile) * PIECES + piece) * PIECE;
    }

    __device__ float *scale(quantised_t q, int64_t block, int64_t tile) const {
        return q.scales + (block * tiles + tile) * groups * PIECE_TOKENS;
    }
} mixed_shape_t;

static mixed_shape_t mixed_shape(const problem_t *p) {
    return {.tokens = p->tokens,
            .groups = ceil_div(p->tokens, PIECE_TOKENS),
            .rank = p->rank,
            .tiles = ceil_div(p->rank, SCALE_RANKS),
            .in_features = p->in_features,
            .out_features = p->out_features,
            .block_in = p->in_features / p->blocks,
            .block_out = p->out_features / p->blocks,
            .blocks = (int)p->blocks,
            .sides = (int)ceil_div(p->blocks, 16)};
}

/* Byte `byte` of piece `piece` is what lane 4g + piece of stage 1 holds: two columns of each 8. */
static int64_t rank_of_byte(int64_t tile, int piece, int byte) {
    return tile * SCALE_RANKS + byte / 2 * 8 + piece * 2 + byte % 2;
}

/* Which byte of a piece is column `column` of operand A in stage 3: a lane's are adjacent. */
static int byte_of_column(int column) {
    return column % 8 / 2 * 4 + column / 8 * 2 + column % 2;
}

/* S[l][k][r] -> [tile][piece][byte][k/16][l/16][lane][8], the matrix operands of stage 2. */
static int64_t pack_scales(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const mixed_shape_t s = mixed_shape(p);
    const int64_t b = p->blocks, squares = (int64_t)s.sides * s.sides;
    const int64_t count = s.tiles * SCALE_RANKS * squares * FRAGMENT;
    for (int64_t i = 0; dst && i < count; i++) {
        const int64_t block = i / FRAGMENT, at = block / squares;
        const int lane = (int)(i % FRAGMENT / 8), element = (int)(i % 8);
        const int64_t k = block / s.sides % s.sides * 16 + fragment_row(lane, element);
        const int64_t l = block % s.sides * 16 + fragment_column(lane, element);
        const int64_t r = rank_of_byte(at / SCALE_RANKS, (int)(at / PIECE_RANKS % PIECES),
                                       (int)(at % PIECE_RANKS));
        dst[i] = k < b && l < b && r < p->rank ? src[(l * b + k) * p->rank + r] : (uint16_t)0;
    }
    return count;
}

/* U[k][r][q] -> [k][q][r], the ranks of each K step in the order in which stage 3 meets them. */
static int64_t pack_u(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const mixed_shape_t s = mixed_shape(p);
    const int64_t row = s.tiles * SCALE_RANKS, count = p->out_features * row;
    for (int64_t i = 0; dst && i < count; i++) {
        const int64_t at = i % row, j = i / row % s.block_out, k = i / row / s.block_out;
        const int64_t r = rank_of_byte(at / SCALE_RANKS, (int)(at / PIECE_RANKS % PIECES),
                                       byte_of_column((int)(at % PIECE_RANKS)));
        dst[i] = r < p->rank ? src[(k * p->rank + r) * s.block_out + j] : (uint16_t)0;
    }
    return count;
}

static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    if (tensor == 1) return blast_pack(p, tensor, src, dst);
    return tensor == 2 ? pack_scales(p, (const uint16_t *)src, (uint16_t *)dst)
                       : pack_u(p, (const uint16_t *)src, (uint16_t *)dst);
}

/* The larger magnitude; NaN if one is, so that a NaN spoils its tile instead of being lost. */
__device__ inline float larger(float magnitude, float value) {
    float out;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(out) : "f"(magnitude), "f"(fabsf(value)));
    return out;
}

/* From a scale's largest value: at least 1e-30, so that its inverse is finite. */
__device__ inline float scale_of(float magnitude) {
    return larger(magnitude, 1e-30f) * (1.0f / 127);
}

/* Codes of 16 values. The addition leaves round(value / scale) + 128 in the lowest byte. */
__device__ inline uint4 quantise(const float values[PIECE_RANKS], float inverse) {
    uint32_t words[4];
#pragma unroll
    for (int w = 0; w < 4; w++) {
        uint32_t bits[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            bits[i] = __float_as_uint(fmaf(values[w * 4 + i], inverse, 0x1.8p23f + 128));
        words[w] = __byte_perm(__byte_perm(bits[0], bits[1], 0x0040),
                               __byte_perm(bits[2], bits[3], 0x0040), 0x5410);
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}

/* What a code has to be multiplied and added with. */
typedef struct {
    float scale, bias;
} affine_t;

__device__ inline affine_t affine(float scale) {
    return {scale, -(0x1p15f + 128) * scale};
}

/* The value of byte `byte` of a word: in the second byte of 2^15 a code counts ones. */
__device__ inline float dequantise(uint32_t word, int byte, affine_t a) {
    return fmaf(__uint_as_float(__byte_perm(word, 0x47000000, 0x7604 | byte << 4)), a.scale,
                a.bias);
}

#endif
