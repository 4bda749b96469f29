/*
 * monarch/fused on Hopper, the plans that keep T in registers.
 *
 * T_lk = X_l V_lk feeds output block k alone. So a thread block that owns TOKENS tokens and COLUMNS
 * columns of Y_k walks l, and T never leaves its registers: flash attention without the softmax.
 * Where q is beyond COLUMNS, each column tile computes T again. Where q is small, a tile is GROUP
 * output blocks side by side, which share X: bytes from L2 to the SM are what limits small tiles.
 * Where there are few tiles, SPLIT thread blocks (a cluster) share the passes of one and add up.
 *
 *   producer warp 0   X (TOKENS x 64) and V (RANK x 64), chunk after chunk, into a ring of slots
 *   producer warp 1   U (COLUMNS x RANK), a tile a pass, into a ring of two
 *   consumers         a warpgroup for each 64 tokens. The chunks of the first product of the next
 *                     pass alternate with the K steps of the second product of this one, so the
 *                     tensor cores have work while slots are waited for, and T is rounded to the A
 *                     operand of its second product while the last K step runs
 *
 * Without SPLIT the grid is persistent: as many blocks as fill the waves evenly, and the rings run
 * on from tile to tile, so that the next tile loads during the store of the last.
 */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/monarch/hopper.h"
#include "kernels/monarch/hopper_tile.cuh"

enum { SMEM_PER_SM = 228 * 1024, SMEM_ALIGN = 1024 };

