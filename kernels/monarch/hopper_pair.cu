/*
 * monarch/fused on Hopper for q > 256: two thread blocks share T instead of computing it twice.
 *
 * The two blocks of a cluster own the same 128 tokens and COLUMNS columns each of Y_k. Pass g (l,
 * or a part of its ranks) belongs to block g % 2, which computes T = X_l V_lk once, rounds it into
 * its shared memory and copies it to the other. Both then take T U_kl from there, each for its
 * columns:
 *
 *   producer warp 0   X and V of the passes of this block, chunk after chunk, into a ring of slots
 *   producer warp 1   U (COLUMNS x RANK) of all passes
 *   consumers         two warpgroups of 64 tokens, each with its own half of every T slot. In
 *                     iteration g: start the first product of pass g + AHEAD if it is this block's,
 *                     start the second product of pass g, then, while that runs, round and send T
 *                     of pass g + AHEAD
 *
 * T slot g % T_SLOTS is written by block g % 2 alone (T_SLOTS is even). `t_full` of a slot counts
 * the bytes that the other block sends, `t_empty` its word that it has used what was sent to it. A
 * block overwrites a slot of its own after its wgmma that read it have ended. Passes, slots and
 * barriers run on from tile to tile.
 */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/monarch/hopper.h"
#include "kernels/monarch/hopper_tile.cuh"

static constexpr int PAIR = 2, CONSUMERS = 2, TOKENS = CONSUMERS * WARPGROUP_ROWS;
static constexpr int SMEM_BYTES = 227 * 1024, SMEM_ALIGN = 1024;

template <int COLUMNS_, int RANK_, int T_SLOTS_, int AHEAD_> struct pair_shape {
    static constexpr int COLUMNS = COLUMNS_, RANK = RANK_, T_SLOTS = T_SLOTS_, AHEAD = AHEAD_;
    static constexpr int THREADS = (CONSUMERS + 1) * WARPGROUP;
    static constexpr int STEPS = RANK / 16; /* K steps of the second product */
    /* wgmma is up to 256 wide; a store takes 32 columns. */
    static constexpr int LEFT = COLUMNS <= 256 ? COLUMNS : (COLUMNS / 2 + 31) / 32 * 32;
    static constexpr int RIGHT = COLUMNS - LEFT;

    static constexpr int X_BYTES = TOKENS * CHUNK * 2, V_BYTES = RANK * CHUNK * 2;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int U_BYTES = COLUMNS * RANK * 2;
    static constexpr int T_BYTES = WARPGROUP_ROWS * RANK * 2; /* of one warpgroup */
    static constexpr int T_ROOM = SMEM_BYTES - 2 * SMEM_ALIGN - T_SLOTS * CONSUMERS * T_BYTES;
    static constexpr int U_WANTED = U_BYTES <= 16384 ? 4 : 3;
    static constexpr int U_SLOTS = T_ROOM - U_WANTED * U_BYTES >= 3 * SLOT_BYTES ? U_WANTED : 2;
    static constexpr int ROOM = T_ROOM - U_SLOTS * U_BYTES;
    static constexpr int SLOTS = ROOM / SLOT_BYTES < 8 ? ROOM / SLOT_BYTES : 8;
    static constexpr int BARRIERS = 2 * (SLOTS + U_SLOTS + T_SLOTS * CONSUMERS);
    static constexpr int SMEM = SMEM_ALIGN + SLOTS * SLOT_BYTES + U_SLOTS * U_BYTES +
                                T_SLOTS * CONSUMERS * T_BYTES + BARRIERS * MBARRIER_BYTES;
    static_assert(SLOTS >= 3 && SMEM <= SMEM_BYTES && T_SLOTS % PAIR == 0 && AHEAD < T_SLOTS);
    static_assert(SLOT_BYTES % SMEM_ALIGN == 0 && U_BYTES % SMEM_ALIGN == 0);
};

