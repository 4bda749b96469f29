/*
 * monarch/fused and monarch/fused_fp8 on Hopper for q > 256: two thread blocks share T instead of
 * computing it twice.
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
#ifndef BLROOF_MONARCH_HOPPER_PAIR_CUH
#define BLROOF_MONARCH_HOPPER_PAIR_CUH

#include <type_traits>

#include "kernels/cuda/cluster.cuh"
#include "kernels/monarch/hopper.h"
#include "kernels/monarch/hopper_tile.cuh"

static constexpr int PAIR = 2, CONSUMERS = 2, TOKENS = CONSUMERS * WARPGROUP_ROWS;
static constexpr int SMEM_BYTES = 227 * 1024, SMEM_ALIGN = 1024;

template <int BYTES_, int COLUMNS_, int RANK_, int T_SLOTS_, int AHEAD_> struct pair_shape {
    static constexpr int BYTES = BYTES_, COLUMNS = COLUMNS_, RANK = RANK_;
    static constexpr int T_SLOTS = T_SLOTS_, AHEAD = AHEAD_;
    static constexpr bool FP8 = BYTES == 1;
    static constexpr int THREADS = (CONSUMERS + 1) * WARPGROUP;
    /* K steps of the second product; the last one may be filled up with zeros. */
    static constexpr int STEPS = (RANK * BYTES + STEP_BYTES - 1) / STEP_BYTES;
    /* wgmma is up to 256 wide; a store takes 32 columns. */
    static constexpr int LEFT = COLUMNS <= 256 ? COLUMNS : (COLUMNS / 2 + 31) / 32 * 32;
    static constexpr int RIGHT = COLUMNS - LEFT;

    static constexpr int X_BYTES = TOKENS * CHUNK_BYTES, V_BYTES = RANK * CHUNK_BYTES;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int U_BYTES = COLUMNS * STEPS * STEP_BYTES;
    static constexpr int T_BYTES = WARPGROUP_ROWS * STEPS * STEP_BYTES; /* of one warpgroup */
    static constexpr int T_ROOM = SMEM_BYTES - 2 * SMEM_ALIGN - T_SLOTS * CONSUMERS * T_BYTES;
    static constexpr int U_WANTED = FP8 ? 4 : 3; /* fp8 has smaller ones and less time */
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

/* The first pass of a tile that is this block's; `before` passes have gone before the tile. */
__device__ inline int first_own_pass(int before, int rank) {
    return (before + rank) % PAIR;
}

/* Loads X and V for the passes of this block; one thread, which does not divide in its loops. V is
 * a constant, so the first slots get it before the kernel ahead has ended. */
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
    const int chunks = tiling.chunks, passes = tiling.passes, parts = tiling.parts;
    for (int tile = 0; tile < work.tiles; tile++) {
        const place_t place = place_of(tiling, work, tile);
        const int first = first_own_pass(tile * passes, rank);
        int block = first / parts * tiling.in_block, part = first % parts;
        for (int pass = first; pass < passes; pass += PAIR) {
            for (int c = 0; c < chunks; c++, done++) {
                if (done >= early) {
                    mbarrier_wait(smem.empty(ring.slot), ring.parity);
                    load_v(place.k, pass, c, ring.slot);
                }
                tma_load_2d(smem.x(ring.slot), x_map, block + c * (CHUNK_BYTES / S::BYTES),
                            place.token, smem.full(ring.slot));
                ring_advance<S::SLOTS>(ring);
            }
            for (part += PAIR; part >= parts; part -= parts) block += tiling.in_block;
        }
    }
}

template <typename S>
__device__ void produce_u(const layout_t<S> &smem, const uint8_t *u, const monarch_tiling_t &tiling,
                          const work_t &work, int rank) {
    ring_t ring = {0, 1};
    for (int tile = 0; tile < work.tiles; tile++) {
        const int64_t column_tile = (int64_t)place_of(tiling, work, tile).pair * PAIR + rank;
        const uint8_t *from = u + column_tile * tiling.passes * S::U_BYTES;
        for (int pass = 0; pass < tiling.passes; pass++, from += S::U_BYTES) {
            mbarrier_wait(smem.u_empty(ring.slot), ring.parity);
            mbarrier_arrive_expect(smem.u_full(ring.slot), S::U_BYTES);
            bulk_load(smem.u(ring.slot), from, S::U_BYTES, smem.u_full(ring.slot));
            ring_advance<S::U_SLOTS>(ring);
        }
    }
}

