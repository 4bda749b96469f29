/* The shapes of the mix kernel of blast/fused (hopper_mix.cuh), which the layout of V and S
 * follows.
 */
#ifndef BLROOF_BLAST_HOPPER_MIX_SHAPE_CUH
#define BLROOF_BLAST_HOPPER_MIX_SHAPE_CUH

#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/mbarrier.cuh"

static constexpr int PAIR = 2, CONSUMER_THREADS = CONSUMERS * WARPGROUP;
static constexpr int WARPS = CONSUMER_THREADS / 32;
static constexpr int SWIZZLE = 128; /* bytes of a row of X or V in a slot */

/* Elements of such a row. */
template <typename T> static constexpr int DEPTH = SWIZZLE / (int)sizeof(T);

/* BLOCKS: most blocks, 8, 9, 16 or 32. */
template <int RANKS_, int BLOCKS_> struct mix_shape {
    static constexpr int RANKS = RANKS_, BLOCKS = BLOCKS_;
    static constexpr int INPUTS = (BLOCKS + 1) / PAIR; /* l of one block, at most */
    static constexpr int TURNS = (INPUTS + 3) / 4; /* l of one block that a lane holds for a rank */
    static constexpr int KEPT = RANKS / PAIR, UNITS = KEPT / UNIT_RANKS;
    static constexpr int K_STEPS = BLOCKS > 16 ? BLOCKS / 16 : 1, N_TILES = (BLOCKS + 7) / 8;

    static constexpr int X_BYTES = TILE_TOKENS * SWIZZLE, V_BYTES = RANKS * SWIZZLE;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int SENT_BYTES = CONSUMER_THREADS * 16; /* of two units of one l */
    static constexpr int Y_BYTES = INPUTS * UNITS / 2 * SENT_BYTES;
    /* Words of S that a lane needs for a rank: B operands, the second half of which is zero for 8
     * blocks and left out. */
    static constexpr int S_WORDS = BLOCKS == 8 ? 1 : K_STEPS * N_TILES * 2;
    static constexpr int S_VECTOR = S_WORDS < 4 ? S_WORDS : 4;
    static constexpr int S_UNIT_BYTES = UNIT_RANKS * 32 * S_WORDS * 4;
    static constexpr int S_FIT = SLOT_BYTES / S_UNIT_BYTES;
    static constexpr int S_SLOT_UNITS = S_FIT < UNITS ? S_FIT : UNITS;

    static constexpr int BARRIERS_BYTES = 384;
    static constexpr int ROOM = STAGE_SMEM - SMEM_ALIGN - Y_BYTES - BARRIERS_BYTES;
    static constexpr int SLOTS = ROOM / SLOT_BYTES < 12 ? ROOM / SLOT_BYTES : 12;
    static constexpr int SMEM = STAGE_SMEM - ROOM + SLOTS * SLOT_BYTES;
    static_assert(SLOTS >= 3 && S_FIT > 0 && UNITS % 2 == 0 && INPUTS % 4 <= 1 &&
                  SLOT_BYTES % SMEM_ALIGN == 0);
    static_assert((2 * SLOTS + 2 * WARPS) * MBARRIER_BYTES <= BARRIERS_BYTES);
};

/* l of one block of the pair: [first, first + count). */
struct inputs_t {
    int first, count;
};

__host__ __device__ inline inputs_t inputs_of(int blocks, int owner) {
    const int low = (blocks + 1) / 2;
    return owner ? inputs_t{low, blocks - low} : inputs_t{0, low};
}

template <int RANKS, bool NINE, typename F> static auto with_blocks(const problem_t *p, F f) {
    if constexpr (RANKS <= 64)
        if (p->blocks > 16) return f.template operator()<mix_shape<RANKS, 32>>();
    if constexpr (NINE && RANKS > 64)
        if (p->blocks == 9) return f.template operator()<mix_shape<RANKS, 9>>();
    return p->blocks > 8 ? f.template operator()<mix_shape<RANKS, 16>>()
                         : f.template operator()<mix_shape<RANKS, 8>>();
}

/* Calls f.template operator()<shape>() for the shape of tiles and problem. NINE: there is one for
 * nine blocks, not tried in fp8. */
template <bool NINE = true, typename F>
static auto with_shape(const problem_t *p, hopper_tiles_t tiles, F f) {
    return tiles.ranks == 32   ? with_blocks<32, NINE>(p, f)
           : tiles.ranks == 64 ? with_blocks<64, NINE>(p, f)
           : tiles.ranks == 96 ? with_blocks<96, NINE>(p, f)
                               : with_blocks<128, NINE>(p, f);
}

#endif