/* Addresses of a block's shared memory; `half` is a warpgroup's of a T slot. */
template <typename S> struct layout_t {
    uint32_t slots;

    __device__ uint32_t x(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return x(slot) + S::X_BYTES;
    }
    __device__ uint32_t u(int slot) const {
        return x(S::SLOTS) + slot * S::U_BYTES;
    }
    __device__ uint32_t t(int slot, int half) const {
        return u(S::U_SLOTS) + (slot * CONSUMERS + half) * S::T_BYTES;
    }
    __device__ uint32_t barrier(int index) const {
        return t(S::T_SLOTS, 0) + index * MBARRIER_BYTES;
    }
    __device__ uint32_t full(int slot) const {
        return barrier(slot);
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
    __device__ uint32_t u_full(int slot) const {
        return empty(S::SLOTS + slot);
    }
    __device__ uint32_t u_empty(int slot) const {
        return u_full(S::U_SLOTS + slot);
    }
    __device__ uint32_t t_full(int slot, int half) const {
        return u_empty(S::U_SLOTS + slot * CONSUMERS + half);
    }
    __device__ uint32_t t_empty(int slot, int half) const {
        return t_full(S::T_SLOTS + slot, half);
    }
};

/* The tiles of a cluster, and the passes g over all of them. */
struct work_t {
    int cluster, clusters, tiles, passes;
};

__device__ inline work_t work_of(const monarch_tiling_t &tiling) {
    const int cluster = blockIdx.x / PAIR, clusters = gridDim.x / PAIR;
    const int tiles = tiling.k_tiles * tiling.column_tiles / PAIR * tiling.token_tiles;
    const int mine = (tiles - cluster + clusters - 1) / clusters;
    return {cluster, clusters, mine, mine * tiling.passes};
}

/* Tile `index` of the cluster. `pair` counts the pairs of column tiles, column tiles first. */
struct place_t {
    int k, pair, token;
};

__device__ inline place_t place_of(const monarch_tiling_t &tiling, const work_t &work, int index) {
    const int tile = work.cluster + index * work.clusters;
    const int k_pairs = tiling.column_tiles / PAIR, pairs = tiling.k_tiles * k_pairs;
    return {tile % pairs / k_pairs, tile % pairs, tile / pairs * TOKENS};
}

/* Loads X and V for the passes of this block; one thread. V is a constant, so the first slots get
 * it before the kernel ahead has ended. */
template <typename S>
__device__ void produce_xv(const layout_t<S> &smem, const CUtensorMap *x_map, const uint8_t *v,
                           const monarch_tiling_t &tiling, const work_t &work, int rank) {
    const auto load_v = [&](int k, int pass, int chunk, int slot) {
        const int64_t tile = ((int64_t)k * tiling.passes + pass) * tiling.chunks + chunk;
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), v + tile * S::V_BYTES, S::V_BYTES, smem.full(slot));
    };
    const int first_chunks = (tiling.passes - rank + 1) / PAIR * tiling.chunks;
    const int early = first_chunks < S::SLOTS ? first_chunks : S::SLOTS;
    const int first_k = place_of(tiling, work, 0).k;
    for (int i = 0; i < early; i++)
        load_v(first_k, rank + i / tiling.chunks * PAIR, i % tiling.chunks, i);
    dependency_wait();
    ring_t ring = {0, 1};
    int done = 0; /* chunks since the start of the kernel */
    for (int g = rank; g < work.passes; g += PAIR) {
        const place_t place = place_of(tiling, work, g / tiling.passes);
        const int pass = g % tiling.passes;
        for (int c = 0; c < tiling.chunks; c++, done++) {
            if (done >= early) {
                mbarrier_wait(smem.empty(ring.slot), ring.parity);
                load_v(place.k, pass, c, ring.slot);
            }
            tma_load_2d(smem.x(ring.slot), x_map, pass / tiling.parts * tiling.in_block + c * CHUNK,
                        place.token, smem.full(ring.slot));
            ring_advance<S::SLOTS>(ring);
        }
    }
}

template <typename S>
__device__ void produce_u(const layout_t<S> &smem, const uint8_t *u, const monarch_tiling_t &tiling,
                          const work_t &work, int rank) {
    ring_t ring = {0, 1};
    for (int g = 0; g < work.passes; g++) {
        const int64_t column_tile =
            (int64_t)place_of(tiling, work, g / tiling.passes).pair * PAIR + rank;
        mbarrier_wait(smem.u_empty(ring.slot), ring.parity);
        mbarrier_arrive_expect(smem.u_full(ring.slot), S::U_BYTES);
        bulk_load(smem.u(ring.slot),
                  u + (column_tile * tiling.passes + g % tiling.passes) * S::U_BYTES, S::U_BYTES,
                  smem.u_full(ring.slot));
        ring_advance<S::U_SLOTS>(ring);
    }
}