/* COLUMNS and RANK are those of one output block of the group. */
template <int TOKENS_, int COLUMNS_, int RANK_, int GROUP_, int SPLIT_> struct tile_shape {
    static constexpr int TOKENS = TOKENS_, COLUMNS = COLUMNS_, RANK = RANK_;
    static constexpr int GROUP = GROUP_, SPLIT = SPLIT_;
    static constexpr int CONSUMERS = TOKENS / WARPGROUP_ROWS;
    static constexpr int THREADS = (CONSUMERS + 1) * WARPGROUP;
    static constexpr int T_WIDTH = GROUP * RANK, WIDTH = GROUP * COLUMNS;
    static constexpr int BLOCK_STEPS = RANK / 16, STEPS = GROUP * BLOCK_STEPS; /* of 16 ranks */
    /* Small tiles run two to an SM: the next launch loads its weights beside this one. */
    static constexpr int BLOCKS_PER_SM = CONSUMERS == 1 && WIDTH <= 128 && T_WIDTH <= 48 ? 2 : 1;
    /* Two operands for T, so that rounding overlaps with wgmma, where registers allow. */
    static constexpr bool TWO_OPERANDS = WIDTH / 2 + T_WIDTH <= (BLOCKS_PER_SM == 2 ? 96 : 192);

    static constexpr int X_BYTES = TOKENS * CHUNK * 2, V_BYTES = T_WIDTH * CHUNK * 2;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int U_BLOCK_BYTES = COLUMNS * RANK * 2, U_BYTES = GROUP * U_BLOCK_BYTES;
    static constexpr int BUDGET =
        SMEM_PER_SM / BLOCKS_PER_SM - SMEM_ALIGN; /* 1 KB is the system's */
    /* As many passes ahead as hide the latency of L2, which is longer than a small pass. */
    static constexpr int U_WANTED = BUDGET / 3 / U_BYTES;
    static constexpr int U_SLOTS = U_WANTED < 2 ? 2 : U_WANTED > 6 ? 6 : U_WANTED;
    static constexpr int ROOM = BUDGET - 2 * SMEM_ALIGN - U_SLOTS * U_BYTES;
    static constexpr int SLOTS = ROOM / SLOT_BYTES < 12 ? ROOM / SLOT_BYTES : 12;
    static constexpr int BARRIERS = 2 * (SLOTS + U_SLOTS);
    static constexpr int SMEM =
        SMEM_ALIGN + SLOTS * SLOT_BYTES + U_SLOTS * U_BYTES + BARRIERS * MBARRIER_BYTES;
    static_assert(SLOTS >= 3 && SMEM <= BUDGET);
    static_assert(SLOT_BYTES % SMEM_ALIGN == 0 && U_BLOCK_BYTES % SMEM_ALIGN == 0);
    /* The sums of a split tile take the place of the slots. */
    static_assert(SPLIT == 1 || TOKENS * WIDTH * 4 <= SLOTS * SLOT_BYTES + U_SLOTS * U_BYTES);
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
        return u_slots + slot * S::U_BYTES;
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

/* Loads X and V of all tiles of this block; one thread. V is a constant, so the first slots get it
 * before the kernel ahead has ended. */
template <typename S>
__device__ void produce_xv(const layout_t<S> &smem, const CUtensorMap *x_map, const uint8_t *v,
                           const monarch_tiling_t &tiling, const work_t &work) {
    const int chunks = (work.last_pass - work.first_pass) * tiling.chunks; /* of a tile */
    const int early = chunks < S::SLOTS ? chunks : S::SLOTS;
    const auto tile_v = [&](int k_tile) {
        return v + ((int64_t)k_tile * tiling.passes + work.first_pass) * tiling.chunks * S::V_BYTES;
    };
    const uint8_t *from = tile_v(place_of<S>(tiling, work.first_tile).k_tile);
    for (int slot = 0; slot < early; slot++, from += S::V_BYTES) {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), from, S::V_BYTES, smem.full(slot));
    }
    dependency_wait();
    ring_t ring = {0, 1};
    int done = 0; /* chunks since the start of the kernel */
    for (int tile = work.first_tile; tile < work.tiles; tile += work.tile_step) {
        const place_t place = place_of<S>(tiling, tile);
        from = tile_v(place.k_tile);
        for (int pass = work.first_pass; pass < work.last_pass; pass++)
            for (int c = 0; c < tiling.chunks; c++, done++, from += S::V_BYTES) {
                const uint32_t full = smem.full(ring.slot);
                if (done >= early) {
                    mbarrier_wait(smem.empty(ring.slot), ring.parity);
                    mbarrier_arrive_expect(full, S::SLOT_BYTES);
                    bulk_load(smem.v(ring.slot), from, S::V_BYTES, full);
                }
                tma_load_2d(smem.x(ring.slot), x_map,
                            pass / tiling.parts * tiling.in_block + c * CHUNK, place.token, full);
                ring_advance<S::SLOTS>(ring);
            }
    }
}

template <typename S>
__device__ void produce_u(const layout_t<S> &smem, const uint8_t *u, const monarch_tiling_t &tiling,
                          const work_t &work) {
    ring_t ring = {0, 1};
    for (int tile = work.first_tile; tile < work.tiles; tile += work.tile_step) {
        const place_t place = place_of<S>(tiling, tile);
        const int64_t column_tile = place.k_tile * tiling.column_tiles + place.column_tile;
        const uint8_t *const from = u + column_tile * tiling.passes * S::U_BYTES;
        for (int pass = work.first_pass; pass < work.last_pass; pass++) {
            mbarrier_wait(smem.u_empty(ring.slot), ring.parity);
            mbarrier_arrive_expect(smem.u_full(ring.slot), S::U_BYTES);
            bulk_load(smem.u(ring.slot), from + (int64_t)pass * S::U_BYTES, S::U_BYTES,
                      smem.u_full(ring.slot));
            ring_advance<S::U_SLOTS>(ring);
        }
    }
}

