/*
 * lowrank/fused on Hopper: T = X V, then Y = T U, the same kernel twice, chained by dependent
 * launch: the second one's blocks fill their rings with U while the first one still runs. T stays
 * in the L2 cache. This pays against two library calls where the layer is so small that launches
 * count, and where both products have too few tiles for the device.
 *
 * A tile is TOKENS tokens x COLUMNS columns. One thread fills a ring of slots with 64-deep chunks
 * of A (tensor map) and B (packed); a warpgroup for each 64 tokens multiplies. Where there are few
 * tiles, `split` blocks (a cluster) share the chunks of one and add up through distributed shared
 * memory, each for a part of the columns and in a fixed order.
 */
#include "kernels/lowrank/hopper.h"

#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"
#include "kernels/cuda/wgmma_store.cuh"
#include "kernels/lowrank/portable.h"

enum {
    CHUNK_BYTES = 128,
    DEPTH = CHUNK_BYTES / 2,
    STEPS = DEPTH / 16,
    WARPGROUP = 128,
    WARPGROUP_ROWS = 64,
    SMEM_ALIGN = 1024,
    SMEM_MOST = 227 * 1024,
    SPLIT_MOST = 8,
    SMS = 132 /* for estimates */
};

struct tile_t {
    int tokens, columns;
};

/* Row-major D (tokens x columns) = A (tokens x depth) B; D's rows are `ld` elements apart. */
struct product_t {
    int64_t tokens, depth, columns, ld;
};

struct args_t {
    const uint8_t *b;
    uint16_t *d;
    int tokens, columns, ld;
    int chunks, column_tiles, tiles, split;
};

