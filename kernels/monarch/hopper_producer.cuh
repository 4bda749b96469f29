/*
 * One half of the plans in hopper_registers.cuh: the sizes of a tile, where its operands lie in
 * shared memory, which tiles a thread block has, and the warps that load them.
 */
#ifndef BLROOF_MONARCH_HOPPER_PRODUCER_CUH
#define BLROOF_MONARCH_HOPPER_PRODUCER_CUH

#include "kernels/cuda/cluster.cuh"
#include "kernels/monarch/hopper_tile.cuh"

enum { SMEM_PER_SM = 228 * 1024, SMEM_ALIGN = 1024 };

/* COLUMNS and RANK are those of one output block of the group and one input block; BYTES an
 * element of an operand. */
template <int BYTES_, int TOKENS_, int COLUMNS_, int RANK_, int JOIN_, int GROUP_, int SPLIT_,
          int BLOCKS>
struct tile_shape {
    static constexpr int BYTES = BYTES_, TOKENS = TOKENS_, COLUMNS = COLUMNS_, RANK = RANK_;
    static constexpr int JOIN = JOIN_, GROUP = GROUP_, SPLIT = SPLIT_;
    static constexpr bool FP8 = BYTES == 1;
    static constexpr int CONSUMERS = TOKENS / WARPGROUP_ROWS;
    static constexpr int THREADS = (CONSUMERS + 1) * WARPGROUP;
    static constexpr int V_ROWS = GROUP * RANK, T_WIDTH = JOIN * V_ROWS, WIDTH = GROUP * COLUMNS;
    /* K steps of the second product; the last one of a block may be filled up with zeros. */
    static constexpr int STEP_RANKS = STEP_BYTES / BYTES;
    static constexpr int BLOCK_STEPS = (JOIN * RANK + STEP_RANKS - 1) / STEP_RANKS;
    static constexpr int STEPS = GROUP * BLOCK_STEPS, OPERAND_WORDS = 4 * STEPS;
    static constexpr int BLOCKS_PER_SM = BLOCKS;
    /* Two operands for T, so that rounding overlaps with wgmma, where registers allow. */
    static constexpr bool TWO_OPERANDS = WIDTH / 2 + T_WIDTH <= (BLOCKS_PER_SM == 2 ? 96 : 192);

    static constexpr int X_BYTES = TOKENS * CHUNK_BYTES, V_BYTES = V_ROWS * CHUNK_BYTES;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int U_BLOCK_BYTES = COLUMNS * BLOCK_STEPS * STEP_BYTES;
    static constexpr int U_BYTES = GROUP * U_BLOCK_BYTES;
    /* The scales of a pass's T lie behind its U. */
    static constexpr int SCALE_BYTES = FP8 ? T_WIDTH * (int)sizeof(float) : 0;
    static constexpr int U_SLOT_BYTES =
        (U_BYTES + SCALE_BYTES + SMEM_ALIGN - 1) / SMEM_ALIGN * SMEM_ALIGN;
    static constexpr int BUDGET =
        SMEM_PER_SM / BLOCKS_PER_SM - SMEM_ALIGN; /* 1 KB is the system's */
    /* As many passes ahead as hide the latency of L2, which is longer than a small pass. */
    static constexpr int U_WANTED = BUDGET / 3 / U_SLOT_BYTES;
    static constexpr int U_SLOTS = U_WANTED < 2 ? 2 : U_WANTED > 6 ? 6 : U_WANTED;
    static constexpr int ROOM = BUDGET - 2 * SMEM_ALIGN - U_SLOTS * U_SLOT_BYTES;
    static constexpr int SLOTS = ROOM / SLOT_BYTES < 12 ? ROOM / SLOT_BYTES : 12;
    static constexpr int BARRIERS = 2 * (SLOTS + U_SLOTS);
    static constexpr int SMEM =
        SMEM_ALIGN + SLOTS * SLOT_BYTES + U_SLOTS * U_SLOT_BYTES + BARRIERS * MBARRIER_BYTES;
    static_assert(SLOTS >= 3 && SMEM <= BUDGET);
    static_assert(SLOT_BYTES % SMEM_ALIGN == 0 && U_BLOCK_BYTES % SMEM_ALIGN == 0);
    /* The sums of a split tile take the place of the slots. */
    static_assert(SPLIT == 1 || TOKENS * WIDTH * 4 <= SLOTS * SLOT_BYTES + U_SLOTS * U_SLOT_BYTES);
};

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t slots, u_slots, barriers;

    __device__ uint32_t x(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return x(slot) + S::X_BYTES;
    }
    __device__ uint32_t u(int slot) const {
        return u_slots + slot * S::U_SLOT_BYTES;
    }
    __device__ uint32_t full(int slot) const {
        return barriers + slot * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
    __device__ uint32_t u_full(int slot) const {
        return full(2 * S::SLOTS + slot);
    }
    __device__ uint32_t u_empty(int slot) const {
        return full(2 * S::SLOTS + S::U_SLOTS + slot);
    }
};