/* The state of one consumer warpgroup. `read` is ahead of `freed` by the wgmma still under way. */
template <typename T, typename S> struct consumer_t {
    float acc[S::GROUP][S::COLUMNS / 2], t[S::T_WIDTH / 2];
    ring_t read = {0, 0}, freed = {0, 0}, u_read = {0, 0}, u_freed = {0, 0};
    const layout_t<S> &smem;
    const int warpgroup;
    const bool signals; /* one thread of the warpgroup frees slots */

    __device__ consumer_t(const layout_t<S> &layout, int index)
        : smem(layout), warpgroup(index), signals(threadIdx.x % WARPGROUP == 0) {}

    /* Starts T (+)= chunk of X V. */
    __device__ void start_chunk(bool first) {
        mbarrier_wait(smem.full(read.slot), read.parity);
        wgmma_fence();
        const uint64_t x = wgmma_tile<CHUNK_SWIZZLE>(smem.x(read.slot) +
                                                     warpgroup * WARPGROUP_ROWS * CHUNK_SWIZZLE);
        const uint64_t v = wgmma_tile<CHUNK_SWIZZLE>(smem.v(read.slot));
#pragma unroll
        for (int step = 0; step < CHUNK / 16; step++)
            wgmma<T>(t, wgmma_step(x, step), wgmma_step(v, step), !first || step > 0);
        ring_advance<S::SLOTS>(read);
    }

    /* Starts acc += K step of T U: the ranks of one output block. */
    __device__ void start_step(const uint32_t *operand, uint32_t u, int step) {
        const int block = step / S::BLOCK_STEPS;
        wgmma<T>(acc[block], operand + 4 * step,
                 monarch_u_descriptor<S::COLUMNS, S::RANK>(u + block * S::U_BLOCK_BYTES,
                                                           step % S::BLOCK_STEPS),
                 1);
    }

    __device__ void free_chunk() {
        if (signals) mbarrier_arrive(smem.empty(freed.slot));
        ring_advance<S::SLOTS>(freed);
    }

    __device__ uint32_t wait_u() {
        mbarrier_wait(smem.u_full(u_read.slot), u_read.parity);
        wgmma_fence();
        return smem.u(u_read.slot);
    }

    __device__ void free_u() {
        if (signals) mbarrier_arrive(smem.u_empty(u_freed.slot));
        ring_advance<S::U_SLOTS>(u_freed);
    }

    /* The first product alone, for the first pass of a tile. */
    __device__ void first_product(uint32_t (&to)[S::T_WIDTH / 4], int chunks) {
        for (int c = 0; c < chunks; c++) {
            start_chunk(c == 0);
            wgmma_commit();
            if (c == 0) continue;
            wgmma_wait<1>();
            free_chunk();
        }
        wgmma_wait<0>();
        free_chunk();
        registers_fence(t);
        monarch_round<T>(to, t);
    }

    /*
     * The second product of this pass from `now`, and the first product of the next into `next`:
     * chunk 0 | K step 0, chunk 1 | K step 1, chunk 2 | ... | the last K steps; the bars close
     * groups. At most one group is under way while the next one is put together.
     */
    __device__ void both_products(uint32_t (&now)[S::T_WIDTH / 4], uint32_t (&next)[S::T_WIDTH / 4],
                                  int chunks, bool free_last_u) {
        start_chunk(true);
        wgmma_commit();
        wgmma_wait<1>(); /* the last K steps of the pass before */
        if (free_last_u) free_u();
        const uint32_t u = wait_u();
#pragma unroll
        for (int c = 1; c < S::STEPS; c++)
            if (c < chunks) {
                start_step(now, u, c - 1);
                start_chunk(false);
                wgmma_commit();
                wgmma_wait<1>();
                free_chunk();
            }
        for (int c = S::STEPS; c < chunks; c++) {
            start_chunk(false);
            wgmma_commit();
            wgmma_wait<1>();
            free_chunk();
        }
#pragma unroll
        for (int step = 0; step < S::STEPS; step++)
            if (step >= chunks - 1 || step == S::STEPS - 1) start_step(now, u, step);
        wgmma_commit();
        ring_advance<S::U_SLOTS>(u_read);
        wgmma_wait<S::TWO_OPERANDS ? 1 : 0>();
        free_chunk();
        registers_fence(t);
        monarch_round<T>(next, t);
    }

    /* The second product alone, for the last pass of a tile. */
    __device__ void second_product(uint32_t (&now)[S::T_WIDTH / 4], bool free_last_u) {
        wgmma_wait<0>();
        if (free_last_u) free_u();
        const uint32_t u = wait_u();
#pragma unroll
        for (int step = 0; step < S::STEPS; step++) start_step(now, u, step);
        wgmma_commit();
        ring_advance<S::U_SLOTS>(u_read);
        wgmma_wait<0>();
        free_u();
    }

    __device__ void tile(int passes, int chunks) {
        uint32_t a[S::T_WIDTH / 4];
#pragma unroll
        for (int block = 0; block < S::GROUP; block++)
#pragma unroll
            for (int i = 0; i < S::COLUMNS / 2; i++) acc[block][i] = 0;
        first_product(a, chunks);
        int pass = 1;
        if constexpr (S::TWO_OPERANDS) { /* a copy of b to a would serialise wgmma */
            uint32_t b[S::T_WIDTH / 4];
            for (; pass + 1 < passes; pass += 2) {
                both_products(a, b, chunks, pass > 1);
                both_products(b, a, chunks, true);
            }
            if (pass < passes) {
                both_products(a, b, chunks, pass > 1);
                second_product(b, true);
            } else {
                second_product(a, pass > 1);
            }
        } else {
            for (; pass < passes; pass++) both_products(a, a, chunks, pass > 1);
            second_product(a, pass > 1);
        }
#pragma unroll
        for (int block = 0; block < S::GROUP; block++) registers_fence(acc[block]);
    }

    /* Columns of a store, and whose they are in a split tile. */
    static constexpr int STORES = S::WIDTH / 32, BLOCK_STORES = S::COLUMNS / 32;

    __device__ float *store_acc(int store) {
        return acc[store / BLOCK_STORES] + store % BLOCK_STORES * 16;
    }

    __device__ static bool store_is_mine(int store) {
        return S::SPLIT == 1 || store % S::SPLIT == (int)blockIdx.x % S::SPLIT;
    }

    /* Where this thread's words `quad` of 4 of a store lie, in place of the slots. */
    __device__ uint32_t sum_address(int store, int quad) const {
        return smem.slots +
               ((store * 4 + quad) * S::CONSUMERS * WARPGROUP + (int)threadIdx.x) * sizeof(float4);
    }

    /* Hands the blocks of the cluster what is theirs: before and after a cluster_sync(). */
    __device__ void give_sums() {
        named_barrier_sync(1, S::CONSUMERS * WARPGROUP); /* the slots are not read any more */
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (!store_is_mine(store))
#pragma unroll
                for (int quad = 0; quad < 4; quad++) {
                    const float *const a = store_acc(store) + quad * 4;
                    shared_store(sum_address(store, quad), make_float4(a[0], a[1], a[2], a[3]));
                }
    }

    __device__ void take_sums() {
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (store_is_mine(store))
#pragma unroll
                for (int other = 1; other < S::SPLIT; other++)
#pragma unroll
                    for (int quad = 0; quad < 4; quad++) {
                        const uint32_t rank = (blockIdx.x + other) % S::SPLIT;
                        const float4 v =
                            cluster_load(cluster_address(sum_address(store, quad), rank));
                        float *const a = store_acc(store) + quad * 4;
                        a[0] += v.x, a[1] += v.y, a[2] += v.z, a[3] += v.w;
                    }
    }

    __device__ void store(T *y, const monarch_tiling_t &tiling, const place_t &place) {
        const int token = place.token + warpgroup * WARPGROUP_ROWS;
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (store_is_mine(store)) {
                const int k = place.k_tile * S::GROUP + store / BLOCK_STORES;
                const int column = place.column_tile * S::COLUMNS + store % BLOCK_STORES * 32;
                monarch_store_32(y + (int64_t)token * tiling.out_features + k * tiling.out_block +
                                     column,
                                 tiling.out_features, tiling.tokens - token,
                                 tiling.out_block - column, store_acc(store));
            }
    }
};

