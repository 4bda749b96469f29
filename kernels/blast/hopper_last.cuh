/*
 * Stage 3 of blast/fused and blast/fused_fp8 on Hopper: Y_k = Z_k U_k, persistent tiles of 128
 * tokens x COLUMNS columns. One thread fills a ring with Z (128 x 128 bytes, without swizzle, as
 * the mix kernel stored it) and U (COLUMNS x 128 bytes); two warpgroups of 64 tokens multiply. U is
 * loaded before the mix kernel has ended.
 *
 * In fp8 the scales of a tile's columns lie behind its last chunk of U, and that slot is freed only
 * after the results were scaled and stored.
 */
#ifndef BLROOF_BLAST_HOPPER_LAST_CUH
#define BLROOF_BLAST_HOPPER_LAST_CUH

#include <cuda_fp8.h>

#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shared.cuh"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

static constexpr int SWIZZLE = 128, STEPS = SWIZZLE / 32, CHUNK_STRIPS = SWIZZLE / 16;

template <typename T> static constexpr bool IS_FP8 = sizeof(T) == 1;

/* OPERAND: of Z and U; T: of the result. */
template <typename OPERAND, typename T_, int COLUMNS_> struct last_shape {
    using operand_t = OPERAND;
    using T = T_;
    static constexpr bool FP8 = IS_FP8<OPERAND>;
    static constexpr int COLUMNS = COLUMNS_, DEPTH = SWIZZLE / (int)sizeof(OPERAND);
    static constexpr int Z_BYTES = TILE_TOKENS * SWIZZLE, U_BYTES = COLUMNS * SWIZZLE;
    static constexpr int SCALES_BYTES = FP8 ? COLUMNS * 4 : 0;
    static constexpr int SLOT_BYTES = Z_BYTES + U_BYTES + (FP8 ? SMEM_ALIGN : 0);
    static constexpr int BARRIERS_BYTES = 256;
    static constexpr int FIT = (STAGE_SMEM - SMEM_ALIGN - BARRIERS_BYTES) / SLOT_BYTES;
    static constexpr int SLOTS = FIT < 8 ? FIT : 8;
    static constexpr int SMEM = SMEM_ALIGN + SLOTS * SLOT_BYTES + BARRIERS_BYTES;
    static_assert(SLOTS >= 3 && SLOT_BYTES % SMEM_ALIGN == 0 && SCALES_BYTES <= SMEM_ALIGN);
};

struct last_args_t {
    const uint8_t *z, *u;
    uint16_t *y;
    const float *token_scales;           /* fp8: of X */
    const float *block_scales, *v_scale; /* fp8: of S, a k each; of V */
    int tokens, out_block, out_features;
    int chunks, last_steps; /* of r; K steps of the last chunk */
    int column_tiles, tiles;
    int first_tile, token_tiles, strips; /* of Z */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Column tiles first: blocks that run together share Z in L2, then U. */
struct place_t {
    int column_tile, token_tile, k;
};

__device__ inline place_t place_of(const last_args_t &args, int tile) {
    const int row = tile / args.column_tiles;
    return {tile % args.column_tiles, row % args.token_tiles, row / args.token_tiles};
}

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t slots;