/* The state of one consumer warpgroup. `read` is ahead of `freed` by the wgmma still under way. */
template <typename T, typename S> struct consumer_t {
    using operand_t = std::conditional_t<S::FP8, __nv_fp8_e4m3, T>;

    float left[S::LEFT / 2], right[S::RIGHT ? S::RIGHT / 2 : 1], t[S::RANK / 2];
    float4 v_scales[S::FP8 ? S::RANK / 16 : 1];
    ring_t read = {0, 0}, freed = {0, 0}, u_read = {0, 0}, u_freed = {0, 0};
    const layout_t<S> &smem;
    const int warpgroup, rank, passes, chunks;
    const bool signals; /* one thread of the warpgroup frees slots and sends */
    const monarch_tiling_t &tiling;
    const monarch_scales_t &scales;
    const work_t &work;
    int next_tile = 0, next_k = 0, next_pass; /* of this block's next first product */

    __device__ consumer_t(const layout_t<S> &layout, int index, int block, const work_t &tiles,
                          const monarch_tiling_t &sizes, const monarch_scales_t &of)
        : smem(layout), warpgroup(index), rank(block), passes(tiles.passes), chunks(sizes.chunks),
          signals(threadIdx.x % WARPGROUP == 0), tiling(sizes), scales(of), work(tiles),
          next_pass(block) {
        if constexpr (S::FP8) next_k = place_of(tiling, work, 0).k;
    }

    __device__ bool is_mine(int g) const {
        return g % PAIR == rank;
    }

    __device__ void free_chunk() {
        if (signals) mbarrier_arrive(smem.empty(freed.slot));
        ring_advance<S::SLOTS>(freed);
    }

    /* The scales of T of this block's pass that was started last: from L2, while its products run.
     */
    __device__ void load_v_scales() {
        if constexpr (S::FP8) {
            for (; next_pass >= tiling.passes; next_pass -= tiling.passes)
                next_k = place_of(tiling, work, ++next_tile).k;
            const float4 *const from =
                monarch_pass_scales(scales.v, next_k * tiling.passes + next_pass, S::RANK);
#pragma unroll
            for (int i = 0; i < S::RANK / 16; i++) v_scales[i] = __ldg(from + i);
            next_pass += PAIR;
        }
    }

    /* Starts T = X V of the next pass of this block; the last chunk stays under way. */
    __device__ void start_first_product() {
        for (int c = 0; c < chunks; c++) {
            mbarrier_wait(smem.full(read.slot), read.parity);
            wgmma_fence();
            const uint64_t x = wgmma_tile<CHUNK_BYTES>(smem.x(read.slot) +
                                                       warpgroup * WARPGROUP_ROWS * CHUNK_BYTES);
            const uint64_t v = wgmma_tile<CHUNK_BYTES>(smem.v(read.slot));
#pragma unroll
            for (int step = 0; step < CHUNK_BYTES / STEP_BYTES; step++)
                wgmma<operand_t>(t, wgmma_step(x, step), wgmma_step(v, step), c > 0 || step > 0);
            wgmma_commit();
            ring_advance<S::SLOTS>(read);
            if (c == 0) continue;
            wgmma_wait<1>();
            free_chunk();
        }
    }

    /* 8-column group j of T, this thread's two columns of its row, or of 8 rows below it. */
    __device__ float2 columns_of_t(int j, int below) const {
        if (j >= S::RANK / 8) return make_float2(0, 0);
        const float2 two = make_float2(t[4 * j + 2 * below], t[4 * j + 2 * below + 1]);
        if constexpr (!S::FP8) return two;
        const float4 scale = v_scales[S::FP8 ? j / 2 : 0];
        return j % 2 ? make_float2(two.x * scale.z, two.y * scale.w)
                     : make_float2(two.x * scale.x, two.y * scale.y);
    }

    /* Word i of a row of T, rounded: 4 bytes of the 16 that four threads write together. */
    __device__ uint32_t word_of_t(int i, int below) const {
        if constexpr (S::FP8) {
            const float2 first = columns_of_t(2 * i, below),
                         second = columns_of_t(2 * i + 1, below);
            return fp8_quad(first.x, first.y, second.x, second.y);
        } else {
            const float2 two = columns_of_t(i, below);
            return round_pair<T>(two.x, two.y);
        }
    }

    /* Rounds T into the slot of pass g, as matrices of 8 rows x 16 bytes down the tokens, then
     * along the ranks, and copies it to the other block. */
    __device__ void send(int g) {
        const int slot = g % S::T_SLOTS, lane = (int)threadIdx.x % 32;
        const int warp = (int)threadIdx.x % WARPGROUP / 32;
        const uint32_t to = smem.t(slot, warpgroup), mine = to + warp * 256 + lane * 4;
        registers_fence(t);
        if (g >= S::T_SLOTS) mbarrier_wait(smem.t_empty(slot, warpgroup), g / S::T_SLOTS - 1 & 1);
#pragma unroll
        for (int i = 0; i < S::STEPS * 2; i++) {
            shared_store(mine + i * 1024, word_of_t(i, 0));
            shared_store(mine + i * 1024 + 128, word_of_t(i, 1));
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
            wgmma<operand_t>(left, a,
                             monarch_u_descriptor<S::COLUMNS, S::STEPS * STEP_BYTES>(u, step), 1);
            if constexpr (S::RIGHT > 0)
                wgmma<operand_t>(
                    right, a,
                    monarch_u_descriptor<S::COLUMNS, S::STEPS * STEP_BYTES>(u, step, S::LEFT), 1);
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
    __device__ void start() {
        for (int g = 0; g < S::AHEAD && g < passes; g++)
            if (is_mine(g)) {
                start_first_product();
                load_v_scales();
                wgmma_wait<0>();
                free_chunk();
                send(g);
            }
    }

    __device__ void tile(int first, int last) {
#pragma unroll
        for (int i = 0; i < S::LEFT / 2; i++) left[i] = 0;
#pragma unroll
        for (int i = 0; i < S::RIGHT / 2; i++) right[i] = 0;
        for (int g = first; g < last; g++) {
            const int next = g + S::AHEAD;
            const bool sends = next < passes && is_mine(next);
            if (sends) start_first_product();
            start_second_product(g);
            if (sends) load_v_scales();
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

    /* The accumulators of 32 columns. */
    __device__ float *columns_at(int column) {
        return column < S::LEFT ? left + column / 2 : right + (column - S::LEFT) / 2;
    }

    __device__ void store(T *y, const place_t &place) {
        const int token = place.token + warpgroup * WARPGROUP_ROWS;
        const int column0 = (place.pair % (tiling.column_tiles / PAIR) * PAIR + rank) * S::COLUMNS;
        const int64_t first = place.k * tiling.out_block + column0;
        T *const to = y + (int64_t)token * tiling.out_features + first;
        float2 rows;
        if constexpr (S::FP8) rows = monarch_row_scales(scales, token, tiling.tokens);
#pragma unroll
        for (int c = 0; c < S::COLUMNS; c += 32) {
            const int columns = tiling.out_block - column0 - c;
            if constexpr (S::FP8)
                monarch_scale_32(columns_at(c), rows, scales.u + first + c, columns);
            wgmma_store_32(to + c, tiling.out_features, tiling.tokens - token, columns,
                           columns_at(c));
        }
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
                  T *y, const __grid_constant__ monarch_tiling_t tiling,
                  const __grid_constant__ monarch_scales_t scales) {
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
        consumer_t<T, S> consumer(smem, warpgroup, rank, work, tiling, scales);
        consumer.start();
        for (int tile = 0; tile < work.tiles; tile++) {
            consumer.tile(tile * tiling.passes, (tile + 1) * tiling.passes);
            dependency_wait(); /* the kernel ahead may still use y */
            consumer.store(y, place_of(tiling, work, tile));
        }
    }
    cluster_sync(); /* the other block may still send or signal */
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, void *workspace,
                             stream_t stream) {
    static uint64_t opted_in;
    const monarch_tile_t tile = {TOKENS, S::COLUMNS, S::RANK, 1, 1, PAIR, S::BYTES};
    const monarch_tiling_t tiling = monarch_tiling(p, tile);
    CUtensorMap x_map;
    monarch_scales_t scales;
    int sms = 0;
    status_t st = monarch_hopper_operands(p, tile, tensors, workspace, stream, &x_map, &scales);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)monarch_pairs<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t tiles = (int64_t)tiling.k_tiles * tiling.column_tiles / PAIR * tiling.token_tiles;
    const int64_t waves = ceil_div(tiles, sms / PAIR);
    return launch_overlapped(monarch_pairs<T, S>, ceil_div(tiles, waves) * PAIR, S::THREADS, PAIR,
                             S::SMEM, stream, x_map, (const uint8_t *)tensors[1],
                             (const uint8_t *)tensors[2], (T *)tensors[3], tiling, scales);
}

/* A plan: a shape without its rank, which follows from the problem. */
template <int BYTES, int COLUMNS, int LARGEST_RANK, int T_SLOTS, int AHEAD> struct pair_plan {
    static int rank(const problem_t *p) {
        if (LARGEST_RANK == 32) return 32;
        const int rank = monarch_pass_rank(p->rank / p->blocks, LARGEST_RANK);
        return rank < 32 ? 32 : rank;
    }

    template <typename T, int RANK>
    static status_t launch_rank(const problem_t *p, void *const *tensors, void *workspace,
                                stream_t stream) {
        return launch_shape<T, pair_shape<BYTES, COLUMNS, RANK, T_SLOTS, AHEAD>>(p, tensors,
                                                                                 workspace, stream);
    }

    template <typename T>
    static status_t launch_dtype(const problem_t *p, void *const *tensors, void *workspace,
                                 stream_t stream) {
        if constexpr (LARGEST_RANK > 32) {
            if (rank(p) == 48) return launch_rank<T, 48>(p, tensors, workspace, stream);
            if (rank(p) == LARGEST_RANK)
                return launch_rank<T, LARGEST_RANK>(p, tensors, workspace, stream);
        }
        return launch_rank<T, 32>(p, tensors, workspace, stream);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        return DISPATCH_DTYPE(p, launch_dtype, p, tensors, workspace, stream);
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        return monarch_hopper_pack(p, {TOKENS, COLUMNS, rank(p), 1, 1, PAIR, BYTES}, tensor,
                                   (const uint16_t *)src, dst);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        if (!monarch_hopper_supports(p, BYTES, device, why, why_len)) return false;
        if (p->out_features / p->blocks > 256) return true;
        snprintf(why, why_len, "q of at most 256 needs one block");
        return false;
    }
};

#endif