template <typename S> __device__ inline void init_barriers(const layout_t<S> &smem) {
    for (int i = 0; i < S::SLOTS; i++) {
        mbarrier_init(smem.full(i), 1);
        mbarrier_init(smem.empty(i), S::CONSUMERS);
    }
    for (int i = 0; i < S::U_SLOTS; i++) {
        mbarrier_init(smem.u_full(i), 1);
        mbarrier_init(smem.u_empty(i), S::CONSUMERS);
    }
    mbarrier_init_done();
}

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS_PER_SM)
    monarch_tiles(const __grid_constant__ CUtensorMap x_map, const uint8_t *v, const uint8_t *u,
                  T *y, const __grid_constant__ monarch_tiling_t tiling) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const uint32_t base = (smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u);
    const uint32_t u_slots = base + S::SLOTS * S::SLOT_BYTES;
    const layout_t<S> smem = {base, u_slots, u_slots + S::U_SLOTS * S::U_BYTES};
    const work_t work = work_of<S>(tiling);
    dependents_launch();
    if (threadIdx.x == 0) {
        tma_prefetch(&x_map);
        init_barriers(smem);
    }
    __syncthreads();
    /* By a shuffle, so that the compiler sees warps that do not diverge. */
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == S::CONSUMERS) {
        if constexpr (S::CONSUMERS == 2) registers_lower<40>();
        if (threadIdx.x == S::CONSUMERS * WARPGROUP)
            produce_xv(smem, &x_map, v, tiling, work);
        else if (threadIdx.x == S::CONSUMERS * WARPGROUP + 32)
            produce_u(smem, u, tiling, work);
        if constexpr (S::SPLIT > 1) {
            cluster_sync();
            cluster_sync();
        }
    } else {
        if constexpr (S::CONSUMERS == 2) registers_raise<232>();
        consumer_t<T, S> consumer(smem, warpgroup);
        for (int tile = work.first_tile; tile < work.tiles; tile += work.tile_step) {
            consumer.tile(work.last_pass - work.first_pass, tiling.chunks);
            if constexpr (S::SPLIT > 1) {
                consumer.give_sums();
                cluster_sync();
                consumer.take_sums();
                cluster_sync(); /* others read this block's sums before it exits */
            }
            dependency_wait(); /* the kernel ahead may still use y */
            consumer.store(y, tiling, place_of<S>(tiling, tile));
        }
    }
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t opted_in;
    const monarch_tiling_t tiling =
        monarch_tiling(p, {S::TOKENS, S::COLUMNS, S::RANK, S::GROUP, 1});
    CUtensorMap x_map;
    int sms = 0;
    status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                p->in_features, S::TOKENS, CHUNK, CHUNK_SWIZZLE);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)monarch_tiles<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t tiles = (int64_t)tiling.k_tiles * tiling.column_tiles * tiling.token_tiles;
    const int64_t waves = S::SPLIT > 1 ? 1 : ceil_div(tiles, sms * S::BLOCKS_PER_SM);
    return launch_overlapped(monarch_tiles<T, S>, ceil_div(tiles, waves) * S::SPLIT, S::THREADS,
                             S::SPLIT, S::SMEM, stream, x_map, (const uint8_t *)tensors[1],
                             (const uint8_t *)tensors[2], (T *)tensors[3], tiling);
}

