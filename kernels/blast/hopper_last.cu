/*
 * Stage 3 of blast/fused on Hopper: Y_k = Z_k U_k, persistent tiles of 128 tokens x COLUMNS
 * columns. One thread fills a ring with Z (128 x 64, without swizzle, as the mix kernel stored it)
 * and U (COLUMNS x 64); two warpgroups of 64 tokens multiply. U is loaded before the mix kernel has
 * ended.
 */
#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

static constexpr int DEPTH = 64, SWIZZLE = 128, STEPS = DEPTH / 16;

template <int COLUMNS_> struct last_shape {
    static constexpr int COLUMNS = COLUMNS_;
    static constexpr int Z_BYTES = TILE_TOKENS * DEPTH * 2, U_BYTES = COLUMNS * DEPTH * 2;
    static constexpr int SLOT_BYTES = Z_BYTES + U_BYTES, BARRIERS_BYTES = 256;
    static constexpr int FIT = (STAGE_SMEM - SMEM_ALIGN - BARRIERS_BYTES) / SLOT_BYTES;
    static constexpr int SLOTS = FIT < 8 ? FIT : 8;
    static constexpr int SMEM = SMEM_ALIGN + SLOTS * SLOT_BYTES + BARRIERS_BYTES;
    static_assert(SLOTS >= 3 && SLOT_BYTES % SMEM_ALIGN == 0);
};

/* Columns of U in groups of 32 such that a lane of wgmma's result has eight neighbours: where the
 * packed tile has column 8j + 2t + e, the product has 8t + 2j + e. A last, shorter group stays in
 * order. */
static int stored_column(int packed, int columns) {
    const int in_group = packed % 32;
    if (packed - in_group + 32 > columns) return packed;
    return packed - in_group + in_group / 2 % 4 * 8 + in_group / 8 * 2 + in_group % 2;
}

/* ---- packed U: [k][column tile][chunk] tiles of COLUMNS x 64, K-major, 128-byte swizzle ---- */
int64_t hopper_pack_u(const problem_t *p, hopper_tiles_t shape, const uint16_t *src,
                      uint16_t *dst) {
    const int64_t q = p->out_features / p->blocks, r = p->rank, columns = shape.columns;
    const int64_t chunks = ceil_div(r, DEPTH), column_tiles = ceil_div(q, columns);
    const int64_t tiles = p->blocks * column_tiles * chunks;
    if (!dst) return tiles * columns * DEPTH;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t rank0 = tile % chunks * DEPTH, k = tile / chunks / column_tiles;
        const int64_t column0 = tile / chunks % column_tiles * columns;
        for (int row = 0; row < columns; row++) {
            const int64_t column = column0 + stored_column(row, (int)columns);
            uint16_t *const to = dst + (tile * columns + row) * DEPTH;
            for (int i = 0; i < DEPTH; i++)
                to[swizzled_chunk<SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    rank0 + i < r && column < q ? src[(k * r + rank0 + i) * q + column] : 0;
        }
    }
    return tiles * columns * DEPTH;
}

