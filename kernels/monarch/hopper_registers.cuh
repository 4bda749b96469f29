/*
 * monarch/fused and monarch/fused_fp8 on Hopper, the plans that keep T in registers.
 *
 * T_lk = X_l V_lk feeds output block k alone. So a thread block that owns TOKENS tokens and COLUMNS
 * columns of Y_k walks l, and T never leaves its registers: flash attention without the softmax.
 * Where q is beyond COLUMNS, each column tile computes T again. Where q is small, a tile is GROUP
 * output blocks side by side, which share X: bytes from L2 to the SM are what limits small tiles.
 * Where there are few tiles, SPLIT thread blocks (a cluster) share the passes of one and add up.
 * Where r' is at most 16, a pass is JOIN input blocks, so that waits are fewer.
 *
 *   producer warp 0   X (TOKENS x 128 bytes) and V (RANK x 128 bytes), chunk after chunk, into a
 *                     ring of slots
 *   producer warp 1   U (COLUMNS x JOIN * RANK), a tile a pass, into a ring of its own
 *   consumers         a warpgroup for each 64 tokens. The chunks of the first product of the next
 *                     pass alternate with the K steps of the second product of this one, so the
 *                     tensor cores have work while slots are waited for, and T is rounded to the A
 *                     operand of its second product while the last K step runs
 *
 * Without SPLIT the grid is persistent: as many blocks as fill the waves evenly, and the rings run
 * on from tile to tile, so that the next tile loads during the store of the last.
 */
#ifndef BLROOF_MONARCH_HOPPER_REGISTERS_CUH
#define BLROOF_MONARCH_HOPPER_REGISTERS_CUH

#include <type_traits>

#include "kernels/monarch/hopper.h"
#include "kernels/monarch/hopper_producer.cuh"