/* The tiles and passes of a thread block, and where a tile lies. Column tiles come first: blocks
 * that run together share X in L2. */
struct work_t {
    int first_tile, tile_step, tiles, first_pass, last_pass;
};

template <typename S> __device__ inline work_t work_of(const monarch_tiling_t &tiling) {
    const int rank = blockIdx.x % S::SPLIT;
    return {(int)blockIdx.x / S::SPLIT, (int)gridDim.x / S::SPLIT,
            tiling.k_tiles * tiling.column_tiles * tiling.token_tiles,
            tiling.passes * rank / S::SPLIT, tiling.passes * (rank + 1) / S::SPLIT};
}

struct place_t {
    int k_tile, column_tile, token;
};

template <typename S> __device__ inline place_t place_of(const monarch_tiling_t &tiling, int tile) {
    const int columns = tiling.k_tiles * tiling.column_tiles, column = tile % columns;
    return {column / tiling.column_tiles, column % tiling.column_tiles, tile / columns * S::TOKENS};
}

/* Loads X and V of all tiles of this block; one thread, which does not divide in its loop: it has
 * less time for a chunk than that takes. V is a constant, so the first slots get it before the
 * kernel ahead has ended. */
template <typename S>
__device__ void produce_xv(const layout_t<S> &smem, const CUtensorMap *x_map, const uint8_t *v,
                           const monarch_tiling_t &tiling, const work_t &work) {
    const int first = work.first_pass * S::JOIN, last = work.last_pass * S::JOIN; /* (l, part) */
    const int tile_chunks = (last - first) * tiling.chunks;
    const int early = tile_chunks < S::SLOTS ? tile_chunks : S::SLOTS;
    const auto tile_v = [&](int k_tile) {
        return v + ((int64_t)k_tile * tiling.passes * S::JOIN + first) * tiling.chunks * S::V_BYTES;
    };
    const uint8_t *from = tile_v(place_of<S>(tiling, work.first_tile).k_tile);
    for (int slot = 0; slot < early; slot++, from += S::V_BYTES) {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), from, S::V_BYTES, smem.full(slot));
    }
    dependency_wait();
    dependents_launch();
    ring_t ring = {0, 1};
    int done = 0; /* chunks since the start of the kernel */
    for (int tile = work.first_tile; tile < work.tiles; tile += work.tile_step) {
        const place_t place = place_of<S>(tiling, tile);
        int block = first / tiling.parts * tiling.in_block, part = first % tiling.parts;
        from = tile_v(place.k_tile);
        for (int pass = first; pass < last; pass++) {
            for (int c = 0; c < tiling.chunks; c++, done++, from += S::V_BYTES) {
                const uint32_t full = smem.full(ring.slot);
                if (done >= early) {
                    mbarrier_wait(smem.empty(ring.slot), ring.parity);
                    mbarrier_arrive_expect(full, S::SLOT_BYTES);
                    bulk_load(smem.v(ring.slot), from, S::V_BYTES, full);
                }
                tma_load_2d(smem.x(ring.slot), x_map, block + c * (CHUNK_BYTES / S::BYTES),
                            place.token, full);
                ring_advance<S::SLOTS>(ring);
            }
            if (++part == tiling.parts) part = 0, block += tiling.in_block;
        }
    }
}

template <typename S>
__device__ void produce_u(const layout_t<S> &smem, const uint8_t *u, const float *v_scales,
                          const monarch_tiling_t &tiling, const work_t &work) {
    ring_t ring = {0, 1};
    for (int tile = work.first_tile; tile < work.tiles; tile += work.tile_step) {
        const place_t place = place_of<S>(tiling, tile);
        const int64_t column_tile = place.k_tile * tiling.column_tiles + place.column_tile;
        const uint8_t *const from = u + column_tile * tiling.passes * S::U_BYTES;
        const float *const scales = v_scales + (int64_t)place.k_tile * tiling.passes * S::T_WIDTH;
        for (int pass = work.first_pass; pass < work.last_pass; pass++) {
            const uint32_t to = smem.u(ring.slot), full = smem.u_full(ring.slot);
            mbarrier_wait(smem.u_empty(ring.slot), ring.parity);
            mbarrier_arrive_expect(full, S::U_BYTES + S::SCALE_BYTES);
            bulk_load(to, from + (int64_t)pass * S::U_BYTES, S::U_BYTES, full);
            if constexpr (S::FP8)
                bulk_load(to + S::U_BYTES, scales + pass * S::T_WIDTH, S::SCALE_BYTES, full);
            ring_advance<S::U_SLOTS>(ring);
        }
    }
}

#endif