template <int TOKENS_, int COLUMNS_> struct product_shape {
    static constexpr int TOKENS = TOKENS_, COLUMNS = COLUMNS_;
    static constexpr int CONSUMERS = TOKENS / WARPGROUP_ROWS;
    static constexpr int THREADS = (CONSUMERS + 1) * WARPGROUP;
    static constexpr int A_BYTES = TOKENS * CHUNK_BYTES, B_BYTES = COLUMNS * CHUNK_BYTES;
    static constexpr int SLOT_BYTES = A_BYTES + B_BYTES, BARRIERS_BYTES = 256;
    static constexpr int FIT = (SMEM_MOST - SMEM_ALIGN - BARRIERS_BYTES) / SLOT_BYTES;
    static constexpr int SLOTS = FIT < 12 ? FIT : 12;
    static constexpr int SMEM = SMEM_ALIGN + SLOTS * SLOT_BYTES + BARRIERS_BYTES;
    static_assert(2 * SLOTS * MBARRIER_BYTES <= BARRIERS_BYTES && SLOT_BYTES % SMEM_ALIGN == 0);
    /* The sums of a split tile take the place of the slots. */
    static_assert(TOKENS * COLUMNS * 4 <= SLOTS * SLOT_BYTES);
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t slots;

    __device__ uint32_t a(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t b(int slot) const {
        return a(slot) + S::A_BYTES;
    }
    __device__ uint32_t full(int slot) const {
        return a(S::SLOTS) + slot * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
};

/* What a block does: tiles first, first + step, ...; of each the chunks [chunk, chunk_end). */
struct work_t {
    int first, step, chunk, chunk_end;
};

__device__ inline work_t work_of(const args_t &args) {
    const int part = blockIdx.x % args.split;
    return {(int)blockIdx.x / args.split, (int)gridDim.x / args.split,
            args.chunks * part / args.split, args.chunks * (part + 1) / args.split};
}

template <typename S>
__device__ void produce(const layout_t<S> &smem, const CUtensorMap *a_map, const args_t &args,
                        const work_t &work) {
    const int early = min(work.chunk_end - work.chunk, S::SLOTS);
    const auto load_b = [&](int tile, int chunk, int slot) {
        const int64_t at = (int64_t)(tile % args.column_tiles) * args.chunks + chunk;
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.b(slot), args.b + at * S::B_BYTES, S::B_BYTES, smem.full(slot));
    };
    for (int i = 0; i < early; i++) load_b(work.first, work.chunk + i, i);
    dependency_wait();
    dependents_launch();
    ring_t ring = {0, 1};
    int done = 0; /* chunks since the start of the kernel */
    for (int tile = work.first; tile < args.tiles; tile += work.step) {
        const int token = tile / args.column_tiles * S::TOKENS;
        for (int chunk = work.chunk; chunk < work.chunk_end; chunk++, done++) {
            if (done >= early) {
                mbarrier_wait(smem.empty(ring.slot), ring.parity);
                load_b(tile, chunk, ring.slot);
            }
            tma_load_2d(smem.a(ring.slot), a_map, chunk * DEPTH, token, smem.full(ring.slot));
            ring_advance<S::SLOTS>(ring);
        }
    }
}

/* The state of one consumer warpgroup. */
template <typename T, typename S> struct consumer_t {
    static constexpr int STORES = S::COLUMNS / 32; /* of 32 columns each */
    float acc[S::COLUMNS / 2];
    ring_t ring = {0, 0};
    const layout_t<S> &smem;
    const args_t &args;
    const int warpgroup;

    __device__ consumer_t(const layout_t<S> &layout, const args_t &arguments, int index)
        : smem(layout), args(arguments), warpgroup(index) {}

    __device__ void free_slot(uint32_t slot) const {
        if (threadIdx.x % WARPGROUP == 0) mbarrier_arrive(smem.empty(slot));
    }

    __device__ void product(int chunks) {
        uint32_t previous = 0;
        for (int c = 0; c < chunks; c++) {
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            wgmma_fence();
            const uint64_t a = wgmma_tile<CHUNK_BYTES>(smem.a(ring.slot) +
                                                       warpgroup * WARPGROUP_ROWS * CHUNK_BYTES);
            const uint64_t b = wgmma_tile<CHUNK_BYTES>(smem.b(ring.slot));
#pragma unroll
            for (int step = 0; step < STEPS; step++)
                wgmma<T>(acc, wgmma_step(a, step), wgmma_step(b, step), c > 0 || step > 0);
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

    __device__ bool store_is_mine(int store) const {
        return args.split == 1 || store % args.split == (int)blockIdx.x % args.split;
    }

    /* Where this thread's words `quad` of 4 of a store lie, in place of the slots. */
    __device__ uint32_t sum_address(int store, int quad) const {
        return smem.slots +
               ((store * 4 + quad) * S::CONSUMERS * WARPGROUP + (int)threadIdx.x) * sizeof(float4);
    }

    /* Hands the other blocks of the cluster what is theirs. */
    __device__ void give_sums() const {
        named_barrier_sync(1, S::CONSUMERS * WARPGROUP); /* the slots are not read any more */
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (!store_is_mine(store))
#pragma unroll
                for (int quad = 0; quad < 4; quad++) {
                    const float *const a = acc + store * 16 + quad * 4;
                    shared_store(sum_address(store, quad), make_float4(a[0], a[1], a[2], a[3]));
                }
    }

    __device__ void take_sums() {
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (store_is_mine(store))
                for (int other = 1; other < args.split; other++)
#pragma unroll
                    for (int quad = 0; quad < 4; quad++) {
                        const uint32_t rank = (blockIdx.x + other) % args.split;
                        const float4 v =
                            cluster_load(cluster_address(sum_address(store, quad), rank));
                        float *const a = acc + store * 16 + quad * 4;
                        a[0] += v.x, a[1] += v.y, a[2] += v.z, a[3] += v.w;
                    }
    }

    __device__ void store(int tile) const {
        const int token = tile / args.column_tiles * S::TOKENS + warpgroup * WARPGROUP_ROWS;
        const int column0 = tile % args.column_tiles * S::COLUMNS;
        T *const d = (T *)args.d + (int64_t)token * args.ld + column0;
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (store_is_mine(store))
                wgmma_store_32(d + store * 32, args.ld, args.tokens - token,
                               args.columns - column0 - store * 32, acc + store * 16);
    }
};

#endif

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, 1)
    lowrank_product(const __grid_constant__ CUtensorMap a_map,
                    const __grid_constant__ args_t args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const layout_t<S> smem = {(smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u)};
    const work_t work = work_of(args);
    if (threadIdx.x == 0) {
        tma_prefetch(&a_map);
        for (int i = 0; i < S::SLOTS; i++) {
            mbarrier_init(smem.full(i), 1);
            mbarrier_init(smem.empty(i), S::CONSUMERS);
        }
        mbarrier_init_done();
    }
    __syncthreads();
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == S::CONSUMERS) {
        if constexpr (S::CONSUMERS == 2) registers_lower<40>();
        if (threadIdx.x == S::CONSUMERS * WARPGROUP) produce(smem, &a_map, args, work);
        __syncwarp();
        if (args.split > 1) {
            cluster_sync();
            cluster_sync();
        }
    } else {
        if constexpr (S::CONSUMERS == 2) registers_raise<232>();
        consumer_t<T, S> consumer(smem, args, warpgroup);
        for (int tile = work.first; tile < args.tiles; tile += work.step) {
            consumer.product(work.chunk_end - work.chunk);
            if (args.split > 1) { /* one tile a cluster */
                consumer.give_sums();
                cluster_sync();
                consumer.take_sums();
                cluster_sync(); /* others read this block's sums before it exits */
            }
            dependency_wait(); /* the kernel ahead may still use what is written here */
            consumer.store(tile);
        }
    }
#else
    __trap();
#endif
}

/* ---- which tiles, and how many blocks share one ---- */

static product_t first_product(const problem_t *p) {
    return {p->tokens, p->in_features, round_up(p->rank, 8), round_up(p->rank, 8)};
}

static product_t second_product(const problem_t *p) {
    return {p->tokens, p->rank, p->out_features, p->out_features};
}

static int64_t tiles_of(const product_t *p, tile_t tile) {
    return ceil_div(p->tokens, tile.tokens) * ceil_div(p->columns, tile.columns);
}

/* As many as fit on the device at once (of clusters of 4 and 8 some SMs cannot be part), with three
 * chunks and 32 columns left to each. */
static int split_of(const product_t *p, tile_t tile) {
    const int64_t tiles = tiles_of(p, tile), chunks = ceil_div(p->depth, DEPTH);
    int split = 1;
    while (split < SPLIT_MOST && tiles * 2 * split <= (split == 1 ? SMS : SMS - 12) &&
           chunks >= 3 * 2 * split && tile.columns >= 32 * 2 * split)
        split *= 2;
    return split;
}

/* SM clocks of a product: what L2 delivers or the tensor cores compute, filling the SMs, storing.
 * The rates are those measured for blast (kernels/blast/NOTES.md). */
static double clocks_of(const product_t *p, tile_t tile) {
    static const double L2_BYTES_A_CLOCK = 45, FMAS_A_CLOCK = 1900, STORED_BYTES_A_CLOCK = 40;
    static const double FILL_CLOCKS = 3000, EXCHANGE_CLOCKS = 1500;
    const int split = split_of(p, tile);
    const double depth = (double)round_up(p->depth, DEPTH) / split;
    const double rows = tile.tokens, columns = tile.columns;
    const double loads = (rows + columns) * depth * 2 / L2_BYTES_A_CLOCK;
    const double products = rows * columns * depth / FMAS_A_CLOCK;
    const double stores = rows * columns * 2 / split / STORED_BYTES_A_CLOCK;
    return (double)ceil_div(tiles_of(p, tile) * split, SMS) *
               ((loads > products ? loads : products) + stores) +
           FILL_CLOCKS + (split > 1 ? EXCHANGE_CLOCKS : 0);
}

static constexpr tile_t PAIRS[][2] = {
    {{64, 64}, {64, 128}},   {{64, 64}, {128, 128}},   {{64, 128}, {64, 128}},
    {{64, 128}, {128, 128}}, {{128, 128}, {128, 128}},
};

static double pair_clocks(const problem_t *p, const tile_t *pair) {
    const product_t first = first_product(p), second = second_product(p);
    return clocks_of(&first, pair[0]) + clocks_of(&second, pair[1]);
}

static bool supports_pair(const problem_t *p, const device_info_t *device, const tile_t *pair,
                          char *why, size_t why_len) {
    static const double SLACK = 1.3; /* of the estimate */
    if (!supports_hopper(device, why, why_len) || !lowrank_supports_flops(p, why, why_len))
        return false;
    if (p->in_features % 8 || p->out_features % 8) {
        snprintf(why, why_len, "8 does not divide the features");
        return false;
    }
    if (p->tokens > INT32_MAX / 2 || p->in_features > INT32_MAX / 2 ||
        p->out_features > INT32_MAX / 2 || p->rank > INT32_MAX / 2) {
        snprintf(why, why_len, "a dimension is beyond 2^30");
        return false;
    }
    if (p->tokens <= 16) {
        snprintf(why, why_len, "tiles are %d tokens, too many for %lld", pair[0].tokens,
                 (long long)p->tokens);
        return false;
    }
    for (const auto &other : PAIRS)
        if (pair_clocks(p, pair) > SLACK * pair_clocks(p, other)) {
            snprintf(why, why_len, "tiles of %dx%d and %dx%d fit better", other[0].tokens,
                     other[0].columns, other[1].tokens, other[1].columns);
            return false;
        }
    return true;
}

/* ---- packed weights: [column tile][chunk] tiles of COLUMNS x 64, K-major, swizzled ---- */
static int64_t pack_tiles(const uint16_t *src, uint16_t *dst, int64_t depth, int64_t width,
                          int columns) {
    const int64_t chunks = ceil_div(depth, DEPTH), tiles = ceil_div(width, columns) * chunks;
    if (!dst) return tiles * columns * DEPTH;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++)
        for (int row = 0; row < columns; row++) {
            const int64_t depth0 = tile % chunks * DEPTH;
            const int64_t column = tile / chunks * columns + wgmma_stored_column(row);
            uint16_t *const to = dst + (tile * columns + row) * DEPTH;
            for (int i = 0; i < DEPTH; i++)
                to[swizzled_chunk<CHUNK_BYTES>(row, i / 8) * 8 + i % 8] =
                    depth0 + i < depth && column < width ? src[(depth0 + i) * width + column] : 0;
        }
    return tiles * columns * DEPTH;
}