/* A plan: a tile without its rank, which follows from the problem. */
template <int TOKENS, int COLUMNS, int GROUP, int SPLIT> struct plan {
    static constexpr int LARGEST_RANK = GROUP == 1 ? 96 : 48;

    static int rank(const problem_t *p) {
        return monarch_pass_rank(p->rank / p->blocks, LARGEST_RANK);
    }

    template <typename T, int RANK>
    static status_t launch_rank(const problem_t *p, void *const *tensors, stream_t stream) {
        return launch_shape<T, tile_shape<TOKENS, COLUMNS, RANK, GROUP, SPLIT>>(p, tensors, stream);
    }

    template <typename T>
    static status_t launch_dtype(const problem_t *p, void *const *tensors, stream_t stream) {
        switch (rank(p)) {
        case 16:
            return launch_rank<T, 16>(p, tensors, stream);
        case 32:
            return launch_rank<T, 32>(p, tensors, stream);
        case 48:
            return launch_rank<T, 48>(p, tensors, stream);
        }
        if constexpr (LARGEST_RANK == 96)
            return rank(p) == 64 ? launch_rank<T, 64>(p, tensors, stream)
                                 : launch_rank<T, 96>(p, tensors, stream);
        return fail(STATUS_ENVIRONMENT, "no tile for rank %d", rank(p));
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *, stream_t stream) {
        return DISPATCH_DTYPE(p, launch_dtype, p, tensors, stream);
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const monarch_tile_t tile = {TOKENS, COLUMNS, rank(p), GROUP, 1};
        if (tensor == 1) return monarch_pack_v(p, tile, (const uint16_t *)src, (uint16_t *)dst);
        return monarch_pack_u(p, tile, (const uint16_t *)src, (uint16_t *)dst);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        const monarch_tiling_t t = monarch_tiling(p, {TOKENS, COLUMNS, rank(p), GROUP, 1});
        if (!monarch_hopper_supports(p, device, why, why_len)) return false;
        if (GROUP > 1 && (p->blocks % GROUP || t.column_tiles > 1))
            snprintf(why, why_len, "needs blocks %% %d = 0 and q <= %d", GROUP, COLUMNS);
        else if (SPLIT > 1 && t.passes < SPLIT)
            snprintf(why, why_len, "%d passes cannot be split over %d blocks", t.passes, SPLIT);
        else if (SPLIT > 1 && (int64_t)t.k_tiles * t.column_tiles * t.token_tiles * SPLIT >
                                  2 * (int64_t)device->cores)
            snprintf(why, why_len, "more than two waves without a split of the passes");
        else
            return true;
        return false;
    }
};

