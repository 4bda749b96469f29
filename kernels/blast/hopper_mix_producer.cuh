/* The mix kernel of blast/fused (hopper_mix.cuh): its arguments, its shared memory, and the thread
 * that fills it. */
#ifndef BLROOF_BLAST_HOPPER_MIX_PRODUCER_CUH
#define BLROOF_BLAST_HOPPER_MIX_PRODUCER_CUH

#include "kernels/blast/hopper_mix_shape.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tma.cuh"

static constexpr int AHEAD = 2; /* l that X and V are brought into L2 ahead */

/* What the kernel needs to know of a problem and a chunk of its tokens. */
struct mix_args_t {
    const uint8_t *v, *s;
    const uint32_t *rank_scales; /* of V in fp8: each a pair of the same bf16 */
    uint8_t *z;
    int blocks, in_block, chunks, rank_tiles, tiles;
    int ahead;                           /* inputs that L2 is filled ahead; 0: none */
    int first_tile, token_tiles, strips; /* of Z */
    int64_t k_stride;                    /* bytes */
};

template <typename T> static constexpr bool IS_FP8 = sizeof(T) == 1;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t slots;

    __device__ uint32_t x(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return x(slot) + S::X_BYTES;
    }
    __device__ uint32_t y() const { /* what the other block sends */
        return x(S::SLOTS);
    }
    __device__ uint32_t full(int slot) const {
        return y() + S::Y_BYTES + slot * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
    /* Of a warp: y is there; the other block has read what this one sent. */
    __device__ uint32_t y_full(int warp) const {
        return full(2 * S::SLOTS + warp);
    }
    __device__ uint32_t y_read(int warp) const {
        return y_full(WARPS + warp);
    }
};

/* X and V of one input of a tile. */
template <typename T, typename S> struct source_t {
    const uint8_t *v;
    int x_column, x_row;

    __device__ source_t(const mix_args_t &args, int tile, int l)
        : v(args.v +
            ((int64_t)(tile % args.rank_tiles) * args.blocks + l) * args.chunks * S::V_BYTES),
          x_column(l * args.in_block),
          x_row((args.first_tile + tile / args.rank_tiles) * TILE_TOKENS) {}

    /*
     * All rank tiles load the same X, and all token tiles the same V, at about the same time: all
     * would wait for DRAM. So each brings a share into L2 ahead.
     */
    __device__ void prefetch_x(const mix_args_t &args, const CUtensorMap *x_map, int tile) const {
        for (int c = tile % args.rank_tiles; c < args.chunks; c += args.rank_tiles)
            tma_prefetch_2d(x_map, x_column + c * DEPTH<T>, x_row);
    }
    __device__ void prefetch_v(const mix_args_t &args, int tile) const {
        for (int c = tile / args.rank_tiles; c < args.chunks; c += args.token_tiles)
            bulk_prefetch(v + c * S::V_BYTES, S::V_BYTES);
    }
};

/* Loads X, V and S of all tiles of this block; one thread. V is a constant, so the first slots get
 * it before the kernel ahead has ended. */
template <typename T, typename S>
__device__ void produce(const layout_t<S> &smem, const CUtensorMap *x_map, const mix_args_t &args,
                        int half) {
    const inputs_t inputs = inputs_of(args.blocks, half);
    const int early = min(inputs.count * args.chunks, S::SLOTS), first = blockIdx.x / PAIR;
    const auto load_v = [&](const uint8_t *v, int slot) {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), v, S::V_BYTES, smem.full(slot));
    };
    for (int slot = 0; slot < early; slot++)
        load_v(source_t<T, S>(args, first, inputs.first).v + slot * S::V_BYTES, slot);
    /* L2 is where all kernels see the same memory: X may be fetched so far already now. */
    for (int i = 0; i < min(args.ahead, inputs.count); i++) {
        const source_t<T, S> source(args, first, inputs.first + i);
        source.prefetch_v(args, first);
        if (!IS_FP8<T>) source.prefetch_x(args, x_map, first); /* fp8 was just written */
    }
    dependency_wait();
    ring_t ring = {0, 1};
    for (int tile = first, done = 0; tile < args.tiles; tile += gridDim.x / PAIR) {
        for (int l = inputs.first; l < inputs.first + inputs.count; l++) {
            source_t<T, S> source(args, tile, l);
            for (int c = 0; c < args.chunks; c++, done++) {
                if (done >= early) {
                    mbarrier_wait(smem.empty(ring.slot), ring.parity);
                    load_v(source.v + c * S::V_BYTES, ring.slot);
                }
                tma_load_2d(smem.x(ring.slot), x_map, source.x_column + c * DEPTH<T>, source.x_row,
                            smem.full(ring.slot));
                ring_advance<S::SLOTS>(ring);
                /* The ring is as full as it gets: time to look ahead. */
                const int next = l + args.ahead;
                if (args.ahead == 0 || c + 1 != min(S::SLOTS, args.chunks) ||
                    next >= inputs.first + inputs.count)
                    continue;
                if (!IS_FP8<T>) source_t<T, S>(args, tile, next).prefetch_x(args, x_map, tile);
                source_t<T, S>(args, tile, next).prefetch_v(args, tile);
            }
        }
        const uint8_t *const s =
            args.s + (int64_t)(tile % args.rank_tiles * PAIR + half) * S::UNITS * S::S_UNIT_BYTES;
        for (int unit = 0; unit < S::UNITS; unit += S::S_SLOT_UNITS) {
            const int units = min(S::S_SLOT_UNITS, S::UNITS - unit);
            mbarrier_wait(smem.empty(ring.slot), ring.parity);
            mbarrier_arrive_expect(smem.full(ring.slot), units * S::S_UNIT_BYTES);
            bulk_load(smem.x(ring.slot), s + unit * S::S_UNIT_BYTES, units * S::S_UNIT_BYTES,
                      smem.full(ring.slot));
            ring_advance<S::SLOTS>(ring);
        }
    }
}

#endif
#endif
