/* How the cluster kernel of blast/fused (hopper_cluster.cu) cuts up a problem, and how V and S lie
 * for it. */
#ifndef BLROOF_BLAST_HOPPER_CLUSTER_SHAPE_CUH
#define BLROOF_BLAST_HOPPER_CLUSTER_SHAPE_CUH

#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/mbarrier.cuh"
#include "kernels/cuda/wgmma.cuh"

static constexpr int DEPTH = 64, SWIZZLE = 128, STEPS = DEPTH / 16, VECTOR_BYTES = 16;
static constexpr int TOKENS = WARPGROUP_ROWS, MOST_SLOTS = 16;
static constexpr int HALVES = CONSUMERS;     /* of the ranks, of the columns */
static constexpr int HALF_SMEM = 113 * 1024; /* so that two blocks share an SM */
static constexpr int ALONE_SMEM = HALF_SMEM + 1024;

/* RANKS: of a group, padded. COLUMNS: of a block. */
template <int PARTS_, int GROUPS_, int RANKS_, int COLUMNS_> struct cluster_shape {
    static constexpr int PARTS = PARTS_, GROUPS = GROUPS_;
    static constexpr int RANKS = RANKS_, COLUMNS = COLUMNS_, BLOCKS = PARTS * GROUPS;
    static constexpr int CONSUMER_THREADS = HALVES * WARPGROUP;
    static constexpr int X_THREAD = CONSUMER_THREADS, WEIGHTS_THREAD = CONSUMER_THREADS + 32;
    static constexpr int THREADS = CONSUMER_THREADS + 64, WARPS = CONSUMER_THREADS / 32;
    static constexpr int UNITS = RANKS / UNIT_RANKS, HALF_UNITS = UNITS / HALVES;
    static constexpr int MIXED = (UNITS + PARTS - 1) / PARTS; /* units of a block, at most */
    static constexpr int Z_STEPS = GROUPS * RANKS / 16, U_CHUNKS = Z_STEPS / STEPS;

    static constexpr int X_BYTES = TOKENS * SWIZZLE, V_BYTES = RANKS * SWIZZLE;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int UNIT_BYTES = TOKENS * VECTOR_BYTES; /* 8 ranks of all tokens */
    static constexpr int U_CHUNK_BYTES = COLUMNS * SWIZZLE, U_BYTES = U_CHUNKS * U_CHUNK_BYTES;
    static constexpr int Y_BYTES = MIXED * PARTS * UNIT_BYTES;
    static constexpr int Z_BYTES = GROUPS * UNITS * UNIT_BYTES;
    static constexpr int BARRIERS_BYTES = (2 * MOST_SLOTS + 4) * MBARRIER_BYTES;
    /* Y and Z go from registers to other blocks; otherwise by way of own shared memory. */
    static constexpr bool DIRECT = GROUPS > 1;
    static constexpr int S_WORDS = PARTS > 8 ? 2 : 1; /* of a lane: of a B operand, 0 the rest */
    static constexpr int S_RANK_BYTES = S_WORDS * 128;
    static constexpr int S_BYTES = MIXED * UNIT_RANKS * S_RANK_BYTES;
    static constexpr int S_ROOM = (BARRIERS_BYTES + S_BYTES + 1023) / 1024 * 1024;
    static constexpr int FIXED = SMEM_ALIGN + U_BYTES + Y_BYTES + S_ROOM;
    static_assert(U_CHUNKS * STEPS == Z_STEPS && HALF_UNITS * HALVES == UNITS &&
                  COLUMNS % 64 == 0 && Y_BYTES % SMEM_ALIGN == 0);
};

/* Units that a part's block mixes, of its group: from part * MIXED on. */
template <typename S> __host__ __device__ constexpr int units_of(int part) {
    const int left = S::UNITS - part * S::MIXED;
    return left < 0 ? 0 : left < S::MIXED ? left : S::MIXED;
}