#define HOPPER_PLAN(NAME, SUMMARY, ...)                                                            \
    extern const variant_t monarch_hopper_##NAME = {                                               \
        .structure = "monarch",                                                                    \
        .name = "hopper_" #NAME,                                                                   \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = plan<__VA_ARGS__>::supports,                                                   \
        .pack = plan<__VA_ARGS__>::pack,                                                           \
        .launch = plan<__VA_ARGS__>::launch,                                                       \
    };

HOPPER_PLAN(128x256, "tiles of 128 tokens x 256 columns", 128, 256, 1, 1)
HOPPER_PLAN(128x128, "tiles of 128 tokens x 128 columns", 128, 128, 1, 1)
HOPPER_PLAN(64x256, "tiles of 64 tokens x 256 columns", 64, 256, 1, 1)
HOPPER_PLAN(64x128, "tiles of 64 tokens x 128 columns", 64, 128, 1, 1)
HOPPER_PLAN(64x192_split4, "tiles of 64 tokens x 192 columns, l over 4 blocks", 64, 192, 1, 4)
HOPPER_PLAN(64x256_split2, "tiles of 64 tokens x 256 columns, l over 2 blocks", 64, 256, 1, 2)
HOPPER_PLAN(64x2x128, "tiles of 64 tokens x 2 output blocks", 64, 128, 2, 1)
HOPPER_PLAN(128x2x128_split2, "tiles of 128 tokens x 2 output blocks, l over 2", 128, 128, 2, 2)