/* The state of one consumer warpgroup. `read` is ahead of `freed` by the wgmma still under way. */
template <typename T, typename S> struct consumer_t {
    using operand_t = std::conditional_t<S::FP8, __nv_fp8_e4m3, T>;
    using operands_t = uint32_t[S::OPERAND_WORDS];

    float acc[S::GROUP][S::COLUMNS / 2], t[S::JOIN][S::V_ROWS / 2];
    ring_t read = {0, 0}, freed = {0, 0}, u_read = {0, 0}, u_freed = {0, 0};
    const layout_t<S> &smem;
    const int warpgroup, chunks; /* of one input block */
    const bool signals;          /* one thread of the warpgroup frees slots */

    __device__ consumer_t(const layout_t<S> &layout, int index, const monarch_tiling_t &tiling)
        : smem(layout), warpgroup(index), chunks(tiling.chunks),
          signals(threadIdx.x % WARPGROUP == 0) {}

    __device__ void start_chunk_of(float (&to)[S::V_ROWS / 2], bool first) {
        const uint64_t x =
            wgmma_tile<CHUNK_BYTES>(smem.x(read.slot) + warpgroup * WARPGROUP_ROWS * CHUNK_BYTES);
        const uint64_t v = wgmma_tile<CHUNK_BYTES>(smem.v(read.slot));
#pragma unroll
        for (int step = 0; step < CHUNK_BYTES / STEP_BYTES; step++)
            wgmma<operand_t>(to, wgmma_step(x, step), wgmma_step(v, step), !first || step > 0);
    }

    /* Starts T (+)= chunk c of the pass of X V. */
    __device__ void start_chunk(int c) {
        mbarrier_wait(smem.full(read.slot), read.parity);
        wgmma_fence();
        if (S::JOIN == 1 || c < chunks)
            start_chunk_of(t[0], c == 0);
        else
            start_chunk_of(t[S::JOIN - 1], c == chunks);
        ring_advance<S::SLOTS>(read);
    }

    /* The scales of T in fp8, four for two 8-column groups of an input block. */
    struct scales_t {
        float4 of[S::JOIN][S::V_ROWS / 16];
    };

    /* They came with the U of their pass, which is read next. */
    __device__ void load_scales(scales_t &scales) {
        mbarrier_wait(smem.u_full(u_read.slot), u_read.parity);
        const uint32_t from = smem.u(u_read.slot) + S::U_BYTES + (int)threadIdx.x % 4 * S::V_ROWS;
#pragma unroll
        for (int l = 0; l < S::JOIN; l++)
#pragma unroll
            for (int i = 0; i < S::V_ROWS / 16; i++)
                scales.of[l][i] = shared_load(from + l * S::V_ROWS * 4 + i * 16);
    }

    /* Of T for output block `block`: 8-column group g of the joined ranks, this thread's two
     * columns of its row, or of 8 rows below it. Zeros beyond the last rank. */
    __device__ float2 columns_of_t(const scales_t &scales, int block, int g, int below) const {
        const int l = g * 8 / S::RANK, j = block * S::RANK / 8 + g % (S::RANK / 8);
        if (l >= S::JOIN) return make_float2(0, 0);
        const float2 two = make_float2(t[l][4 * j + 2 * below], t[l][4 * j + 2 * below + 1]);
        if constexpr (!S::FP8) return two;
        const float4 of = scales.of[l][j / 2];
        return j % 2 ? make_float2(two.x * of.z, two.y * of.w)
                     : make_float2(two.x * of.x, two.y * of.y);
    }

    /* T rounded to the A operand of the second product: words 0 and 2 of a K step are of this
     * thread's row, 1 and 3 of the one below. */
    __device__ void round_t(operands_t &to) {
        scales_t scales;
#pragma unroll
        for (int l = 0; l < S::JOIN; l++) registers_fence(t[l]);
        if constexpr (S::FP8) load_scales(scales);
#pragma unroll
        for (int i = 0; i < S::OPERAND_WORDS; i++) {
            const int block = i / 4 / S::BLOCK_STEPS, word = i % (4 * S::BLOCK_STEPS) / 2;
            if constexpr (S::FP8) {
                const float2 first = columns_of_t(scales, block, 2 * word, i % 2);
                const float2 second = columns_of_t(scales, block, 2 * word + 1, i % 2);
                to[i] = fp8_quad(first.x, first.y, second.x, second.y);
            } else {
                const float2 two = columns_of_t(scales, block, word, i % 2);
                to[i] = round_pair<T>(two.x, two.y);
            }
        }
    }

    /* Starts acc += K step of T U. */
    __device__ void start_step(const uint32_t *operand, uint32_t u, int step) {
        const int block = step / S::BLOCK_STEPS;
        const uint64_t b = monarch_u_descriptor<S::COLUMNS, S::BLOCK_STEPS * STEP_BYTES>(
            u + block * S::U_BLOCK_BYTES, step % S::BLOCK_STEPS);
        wgmma<operand_t>(acc[block], operand + 4 * step, b, 1);
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
    __device__ void first_product(operands_t &to) {
        for (int c = 0; c < S::JOIN * chunks; c++) {
            start_chunk(c);
            wgmma_commit();
            if (c == 0) continue;
            wgmma_wait<1>();
            free_chunk();
        }
        wgmma_wait<0>();
        free_chunk();
        round_t(to);
    }

    /*
     * The second product of this pass from `now`, and the first product of the next into `next`:
     * chunk 0 | K step 0, chunk 1 | K step 1, chunk 2 | ... | the last K steps; the bars close
     * groups. At most one group is under way while the next one is put together.
     */
    __device__ void both_products(operands_t &now, operands_t &next, bool free_last_u) {
        start_chunk(0);
        wgmma_commit();
        wgmma_wait<1>(); /* the last K steps of the pass before */
        if (free_last_u) free_u();
        const uint32_t u = wait_u();
#pragma unroll
        for (int c = 1; c < S::STEPS; c++)
            if (c < S::JOIN * chunks) {
                start_step(now, u, c - 1);
                start_chunk(c);
                wgmma_commit();
                wgmma_wait<1>();
                free_chunk();
            }
        for (int c = S::STEPS; c < S::JOIN * chunks; c++) {
            start_chunk(c);
            wgmma_commit();
            wgmma_wait<1>();
            free_chunk();
        }
#pragma unroll
        for (int step = 0; step < S::STEPS; step++)
            if (step >= S::JOIN * chunks - 1 || step == S::STEPS - 1) start_step(now, u, step);
        wgmma_commit();
        ring_advance<S::U_SLOTS>(u_read);
        wgmma_wait<S::TWO_OPERANDS ? 1 : 0>();
        free_chunk();
        round_t(next);
    }

    /* The second product alone, for the last pass of a tile. */
    __device__ void second_product(operands_t &now, bool free_last_u) {
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

    __device__ void tile(int passes) {
        operands_t a;
#pragma unroll
        for (int block = 0; block < S::GROUP; block++)
#pragma unroll
            for (int i = 0; i < S::COLUMNS / 2; i++) acc[block][i] = 0;
        first_product(a);
        int pass = 1;
        if constexpr (S::TWO_OPERANDS) { /* a copy of b to a would serialise wgmma */
            operands_t b;
            for (; pass + 1 < passes; pass += 2) {
                both_products(a, b, pass > 1);
                both_products(b, a, true);
            }
            if (pass < passes) {
                both_products(a, b, pass > 1);
                second_product(b, true);
            } else {
                second_product(a, pass > 1);
            }
        } else {
            for (; pass < passes; pass++) both_products(a, a, pass > 1);
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

    /* Puts the scales of X and U, which wait for the end of the sums, onto what store() takes. */
    __device__ void scale(const monarch_scales_t &scales, const monarch_tiling_t &tiling,
                          const place_t &place) {
        const float2 rows =
            monarch_row_scales(scales, place.token + warpgroup * WARPGROUP_ROWS, tiling.tokens);
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (store_is_mine(store)) {
                const int k = place.k_tile * S::GROUP + store / BLOCK_STORES;
                const int column = place.column_tile * S::COLUMNS + store % BLOCK_STORES * 32;
                monarch_scale_32(store_acc(store), rows, scales.u + k * tiling.out_block + column,
                                 tiling.out_block - column);
            }
    }

    __device__ void store(T *y, const monarch_tiling_t &tiling, const place_t &place) {
        const int token = place.token + warpgroup * WARPGROUP_ROWS;
#pragma unroll
        for (int store = 0; store < STORES; store++)
            if (store_is_mine(store)) {
                const int k = place.k_tile * S::GROUP + store / BLOCK_STORES;
                const int column = place.column_tile * S::COLUMNS + store % BLOCK_STORES * 32;
                wgmma_store_32(y + (int64_t)token * tiling.out_features + k * tiling.out_block +
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
                  T *y, const __grid_constant__ monarch_tiling_t tiling,
                  const __grid_constant__ monarch_scales_t scales) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const uint32_t base = (smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u);
    const uint32_t u_slots = base + S::SLOTS * S::SLOT_BYTES;
    const layout_t<S> smem = {base, u_slots, u_slots + S::U_SLOTS * S::U_SLOT_BYTES};
    const work_t work = work_of<S>(tiling);
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
            produce_u(smem, u, scales.v, tiling, work);
        if constexpr (S::SPLIT > 1) {
            cluster_sync();
            cluster_sync();
        }
    } else {
        if constexpr (S::CONSUMERS == 2) registers_raise<232>();
        consumer_t<T, S> consumer(smem, warpgroup, tiling);
        for (int tile = work.first_tile; tile < work.tiles; tile += work.tile_step) {
            const place_t place = place_of<S>(tiling, tile);
            consumer.tile(work.last_pass - work.first_pass);
            if constexpr (S::SPLIT > 1) {
                consumer.give_sums();
                cluster_sync();
                consumer.take_sums();
                cluster_sync(); /* others read this block's sums before it exits */
            }
            dependency_wait(); /* the kernel ahead may still use y */
            if constexpr (S::FP8) consumer.scale(scales, tiling, place);
            consumer.store(y, tiling, place);
        }
    }
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, void *workspace,
                             stream_t stream) {
    static uint64_t opted_in;
    const monarch_tile_t tile = {S::TOKENS, S::COLUMNS, S::RANK, S::GROUP, S::JOIN, 1, S::BYTES};
    const monarch_tiling_t tiling = monarch_tiling(p, tile);
    CUtensorMap x_map;
    monarch_scales_t scales;
    int sms = 0;
    status_t st = monarch_hopper_operands(p, tile, tensors, workspace, stream, &x_map, &scales);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)monarch_tiles<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t tiles = (int64_t)tiling.k_tiles * tiling.column_tiles * tiling.token_tiles;
    const int64_t waves = S::SPLIT > 1 ? 1 : ceil_div(tiles, sms * S::BLOCKS_PER_SM);
    return launch_overlapped(monarch_tiles<T, S>, ceil_div(tiles, waves) * S::SPLIT, S::THREADS,
                             S::SPLIT, S::SMEM, stream, x_map, (const uint8_t *)tensors[1],
                             (const uint8_t *)tensors[2], (T *)tensors[3], tiling, scales);
}

/* A plan: a tile without RANK and JOIN, which follow from the problem. */
template <int BYTES, int TOKENS, int COLUMNS, int GROUP, int SPLIT, int MOST_JOINED, int BLOCKS>
struct register_plan {
    /* Where registers end. */
    static constexpr int LARGEST_RANK = GROUP == 1 && BLOCKS == 1 ? 96 : 48;

    static int rank(const problem_t *p) {
        return monarch_pass_rank(p->rank / p->blocks, LARGEST_RANK);
    }

    static constexpr bool may_join(int rank) {
        return MOST_JOINED == 2 && rank == 16;
    }

    static monarch_tile_t tile(const problem_t *p) {
        const bool joined = may_join(rank(p)) && p->blocks % 2 == 0;
        return {TOKENS, COLUMNS, rank(p), GROUP, joined ? 2 : 1, 1, BYTES};
    }

    template <typename T, int RANK>
    static status_t launch_rank(const problem_t *p, void *const *tensors, void *workspace,
                                stream_t stream) {
        if constexpr (may_join(RANK))
            if (tile(p).join == 2)
                return launch_shape<
                    T, tile_shape<BYTES, TOKENS, COLUMNS, RANK, 2, GROUP, SPLIT, BLOCKS>>(
                    p, tensors, workspace, stream);
        return launch_shape<T, tile_shape<BYTES, TOKENS, COLUMNS, RANK, 1, GROUP, SPLIT, BLOCKS>>(
            p, tensors, workspace, stream);
    }

    template <typename T>
    static status_t launch_dtype(const problem_t *p, void *const *tensors, void *workspace,
                                 stream_t stream) {
        switch (rank(p)) {
        case 16:
            return launch_rank<T, 16>(p, tensors, workspace, stream);
        case 32:
            return launch_rank<T, 32>(p, tensors, workspace, stream);
        case 48:
            return launch_rank<T, 48>(p, tensors, workspace, stream);
        }
        if constexpr (LARGEST_RANK == 96)
            return rank(p) == 64 ? launch_rank<T, 64>(p, tensors, workspace, stream)
                                 : launch_rank<T, 96>(p, tensors, workspace, stream);
        return fail(STATUS_ENVIRONMENT, "no tile for rank %d", rank(p));
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        return DISPATCH_DTYPE(p, launch_dtype, p, tensors, workspace, stream);
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        return monarch_hopper_pack(p, tile(p), tensor, (const uint16_t *)src, dst);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        const monarch_tiling_t t = monarch_tiling(p, tile(p));
        if (!monarch_hopper_supports(p, BYTES, device, why, why_len)) return false;
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

#endif