/* The state of one consumer warpgroup. `read` is ahead of `freed` by the wgmma still under way. */
template <typename T, typename S> struct consumer_t {
    float left[S::LEFT / 2], right[S::RIGHT ? S::RIGHT / 2 : 1], t[S::RANK / 2];
    ring_t read = {0, 0}, freed = {0, 0}, u_read = {0, 0}, u_freed = {0, 0};
    const layout_t<S> &smem;
    const int warpgroup, rank, passes;
    const bool signals; /* one thread of the warpgroup frees slots and sends */

    __device__ consumer_t(const layout_t<S> &layout, int index, int block, const work_t &work)
        : smem(layout), warpgroup(index), rank(block), passes(work.passes),
          signals(threadIdx.x % WARPGROUP == 0) {}

    __device__ bool is_mine(int g) const {
        return g % PAIR == rank;
    }

    __device__ void free_chunk() {
        if (signals) mbarrier_arrive(smem.empty(freed.slot));
        ring_advance<S::SLOTS>(freed);
    }

    /* Starts T = X V of the next pass of this block; the last chunk stays under way. */
    __device__ void start_first_product(int chunks) {
        for (int c = 0; c < chunks; c++) {
            mbarrier_wait(smem.full(read.slot), read.parity);
            wgmma_fence();
            const uint64_t x = wgmma_tile<CHUNK_SWIZZLE>(
                smem.x(read.slot) + warpgroup * WARPGROUP_ROWS * CHUNK_SWIZZLE);
            const uint64_t v = wgmma_tile<CHUNK_SWIZZLE>(smem.v(read.slot));
#pragma unroll
            for (int step = 0; step < CHUNK / 16; step++)
                wgmma<T>(t, wgmma_step(x, step), wgmma_step(v, step), c > 0 || step > 0);
            wgmma_commit();
            ring_advance<S::SLOTS>(read);
            if (c == 0) continue;
            wgmma_wait<1>();
            free_chunk();
        }
    }

    /* Rounds T into the slot of pass g, as 8 x 8 matrices down the tokens, then along the ranks,
     * and copies it to the other block. */
    __device__ void send(int g) {
        const int slot = g % S::T_SLOTS, lane = (int)threadIdx.x % 32;
        const int warp = (int)threadIdx.x % WARPGROUP / 32;
        const uint32_t to = smem.t(slot, warpgroup), mine = to + warp * 256 + lane * 4;
        registers_fence(t);
        if (g >= S::T_SLOTS) mbarrier_wait(smem.t_empty(slot, warpgroup), g / S::T_SLOTS - 1 & 1);
#pragma unroll
        for (int j = 0; j < S::RANK / 8; j++) {
            shared_store(mine + j * 1024, round_pair<T>(t[4 * j], t[4 * j + 1]));
            shared_store(mine + j * 1024 + 128, round_pair<T>(t[4 * j + 2], t[4 * j + 3]));
        }
        fence_async_proxy();
        named_barrier_sync(1 + warpgroup, WARPGROUP);
        if (signals)
            bulk_copy_cluster(cluster_address(to, rank ^ 1), to, S::T_BYTES,
                              cluster_address(smem.t_full(slot, warpgroup), rank ^ 1));
    }

    /* Starts acc += T U of pass g. */
    __device__ void start_second_product(int g) {
        const int slot = g % S::T_SLOTS;
        if (!is_mine(g)) mbarrier_wait(smem.t_full(slot, warpgroup), g / S::T_SLOTS & 1);
        mbarrier_wait(smem.u_full(u_read.slot), u_read.parity);
        wgmma_fence();
        const uint32_t u = smem.u(u_read.slot);
        const uint32_t from = smem.t(slot, warpgroup);
#pragma unroll
        for (int step = 0; step < S::STEPS; step++) {
            const uint64_t a = wgmma_tile_plain(from + step * 2048, 1024, 128);
            wgmma<T>(left, a, monarch_u_descriptor<S::COLUMNS, S::RANK>(u, step), 1);
            if constexpr (S::RIGHT > 0)
                wgmma<T>(right, a, monarch_u_descriptor<S::COLUMNS, S::RANK>(u, step, S::LEFT), 1);
        }
        wgmma_commit();
        ring_advance<S::U_SLOTS>(u_read);
    }

    /* After the second product of pass g has ended: frees its U, and its T if it was sent here. */
    __device__ void free_operands(int g) {
        if (signals) {
            const int slot = g % S::T_SLOTS;
            mbarrier_arrive(smem.u_empty(u_freed.slot));
            if (!is_mine(g) && g + S::T_SLOTS < passes) {
                mbarrier_arrive_expect(smem.t_full(slot, warpgroup), S::T_BYTES);
                mbarrier_arrive_cluster(cluster_address(smem.t_empty(slot, warpgroup), rank ^ 1));
            }
        }
        ring_advance<S::U_SLOTS>(u_freed);
    }

    /* T of the first AHEAD passes. */
    __device__ void start(int chunks) {
        for (int g = 0; g < S::AHEAD && g < passes; g++)
            if (is_mine(g)) {
                start_first_product(chunks);
                wgmma_wait<0>();
                free_chunk();
                send(g);
            }
    }

    __device__ void tile(int first, int last, int chunks) {
#pragma unroll
        for (int i = 0; i < S::LEFT / 2; i++) left[i] = 0;
#pragma unroll
        for (int i = 0; i < S::RIGHT / 2; i++) right[i] = 0;
        for (int g = first; g < last; g++) {
            const int next = g + S::AHEAD;
            const bool sends = next < passes && is_mine(next);
            if (sends) start_first_product(chunks);
            start_second_product(g);
            wgmma_wait<1>();
            if (g > first) free_operands(g - 1);
            if (sends) {
                free_chunk();
                send(next);
            }
        }
        wgmma_wait<0>();
        free_operands(last - 1);
        registers_fence(left);
        if constexpr (S::RIGHT > 0) registers_fence(right);
    }

    __device__ void store(T *y, const monarch_tiling_t &tiling, const place_t &place) {
        const int token = place.token + warpgroup * WARPGROUP_ROWS;
        const int column0 = (place.pair % (tiling.column_tiles / PAIR) * PAIR + rank) * S::COLUMNS;
        T *const to =
            y + (int64_t)token * tiling.out_features + place.k * tiling.out_block + column0;
#pragma unroll
        for (int c = 0; c < S::COLUMNS; c += 32)
            monarch_store_32(to + c, tiling.out_features, tiling.tokens - token,
                             tiling.out_block - column0 - c,
                             c < S::LEFT ? left + c / 2 : right + (c - S::LEFT) / 2);
    }
};