/* ---- launch ---- */

template <typename T, typename S>
static status_t launch_shape(const product_t *p, dtype_t dtype, const void *a, int64_t a_ld,
                             const void *b, void *d, stream_t stream) {
    static uint64_t opted_in;
    const tile_t tile = {S::TOKENS, S::COLUMNS};
    const int64_t tiles = tiles_of(p, tile);
    const args_t args = {.b = (const uint8_t *)b,
                         .d = (uint16_t *)d,
                         .tokens = (int)p->tokens,
                         .columns = (int)p->columns,
                         .ld = (int)p->ld,
                         .chunks = (int)ceil_div(p->depth, DEPTH),
                         .column_tiles = (int)ceil_div(p->columns, S::COLUMNS),
                         .tiles = (int)tiles,
                         .split = split_of(p, tile)};
    CUtensorMap map;
    int sms = 0;
    status_t st =
        tensor_map_2d(&map, dtype, a, p->tokens, p->depth, a_ld, S::TOKENS, DEPTH, CHUNK_BYTES);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)lowrank_product<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t waves = args.split > 1 ? 1 : ceil_div(tiles, sms);
    return launch_overlapped(lowrank_product<T, S>, ceil_div(tiles, waves) * args.split, S::THREADS,
                             args.split, S::SMEM, stream, map, args);
}