struct last_args_t {
    const uint8_t *z, *u;
    uint16_t *y;
    int tokens, out_block, out_features;
    int chunks, last_steps; /* of r; K steps of the last chunk */
    int column_tiles, tiles;
    int first_tile, token_tiles, units; /* of Z */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

static constexpr int CHUNK_UNITS = DEPTH / UNIT_RANKS;

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
    const auto u_of = [&](const place_t &place, int chunk) {
        const int64_t tile = (int64_t)place.k * args.column_tiles + place.column_tile;
        return args.u + (tile * args.chunks + chunk) * S::U_BYTES;
    };
    const auto load_u = [&](const place_t &place, int chunk, int slot) {
        const int units = min(CHUNK_UNITS, args.units - chunk * CHUNK_UNITS);
        mbarrier_arrive_expect(smem.full(slot), S::U_BYTES + units * UNIT_ELEMENTS * 2);
        bulk_load(smem.u(slot), u_of(place, chunk), S::U_BYTES, smem.full(slot));
    };
    const auto load_z = [&](const place_t &place, int chunk, int slot) {
        const int64_t tile = (int64_t)place.k * args.token_tiles + place.token_tile;
        const int unit = chunk * CHUNK_UNITS, units = min(CHUNK_UNITS, args.units - unit);
        bulk_load(smem.z(slot), args.z + (tile * args.units + unit) * UNIT_ELEMENTS * 2,
                  units * UNIT_ELEMENTS * 2, smem.full(slot));
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
template <typename T, typename S> struct consumer_t {
    float acc[S::COLUMNS / 2];
    ring_t ring = {0, 0};
    const layout_t<S> &smem;
    const last_args_t &args;
    const int warpgroup;

    __device__ consumer_t(const layout_t<S> &layout, const last_args_t &arguments, int index)
        : smem(layout), args(arguments), warpgroup(index) {}

    __device__ void free_slot(uint32_t slot) const {
        if (threadIdx.x % WARPGROUP == 0) mbarrier_arrive(smem.empty(slot));
    }

    __device__ void product() {
        constexpr uint64_t Z_STEP = 2 * UNIT_ELEMENTS * 2 / 16;
        uint32_t previous = 0;
        for (int c = 0; c < args.chunks; c++) {
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            wgmma_fence();
            const uint64_t z =
                wgmma_tile_plain(smem.z(ring.slot) + warpgroup * WARPGROUP_ROWS * UNIT_RANKS * 2,
                                 UNIT_ELEMENTS * 2, 8 * UNIT_RANKS * 2);
            const uint64_t u = wgmma_tile<SWIZZLE>(smem.u(ring.slot));
            if (c + 1 < args.chunks || args.last_steps == STEPS) {
#pragma unroll
                for (int step = 0; step < STEPS; step++)
                    wgmma<T>(acc, z + step * Z_STEP, wgmma_step(u, step), c > 0 || step > 0);
            } else {
                for (int step = 0; step < args.last_steps; step++)
                    wgmma<T>(acc, z + step * Z_STEP, wgmma_step(u, step), c > 0 || step > 0);
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
        free_slot(previous);
        registers_fence(acc);
    }

    /* Columns 8t to 8t + 7 of 32 from c on, of row g or, below, g + 8: see stored_column(). */
    __device__ void eight(uint32_t (&to)[4], int c, int below) const {
#pragma unroll
        for (int i = 0; i < 4; i++)
            to[i] =
                round_pair<T>(acc[c / 2 + 4 * i + 2 * below], acc[c / 2 + 4 * i + 2 * below + 1]);
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
                if (c < columns)
                    *(uint32_t *)(row + c + t * 2) =
                        round_pair<T>(acc[c / 2 + 2 * below], acc[c / 2 + 2 * below + 1]);
        }
    }
};

#endif

template <typename T, typename S>
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
        consumer_t<T, S> consumer(smem, args, warpgroup);
        for (int tile = blockIdx.x; tile < args.tiles; tile += gridDim.x) {
            consumer.product();
            consumer.store(place_of(args, tile));
        }
    }
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, hopper_chunk_t chunk, void *const *tensors,
                             const void *z, stream_t stream) {
    static uint64_t opted_in;
    const int steps = (int)ceil_div(p->rank, 16), chunks = (int)ceil_div(steps, STEPS);
    const int column_tiles = (int)ceil_div(p->out_features / p->blocks, S::COLUMNS);
    const last_args_t args = {.z = (const uint8_t *)z,
                              .u = (const uint8_t *)tensors[3],
                              .y = (uint16_t *)tensors[4],
                              .tokens = (int)p->tokens,
                              .out_block = (int)(p->out_features / p->blocks),
                              .out_features = (int)p->out_features,
                              .chunks = chunks,
                              .last_steps = steps - (chunks - 1) * STEPS,
                              .column_tiles = column_tiles,
                              .tiles = column_tiles * chunk.count * (int)p->blocks,
                              .first_tile = chunk.first,
                              .token_tiles = chunk.count,
                              .units = chunk.units};
    int sms = 0;
    status_t st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)blast_last<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t waves = ceil_div(args.tiles, sms);
    return launch_overlapped(blast_last<T, S>, ceil_div(args.tiles, waves), STAGE_THREADS, 1,
                             S::SMEM, stream, args);
}

template <typename T>
static status_t launch_dtype(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                             void *const *tensors, const void *z, stream_t stream) {
    switch (tiles.columns) {
    case 64:
        return launch_shape<T, last_shape<64>>(p, chunk, tensors, z, stream);
    case 128:
        return launch_shape<T, last_shape<128>>(p, chunk, tensors, z, stream);
    case 192:
        return launch_shape<T, last_shape<192>>(p, chunk, tensors, z, stream);
    case 232:
        return launch_shape<T, last_shape<232>>(p, chunk, tensors, z, stream);
    }
    return launch_shape<T, last_shape<256>>(p, chunk, tensors, z, stream);
}

status_t hopper_last(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                     void *const *tensors, const void *z, stream_t stream) {
    return DISPATCH_DTYPE(p, launch_dtype, p, tiles, chunk, tensors, z, stream);
}