template <typename S> __device__ inline void init_barriers(const layout_t<S> &smem, int rank) {
    for (int i = 0; i < S::SLOTS; i++) {
        mbarrier_init(smem.full(i), 1);
        mbarrier_init(smem.empty(i), CONSUMERS);
    }
    for (int i = 0; i < S::U_SLOTS; i++) {
        mbarrier_init(smem.u_full(i), 1);
        mbarrier_init(smem.u_empty(i), CONSUMERS);
    }
    for (int i = 0; i < S::T_SLOTS; i++)
        for (int half = 0; half < CONSUMERS; half++) {
            mbarrier_init(smem.t_full(i, half), 1);
            mbarrier_init(smem.t_empty(i, half), 1);
        }
    mbarrier_init_done();
    for (int i = 0; i < S::T_SLOTS; i++)
        for (int half = 0; half < CONSUMERS; half++)
            if (i % PAIR != rank) mbarrier_arrive_expect(smem.t_full(i, half), S::T_BYTES);
}

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, 1)
    monarch_pairs(const __grid_constant__ CUtensorMap x_map, const uint8_t *v, const uint8_t *u,
                  T *y, const __grid_constant__ monarch_tiling_t tiling) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const layout_t<S> smem = {(smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u)};
    const work_t work = work_of(tiling);
    const int rank = (int)cluster_rank();
    dependents_launch();
    if (threadIdx.x == 0) {
        tma_prefetch(&x_map);
        init_barriers(smem, rank);
    }
    cluster_sync();
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == CONSUMERS) {
        registers_lower<40>();
        if (threadIdx.x == CONSUMERS * WARPGROUP)
            produce_xv(smem, &x_map, v, tiling, work, rank);
        else if (threadIdx.x == CONSUMERS * WARPGROUP + 32)
            produce_u(smem, u, tiling, work, rank);
    } else {
        registers_raise<232>();
        consumer_t<T, S> consumer(smem, warpgroup, rank, work);
        consumer.start(tiling.chunks);
        for (int tile = 0; tile < work.tiles; tile++) {
            consumer.tile(tile * tiling.passes, (tile + 1) * tiling.passes, tiling.chunks);
            dependency_wait(); /* the kernel ahead may still use y */
            consumer.store(y, tiling, place_of(tiling, work, tile));
        }
    }
    cluster_sync(); /* the other block may still send or signal */
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t opted_in;
    const monarch_tiling_t tiling = monarch_tiling(p, {TOKENS, S::COLUMNS, S::RANK, 1, PAIR});
    CUtensorMap x_map;
    int sms = 0;
    status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                p->in_features, TOKENS, CHUNK, CHUNK_SWIZZLE);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)monarch_pairs<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t tiles = (int64_t)tiling.k_tiles * tiling.column_tiles / PAIR * tiling.token_tiles;
    const int64_t waves = ceil_div(tiles, sms / PAIR);
    return launch_overlapped(monarch_pairs<T, S>, ceil_div(tiles, waves) * PAIR, S::THREADS, PAIR,
                             S::SMEM, stream, x_map, (const uint8_t *)tensors[1],
                             (const uint8_t *)tensors[2], (T *)tensors[3], tiling);
}