template <int PAIR> struct lowrank_chain {
    template <typename T>
    static status_t launch_dtype(const problem_t *p, void *const *tensors, void *workspace,
                                 stream_t stream) {
        constexpr tile_t ONE = PAIRS[PAIR][0], TWO = PAIRS[PAIR][1];
        const product_t first = first_product(p), second = second_product(p);
        const status_t st = launch_shape<T, product_shape<ONE.tokens, ONE.columns>>(
            &first, p->dtype, tensors[0], p->in_features, tensors[1], workspace, stream);
        if (st != STATUS_OK) return st;
        return launch_shape<T, product_shape<TWO.tokens, TWO.columns>>(
            &second, p->dtype, workspace, first.ld, tensors[2], tensors[3], stream);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        return supports_pair(p, device, PAIRS[PAIR], why, why_len);
    }

    static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
        bytes[0] = (double)(p->tokens * p->rank) * 2;
        return 1;
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const int64_t depth = tensor == 1 ? p->in_features : p->rank;
        const int64_t width = tensor == 1 ? p->rank : p->out_features;
        return pack_tiles((const uint16_t *)src, (uint16_t *)dst, depth, width,
                          PAIRS[PAIR][tensor - 1].columns);
    }

    static size_t workspace(const problem_t *p, const device_info_t *) {
        return buffer_bytes(p, p->tokens * first_product(p).ld);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        return DISPATCH_DTYPE(p, launch_dtype, p, tensors, workspace, stream);
    }
};

#define HOPPER_PLAN(NAME, PAIR)                                                                    \
    extern const variant_t lowrank_hopper_##NAME = {                                               \
        .structure = "lowrank",                                                                    \
        .name = "hopper_" #NAME,                                                                   \
        .summary = "two chained products in tiles of " #NAME,                                      \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = lowrank_chain<PAIR>::supports,                                                 \
        .intermediates = lowrank_chain<PAIR>::intermediates,                                       \
        .pack = lowrank_chain<PAIR>::pack,                                                         \
        .workspace = lowrank_chain<PAIR>::workspace,                                               \
        .launch = lowrank_chain<PAIR>::launch,                                                     \
    };

HOPPER_PLAN(64x64_64x128, 0)
HOPPER_PLAN(64x64_128x128, 1)
HOPPER_PLAN(64x128_64x128, 2)
HOPPER_PLAN(64x128_128x128, 3)
HOPPER_PLAN(128x128_128x128, 4)