    __device__ uint32_t z(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t u(int slot) const {
        return z(slot) + S::Z_BYTES;
    }
    __device__ uint32_t full(int slot) const {
        return z(S::SLOTS) + slot * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
};

template <typename S> __device__ void produce(const layout_t<S> &smem, const last_args_t &args) {
    ring_t ring = {0, 1};
    const int early = min(args.chunks, S::SLOTS);
    const auto load_u = [&](const place_t &place, int chunk, int slot) {
        const int64_t tile = (int64_t)place.k * args.column_tiles + place.column_tile;
        const int strips = min(CHUNK_STRIPS, args.strips - chunk * CHUNK_STRIPS);
        const uint32_t bytes = S::U_BYTES + (chunk + 1 == args.chunks ? S::SCALES_BYTES : 0);
        mbarrier_arrive_expect(smem.full(slot), bytes + strips * STRIP_BYTES);
        bulk_load(smem.u(slot),
                  args.u + tile * (args.chunks * S::U_BYTES + S::SCALES_BYTES) + chunk * S::U_BYTES,
                  bytes, smem.full(slot));
    };
    const auto load_z = [&](const place_t &place, int chunk, int slot) {
        const int64_t tile = (int64_t)place.k * args.token_tiles + place.token_tile;
        const int strip = chunk * CHUNK_STRIPS, strips = min(CHUNK_STRIPS, args.strips - strip);
        bulk_load(smem.z(slot), args.z + (tile * args.strips + strip) * STRIP_BYTES,
                  strips * STRIP_BYTES, smem.full(slot));
    };
    const place_t first = place_of(args, blockIdx.x);
    for (int slot = 0; slot < early; slot++) load_u(first, slot, slot);
    dependency_wait();
    for (int tile = blockIdx.x, done = 0; tile < args.tiles; tile += gridDim.x) {
        const place_t place = place_of(args, tile);
        for (int c = 0; c < args.chunks; c++, done++) {
            if (done >= early) {
                mbarrier_wait(smem.empty(ring.slot), ring.parity);
                load_u(place, c, ring.slot);
            }
            load_z(place, c, ring.slot);
            ring_advance<S::SLOTS>(ring);
        }
    }
}

/* The state of one consumer warpgroup. */
template <typename S> struct consumer_t {
    using operand_t = typename S::operand_t;
    using T = typename S::T;

    float acc[S::COLUMNS / 2];
    float row_scales[2];              /* fp8: of rows g and g + 8 */
    uint32_t column_scales, previous; /* fp8: where they lie; the slot that is freed next */
    ring_t ring = {0, 0};
    const layout_t<S> &smem;
    const last_args_t &args;
    const int warpgroup;

    __device__ consumer_t(const layout_t<S> &layout, const last_args_t &arguments, int index)
        : smem(layout), args(arguments), warpgroup(index) {}

    __device__ void free_slot(uint32_t slot) const {
        if (threadIdx.x % WARPGROUP == 0) mbarrier_arrive(smem.empty(slot));
    }

    /* With the scales of Z and of this thread's tokens: written by the kernels ahead, so not to be
     * read before the first slot is full, nor from a cache that they did not write. */
    __device__ void load_row_scales(const place_t &place) {
        if constexpr (S::FP8) {
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            const int row = (args.first_tile + place.token_tile) * TILE_TOKENS +
                            (int)threadIdx.x / 32 * 16 + (int)threadIdx.x % 32 / 4;
            const float scale = __ldg(args.block_scales + place.k) * __ldg(args.v_scale);
#pragma unroll
            for (int below = 0; below < 2; below++)
                row_scales[below] = row + 8 * below < args.tokens
                                        ? __ldcg(args.token_scales + row + 8 * below) * scale
                                        : 0;
        }
    }

    __device__ void product() {
        constexpr uint64_t Z_STEP = 2 * STRIP_BYTES / 16;
        for (int c = 0; c < args.chunks; c++) {
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            wgmma_fence();
            const uint64_t z = wgmma_tile_plain(smem.z(ring.slot) + warpgroup * WARPGROUP_ROWS * 16,
                                                STRIP_BYTES, 8 * 16);
            const uint64_t u = wgmma_tile<SWIZZLE>(smem.u(ring.slot));
            if (c + 1 < args.chunks || args.last_steps == STEPS) {
#pragma unroll
                for (int step = 0; step < STEPS; step++)
                    wgmma<operand_t>(acc, z + step * Z_STEP, wgmma_step(u, step),
                                     c > 0 || step > 0);
            } else {
                for (int step = 0; step < args.last_steps; step++)
                    wgmma<operand_t>(acc, z + step * Z_STEP, wgmma_step(u, step),
                                     c > 0 || step > 0);
            }
            wgmma_commit();
            if (c > 0) {
                wgmma_wait<1>();
                free_slot(previous);
            }
            previous = ring.slot;
            ring_advance<S::SLOTS>(ring);
        }
        wgmma_wait<0>();
        if (!S::FP8) free_slot(previous);
        column_scales = smem.u(previous) + S::U_BYTES;
        registers_fence(acc);
    }

    /* Columns 8t to 8t + 7 of 32 from c on, of row g or, below, g + 8: see stored_column(). */
    __device__ void eight(uint32_t (&to)[4], int c, int below) const {
        float scales[8];
        if constexpr (S::FP8) {
            const uint32_t from = column_scales + (c + (int)threadIdx.x % 4 * 8) * 4;
            const float4 low = shared_load(from), high = shared_load(from + 16);
            const float of[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
            for (int i = 0; i < 8; i++) scales[i] = of[i] * row_scales[below];
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float *const two = acc + c / 2 + 4 * i + 2 * below;
            to[i] = S::FP8 ? round_pair<T>(two[0] * scales[2 * i], two[1] * scales[2 * i + 1])
                           : round_pair<T>(two[0], two[1]);
        }
    }

    /* Columns c + 2t and c + 2t + 1 of a group that stays in order. */
    __device__ uint32_t two(int c, int below) const {
        const float *const pair = acc + c / 2 + 2 * below;
        if constexpr (!S::FP8) return round_pair<T>(pair[0], pair[1]);
        const uint32_t from = column_scales + (c + (int)threadIdx.x % 4 * 2) * 4;
        const uint2 scales = shared_load_8(from);
        return round_pair<T>(pair[0] * (__uint_as_float(scales.x) * row_scales[below]),
                             pair[1] * (__uint_as_float(scales.y) * row_scales[below]));
    }

    /* 64 columns from c on. The lanes of rows g and g ^ 1 swap 32 columns: then eight lanes store
     * 128 bytes of a row, where four would store 64. */
    __device__ void store_64(uint16_t *y, int c, int below, int rows, int columns) const {
        const int lane = (int)threadIdx.x % 32, row = lane / 4 & ~1;
        const bool odd = lane & 4;
        uint32_t left[4], right[4], upper[4], lower[4];
        eight(left, c, below);
        eight(right, c + 32, below);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t other = __shfl_xor_sync(~0u, odd ? left[i] : right[i], 4);
            upper[i] = odd ? other : left[i];
            lower[i] = odd ? right[i] : other;
        }
        const int column = c + lane % 4 * 8 + (odd ? 32 : 0);
        uint16_t *const to = y + (int64_t)row * args.out_features + column;
        if (column >= columns) return;
        if (row < rows) store_vector(to, make_uint4(upper[0], upper[1], upper[2], upper[3]));
        if (row + 1 < rows)
            store_vector(to + args.out_features,
                         make_uint4(lower[0], lower[1], lower[2], lower[3]));
    }

    __device__ void store(const place_t &place) const {
        constexpr int PAIRED = S::COLUMNS / 64 * 64, WHOLE = S::COLUMNS / 32 * 32;
        const int lane = (int)threadIdx.x % 32, t = lane % 4;
        const int column0 = place.column_tile * S::COLUMNS;
        const int columns = args.out_block - column0; /* that are left: a multiple of 8 */
#pragma unroll
        for (int below = 0; below < 2; below++) {
            const int row0 = (args.first_tile + place.token_tile) * TILE_TOKENS +
                             (int)threadIdx.x / 32 * 16 + below * 8;
            uint16_t *const y =
                args.y + (int64_t)row0 * args.out_features + place.k * args.out_block + column0;
#pragma unroll
            for (int c = 0; c < PAIRED; c += 64) store_64(y, c, below, args.tokens - row0, columns);
            if (row0 + lane / 4 >= args.tokens) continue;
            uint16_t *const row = y + (int64_t)(lane / 4) * args.out_features;
            if (PAIRED < WHOLE && PAIRED + t * 8 < columns) {
                uint32_t w[4];
                eight(w, PAIRED, below);
                store_vector(row + PAIRED + t * 8, make_uint4(w[0], w[1], w[2], w[3]));
            }
#pragma unroll
            for (int c = WHOLE; c < S::COLUMNS; c += 8)
                if (c < columns) *(uint32_t *)(row + c + t * 2) = two(c, below);
        }
        if constexpr (S::FP8) {
            named_barrier_sync(1 + warpgroup, WARPGROUP); /* all have read the scales */
            free_slot(previous);
        }
    }
};

#endif

template <typename S>
__global__ void __launch_bounds__(STAGE_THREADS, 1)
    blast_last(const __grid_constant__ last_args_t args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const layout_t<S> smem = {(smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u)};
    dependents_launch();
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::SLOTS; i++) {
            mbarrier_init(smem.full(i), 1);
            mbarrier_init(smem.empty(i), CONSUMERS);
        }
        mbarrier_init_done();
    }
    __syncthreads();
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == CONSUMERS) {
        registers_lower<40>();
        if (threadIdx.x == CONSUMERS * WARPGROUP) produce(smem, args);
    } else {
        registers_raise<232>();
        consumer_t<S> consumer(smem, args, warpgroup);
        for (int tile = blockIdx.x; tile < args.tiles; tile += gridDim.x) {
            const place_t place = place_of(args, tile);
            consumer.load_row_scales(place);
            consumer.product();
            consumer.store(place);
        }
    }