/* A plan: a shape without its rank, which follows from the problem. */
template <int COLUMNS, int LARGEST_RANK, int T_SLOTS, int AHEAD> struct plan {
    static int rank(const problem_t *p) {
        const int rank = monarch_pass_rank(p->rank / p->blocks, LARGEST_RANK);
        return rank < 32 ? 32 : rank;
    }

    template <typename T, int RANK>
    static status_t launch_rank(const problem_t *p, void *const *tensors, stream_t stream) {
        return launch_shape<T, pair_shape<COLUMNS, RANK, T_SLOTS, AHEAD>>(p, tensors, stream);
    }

    template <typename T>
    static status_t launch_dtype(const problem_t *p, void *const *tensors, stream_t stream) {
        if (rank(p) == 32) return launch_rank<T, 32>(p, tensors, stream);
        if (rank(p) == 48) return launch_rank<T, 48>(p, tensors, stream);
        return launch_rank<T, LARGEST_RANK>(p, tensors, stream);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *, stream_t stream) {
        return DISPATCH_DTYPE(p, launch_dtype, p, tensors, stream);
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const monarch_tile_t tile = {TOKENS, COLUMNS, rank(p), 1, PAIR};
        if (tensor == 1) return monarch_pack_v(p, tile, (const uint16_t *)src, (uint16_t *)dst);
        return monarch_pack_u(p, tile, (const uint16_t *)src, (uint16_t *)dst);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        if (!monarch_hopper_supports(p, device, why, why_len)) return false;
        if (p->out_features / p->blocks > 256) return true;
        snprintf(why, why_len, "q of at most 256 needs one block");
        return false;
    }
};

#define HOPPER_PAIR(NAME, SUMMARY, ...)                                                            \
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

HOPPER_PAIR(pair256, "128 tokens x 2 x 256 columns, T exchanged in a cluster", 256, 64, 4, 2)
HOPPER_PAIR(pair352, "128 tokens x 2 x 352 columns, T exchanged in a cluster", 352, 48, 2, 1)
HOPPER_PAIR(pair256b, "128 tokens x 2 x 256 columns, T exchanged in a cluster", 256, 48, 6, 4)
HOPPER_PAIR(pair256c, "128 tokens x 2 x 256 columns, T exchanged in a cluster", 256, 48, 4, 3)