/* How a problem is cut up. */
typedef struct {
    int width, splits, chunks; /* of a part of the inputs; parts of an input block; K chunks */
    int owners;                /* blocks of the cluster that own columns of one output block */
    int slots, smem;
} cut_t;

template <typename S> static cut_t cut_of(const problem_t *p) {
    cut_t cut = {.splits = S::PARTS / (int)p->blocks, .owners = S::BLOCKS / (int)p->blocks};
    cut.width = (int)round_up(ceil_div(p->in_features / p->blocks, cut.splits), DEPTH);
    cut.chunks = cut.width / DEPTH;
    const int wanted = cut.chunks < MOST_SLOTS ? cut.chunks : MOST_SLOTS;
    const int half = (HALF_SMEM - S::FIXED) / S::SLOT_BYTES;
    const int whole = (STAGE_SMEM - S::FIXED) / S::SLOT_BYTES;
    cut.slots = half >= wanted ? half : whole;
    if (cut.slots > wanted) cut.slots = wanted;
    const int ring = cut.slots * S::SLOT_BYTES;
    cut.smem = S::FIXED + (ring > S::Z_BYTES ? ring : S::Z_BYTES);
    return cut;
}

template <typename S> static bool fits(const problem_t *p) {
    const cut_t cut = cut_of<S>(p);
    return ceil_div(p->rank, DEPTH) == S::U_CHUNKS && cut.smem <= STAGE_SMEM &&
           cut.slots >= (cut.chunks < 3 ? cut.chunks : 3);
}

/* ---- packed V: [group][part][chunk] tiles of RANKS x 64, K-major, 128-byte swizzle ---- */
template <typename S>
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const cut_t cut = cut_of<S>(p);
    const int64_t in_block = p->in_features / p->blocks, r = p->rank;
    const int64_t tiles = S::BLOCKS * cut.chunks;
    if (!dst) return tiles * S::RANKS * DEPTH;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t block = tile / cut.chunks, part = block % S::PARTS;
        const int64_t l = part / cut.splits, end = (part % cut.splits + 1) * cut.width;
        const int64_t in0 = end - cut.width + tile % cut.chunks * DEPTH;
        for (int row = 0; row < S::RANKS; row++) {
            const int64_t rank = block / S::PARTS * S::RANKS + row;
            uint16_t *const to = dst + (tile * S::RANKS + row) * DEPTH;
            for (int i = 0; i < DEPTH; i++)
                to[swizzled_chunk<SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    in0 + i < in_block && rank < r ? src[(l * in_block + in0 + i) * r + rank] : 0;
        }
    }
    return tiles * S::RANKS * DEPTH;
}

/* ---- packed S: [block][unit that it mixes][rank][lane][word]: B operands of mma.m16n8k16, the
 * parts along K; the second word is left out where it is 0 ---- */
template <typename S>
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const cut_t cut = cut_of<S>(p);
    const int64_t b = p->blocks, r = p->rank, block_elements = S::S_BYTES / 2;
    for (int64_t i = 0; dst && i < S::BLOCKS * block_elements; i++) {
        const int64_t block = i / block_elements, word = i / 2 % S::S_WORDS;
        const int64_t lane = i / 2 / S::S_WORDS % 32, part = lane % 4 * 2 + i % 2 + word * 8;
        const int64_t k = lane / 4, row = i / 64 / S::S_WORDS % (S::MIXED * UNIT_RANKS);
        const int64_t unit = block % S::PARTS * S::MIXED + row / UNIT_RANKS;
        const int64_t rank = block / S::PARTS * S::RANKS + unit * UNIT_RANKS + row % UNIT_RANKS;
        dst[i] = part < S::PARTS && k < b && unit < S::UNITS && rank < r
                     ? src[(part / cut.splits * b + k) * r + rank]
                     : (uint16_t)0;
    }
    return S::BLOCKS * block_elements;
}

#endif