#else
    __trap();
#endif
}

template <typename S>
static status_t launch_shape(const problem_t *p, hopper_chunk_t chunk, const last_args_t &from,
                             stream_t stream) {
    static uint64_t opted_in;
    last_args_t args = from;
    const int steps = (int)ceil_div(p->rank, S::DEPTH / STEPS);
    args.tokens = (int)p->tokens;
    args.out_block = (int)(p->out_features / p->blocks);
    args.out_features = (int)p->out_features;
    args.chunks = (int)ceil_div(steps, STEPS);
    args.last_steps = steps - (args.chunks - 1) * STEPS;
    args.column_tiles = (int)ceil_div(args.out_block, S::COLUMNS);
    args.tiles = args.column_tiles * chunk.count * (int)p->blocks;
    args.first_tile = chunk.first;
    args.token_tiles = chunk.count;
    args.strips = chunk.strips;
    int sms = 0;
    status_t st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)blast_last<S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t waves = ceil_div(args.tiles, sms);
    return launch_overlapped(blast_last<S>, ceil_div(args.tiles, waves), STAGE_THREADS, 1, S::SMEM,
                             stream, args);
}

/* args: the pointers. */
template <typename OPERAND, typename T>
static status_t launch_last(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                            const last_args_t &args, stream_t stream) {
    switch (tiles.columns) {
    case 64:
        return launch_shape<last_shape<OPERAND, T, 64>>(p, chunk, args, stream);
    case 128:
        return launch_shape<last_shape<OPERAND, T, 128>>(p, chunk, args, stream);
    case 192:
        return launch_shape<last_shape<OPERAND, T, 192>>(p, chunk, args, stream);
    case 232:
        return launch_shape<last_shape<OPERAND, T, 232>>(p, chunk, args, stream);
    }
    return launch_shape<last_shape<OPERAND, T, 256>>(p, chunk, args, stream);
}

#endif
