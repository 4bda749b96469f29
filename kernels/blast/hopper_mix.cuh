/*
 * Stages 1 and 2 of blast/fused and blast/fused_fp8 on Hopper: Z_k = sum_l (X_l V_l) * s_lk in one
 * kernel.
 *
 * A Z needs the Y_l = X_l V_l of all l, and what Y of a tile takes is what bounds the tile. So a
 * cluster of two blocks owns 128 tokens x RANKS ranks. Each computes half of the l. Of each Y_l it
 * keeps the columns of its own half of the ranks in registers, and sends the others to the shared
 * memory of the other block, rounded, thread to thread. Then each mixes its half of the ranks: for
 * every rank a product (16 tokens x l) (l x k) of mma.sync, whose results go to Z.
 *
 *   producer warp   X (128 x 128 bytes) and V (RANKS x 128 bytes), then S of the tile, into a ring
 *                   of slots
 *   consumers       two warpgroups of 64 tokens
 *
 * mma.sync wants other l in other lanes t of a group of four, where wgmma left other ranks. So the
 * columns of V_l are turned by l: of eight neighbouring ranks lane t gets the pair (t - i) % 4 of
 * Y_l, i counting this block's l. Then for every pair each lane holds a quarter of the l, which S
 * is packed for, and no value moves between lanes.
 *
 * In fp8, X, V and Z are e4m3, and Y is mixed in bf16. hopper_fp8.h says where the scales are; here
 * only that of V's rank is left, by which S is multiplied. Mostly it is 1, and nothing is done.
 */
#ifndef BLROOF_BLAST_HOPPER_MIX_CUH
#define BLROOF_BLAST_HOPPER_MIX_CUH

#include <cuda_fp8.h>
#include <type_traits>

#include "kernels/blast/hopper_mix_producer.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/shared.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/wgmma.cuh"

static constexpr uint32_t NO_SCALE = 0x3f803f80; /* a pair of 1 in bf16 */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* One 16-byte store, without a branch. */
__device__ inline void store_vector_if(bool wanted, uint8_t *global, const uint32_t (&w)[4]) {
    asm volatile("{\n"
                 ".reg .pred wanted;\n"
                 "setp.ne.b32 wanted, %0, 0;\n"
                 "@wanted st.global.v4.b32 [%1], {%2, %3, %4, %5};\n"
                 "}" ::"r"((int)wanted),
                 "l"(global), "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3])
                 : "memory");
}

/* w[m] becomes w[(m + by) % 4]. */
__device__ inline void turn(uint32_t (&w)[4], int by) {
    uint32_t once[4];
#pragma unroll
    for (int m = 0; m < 4; m++) once[m] = by & 1 ? w[(m + 1) % 4] : w[m];
#pragma unroll
    for (int m = 0; m < 4; m++) w[m] = by & 2 ? once[(m + 2) % 4] : once[m];
}

/* The state of one consumer warpgroup. */
template <typename T, typename S> struct mixer_t {
    using mixed_t = std::conditional_t<IS_FP8<T>, __nv_bfloat16, T>;
    /* Y is sent during the next product, not before it. */
    static constexpr bool LATE = !IS_FP8<T>;

    float acc[S::RANKS / 2];
    uint32_t kept[S::INPUTS][S::UNITS][2]; /* pairs of Y in rows g and g + 8 */
    uint4 unsent[S::UNITS / 2];            /* of the last product, for the other block */
    ring_t ring = {0, 0};
    const layout_t<S> &smem;
    const mix_args_t &args;
    const int half, warpgroup, warp, lane; /* of the pair, of the block */
    const int inputs, peers_inputs;

    __device__ mixer_t(const layout_t<S> &layout, const mix_args_t &arguments, int block, int group)
        : smem(layout), args(arguments), half(block), warpgroup(group), warp((int)threadIdx.x / 32),
          lane((int)threadIdx.x % 32), inputs(inputs_of(arguments.blocks, block).count),
          peers_inputs(inputs_of(arguments.blocks, 1 - block).count) {}

    __device__ void free_slot(uint32_t slot) const {
        if (threadIdx.x % WARPGROUP == 0) mbarrier_arrive(smem.empty(slot));
    }

    /* acc = X_l V_l. meanwhile() runs while the tensor cores have their first work. */
    template <typename F> __device__ void product(F meanwhile) {
        uint32_t previous = 0;
        for (int c = 0; c < args.chunks; c++) {
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            wgmma_fence();
            const uint64_t x =
                wgmma_tile<SWIZZLE>(smem.x(ring.slot) + warpgroup * WARPGROUP_ROWS * SWIZZLE);
            const uint64_t v = wgmma_tile<SWIZZLE>(smem.v(ring.slot));
#pragma unroll
            for (int step = 0; step < SWIZZLE / 32; step++)
                wgmma<T>(acc, wgmma_step(x, step), wgmma_step(v, step), c > 0 || step > 0);
            wgmma_commit();
            if (LATE && c == 0) meanwhile();
            if constexpr (S::SLOTS > 3) {
                wgmma_wait<1>();
                if (c > 0) free_slot(previous);
            } else { /* slots are what there is least of, and the other warpgroup has work */
                wgmma_wait<0>();
                free_slot(ring.slot);
            }
            previous = ring.slot;
            ring_advance<S::SLOTS>(ring);
        }
        wgmma_wait<0>();
        if constexpr (S::SLOTS > 3) free_slot(previous);
        registers_fence(acc);
    }

    /* Where a thread's vector of two units of an input lies. Its halves change places in every
     * other eight lanes, so that reads of halves use all banks. */
    __device__ static uint32_t sent(int input, int unit) {
        return (input * (S::UNITS / 2) + unit / 2) * S::SENT_BYTES + threadIdx.x * 16;
    }

    __device__ void keep(uint32_t (&to)[S::UNITS][2]) {
#pragma unroll
        for (int i = 0; i < S::UNITS * 2; i++)
            to[i / 2][i % 2] = round_pair<mixed_t>(acc[2 * i], acc[2 * i + 1]);
    }

    __device__ void keep_unsent() {
        const bool swapped = lane & 8;
#pragma unroll
        for (int i = 0; i < S::UNITS / 2; i++) {
            const float *const a = acc + (S::UNITS + 2 * i) * 4;
            const uint32_t w[4] = {round_pair<mixed_t>(a[0], a[1]), round_pair<mixed_t>(a[2], a[3]),
                                   round_pair<mixed_t>(a[4], a[5]),
                                   round_pair<mixed_t>(a[6], a[7])};
            unsent[i] = make_uint4(swapped ? w[2] : w[0], swapped ? w[3] : w[1],
                                   swapped ? w[0] : w[2], swapped ? w[1] : w[3]);
        }
    }

    __device__ void send(uint32_t y, int input, int round) const {
        if (input == 0 && round > 0) mbarrier_wait(smem.y_read(warp), (round - 1) & 1);
#pragma unroll
        for (int i = 0; i < S::UNITS / 2; i++) cluster_store(y + sent(input, 2 * i), unsent[i]);
    }

    /* All Y_l of this block, kept and sent. */
    __device__ void first_stage(int round) {
        const uint32_t y = cluster_address(smem.y(), half ^ 1);
#pragma unroll
        for (int i = 0; i < S::INPUTS; i++) {
            if (i < inputs) {
                product([&] {
                    if (i > 0) send(y, i - 1, round);
                });
                keep(kept[i]);
                keep_unsent();
                if (!LATE) send(y, i, round);
            } else {
#pragma unroll
                for (int j = 0; j < S::UNITS * 2; j++) kept[i][j / 2][j % 2] = 0;
            }
        }
        if (LATE) send(y, inputs - 1, round);
        __syncwarp();
        if (lane == 0)
            mbarrier_arrive_cluster_release(cluster_address(smem.y_full(warp), half ^ 1));
    }

    /* This block's Y for a unit: words[h][m][row] is input (t + m) % 4 + 4 h of the pair of ranks
     * that belongs to it. */
    __device__ void turn_kept(uint32_t (&words)[S::TURNS][2][4], int unit) const {
        /* A shuffle, so that the compiler does not turn all units at once, and spills. */
        const int by = __shfl_sync(~0u, lane % 4, lane);
#pragma unroll
        for (int h = 0; h < S::TURNS; h++)
#pragma unroll
            for (int row = 0; row < 2; row++) {
#pragma unroll
                for (int m = 0; m < 4; m++)
                    words[h][row][m] = 4 * h + m < S::INPUTS ? kept[4 * h + m][unit][row] : 0;
                turn(words[h][row], by);
            }
    }

    /* The part of y() where inputs are missing that the other block does not have. */
    __device__ void clear_missing() const {
        for (int i = peers_inputs; i < S::INPUTS; i++)
            for (int unit = 0; unit < S::UNITS; unit += 2)
                shared_store(smem.y() + sent(i, unit), make_float4(0, 0, 0, 0));
    }

    __device__ void load_scales(uint32_t (&to)[S::S_WORDS], uint32_t s) const {
        if constexpr (S::S_WORDS == 1)
            to[0] = shared_load_4(s + lane * 4);
        else
#pragma unroll
            for (int i = 0; i < S::S_WORDS / 4; i++)
                shared_load_16(to + 4 * i, s + (i * 32 + lane) * 16);
    }

    /* V in fp8: whether any of the ranks that are mixed here, from `rank0` on, has a scale. */
    __device__ bool any_rank_scale(int rank0) const {
        if constexpr (!IS_FP8<T>) return false;
        bool any = false;
        for (int i = lane; i < S::KEPT; i += 32)
            any |= __ldg(args.rank_scales + rank0 + i) != NO_SCALE;
        return __any_sync(~0u, any);
    }

    /* Multiplies the S of `units` units at s, from rank0 on, by it; both warpgroups. */
    __device__ void scale_ranks(uint32_t s, int units, int rank0) const {
        constexpr int RANK_BYTES = S::S_UNIT_BYTES / UNIT_RANKS;
        for (int at = (int)threadIdx.x * 4; at < units * S::S_UNIT_BYTES;
             at += CONSUMER_THREADS * 4) {
            uint32_t word = shared_load_4(s + at);
            asm("mul.rn.bf16x2 %0, %0, %1;"
                : "+r"(word)
                : "r"(__ldg(args.rank_scales + rank0 + at / RANK_BYTES)));
            shared_store(s + at, word);
        }
        fence_async_proxy(); /* the next to write here is a bulk copy */
        named_barrier_sync(1 + CONSUMERS, CONSUMER_THREADS);
    }

    /* acc = Z of rank `element` of a pair: mine and theirs are its inputs (t - pair) % 4 + 4 h. */
    __device__ static void mix_rank(float (&z)[S::N_TILES][4], const uint32_t (&mine)[S::TURNS][2],
                                    const uint2 (&theirs)[S::TURNS],
                                    const uint32_t (&scales)[S::S_WORDS], int element) {
        const unsigned halves = element ? 0x7632 : 0x5410;
        if constexpr (S::BLOCKS == 8) {
            const uint32_t a[4] = {__byte_perm(mine[0][0], theirs[0].x, halves),
                                   __byte_perm(mine[0][1], theirs[0].y, halves), 0, 0};
            const uint32_t b[2] = {scales[0], 0};
            mma_16816<mixed_t>(z[0], a, b);
        } else {
#pragma unroll
            for (int step = 0; step < S::K_STEPS; step++) {
                const int h = 2 * step;
                const uint32_t a[4] = {__byte_perm(mine[h][0], mine[h + 1][0], halves),
                                       __byte_perm(mine[h][1], mine[h + 1][1], halves),
                                       __byte_perm(theirs[h].x, theirs[h + 1].x, halves),
                                       __byte_perm(theirs[h].y, theirs[h + 1].y, halves)};
#pragma unroll
                for (int n = 0; n < S::N_TILES; n++)
                    mma_16816<mixed_t>(z[n], a, scales + (step * S::N_TILES + n) * 2);
            }
        }
    }

    /* Ranks 2 pair and 2 pair + 1 of a unit into the 16 bytes of a row: fp8 puts two units there.
     */
    __device__ static void put_pair(uint32_t (&row)[4], float first, float second, int unit,
                                    int pair) {
        if constexpr (IS_FP8<T>) {
            const uint32_t codes =
                __nv_cvt_float2_to_fp8x2(make_float2(first, second), __NV_SATFINITE, __NV_E4M3);
            uint32_t &word = row[unit % 2 * 2 + pair / 2];
            word = pair % 2 ? word | codes << 16 : codes;
        } else {
            row[pair] = round_pair<T>(first, second);
        }
    }

    /* Z of the eight ranks of a unit; s: their part of S. */
    __device__ void mix_unit(uint32_t (&out)[S::N_TILES * 4][4], const uint32_t (&y)[5], uint32_t s,
                             int unit) const {
        uint32_t words[S::TURNS][2][4];
        turn_kept(words, unit);
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            uint32_t mine[S::TURNS][2];
            uint2 theirs[S::TURNS];
            float sums[2][S::N_TILES][4] = {};
#pragma unroll
            for (int h = 0; h < S::TURNS; h++) {
                mine[h][0] = words[h][0][(4 - pair) % 4];
                mine[h][1] = words[h][1][(4 - pair) % 4];
                /* The last input alone: all lanes take it, and S has zeros for all but one. */
                const uint32_t from = 4 * h + 4 <= S::INPUTS ? y[pair] : y[4];
                theirs[h] = shared_load_8((from ^ (unit % 2 * 8)) +
                                          (4 * h * (S::UNITS / 2) + unit / 2) * S::SENT_BYTES);
            }
#pragma unroll
            for (int element = 0; element < 2; element++) {
                uint32_t scales[S::S_WORDS];
                load_scales(scales, s + (2 * pair + element) * (S::S_UNIT_BYTES / UNIT_RANKS));
                mix_rank(sums[element], mine, theirs, scales, element);
            }
#pragma unroll
            for (int i = 0; i < S::N_TILES * 4; i++)
                put_pair(out[i], sums[0][i / 4][i % 4], sums[1][i / 4][i % 4], unit, pair);
        }
    }

    /* Lane 4g + t has row g of k = 2t; lane 8t + g stores it: eight lanes make 128 bytes. */
    __device__ void store(uint8_t *const (&z)[S::N_TILES * 2], uint32_t (&out)[S::N_TILES * 4][4],
                          int strip) const {
#pragma unroll
        for (int i = 0; i < S::N_TILES * 4; i++) {
            if (i / 4 * 8 + i % 2 >= S::BLOCKS) continue;
#pragma unroll
            for (int word = 0; word < 4; word++)
                out[i][word] = __shfl_sync(~0u, out[i][word], lane % 8 * 4 + lane / 8);
            store_vector_if(lane / 8 * 2 + i / 4 * 8 + i % 2 < args.blocks,
                            z[i / 4 * 2 + i % 2] + strip * STRIP_BYTES + i % 4 / 2 * 8 * 16,
                            out[i]);
        }
    }

    __device__ void second_stage(int tile, int round) {
        constexpr int JOINED = IS_FP8<T> ? 2 : 1; /* units of a strip of Z */
        const int strip0 = (tile % args.rank_tiles * PAIR + half) * (S::UNITS / JOINED);
        const int64_t row = (int64_t)(tile / args.rank_tiles) * args.strips + strip0;
        const int rank0 = (tile % args.rank_tiles * PAIR + half) * S::KEPT;
        const bool scaled = any_rank_scale(rank0);
        uint8_t *z[S::N_TILES * 2]; /* where lane 8t + g stores k = 2t, 2t + 1, + 8 */
        uint32_t y[5];              /* what was sent of each pair of ranks; of input 0 */
#pragma unroll
        for (int i = 0; i < S::N_TILES * 2; i++) {
            z[i] = args.z + (lane / 8 * 2 + i / 2 * 8 + i % 2) * args.k_stride + row * STRIP_BYTES +
                   (warp * 16 + lane % 8) * 16;
            asm volatile("" : "+l"(z[i])); /* not to be computed again for each store */
        }
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            y[pair] = smem.y() + sent((lane - pair) & 3, 0) + (lane & 8);
            asm volatile("" : "+r"(y[pair]));
        }
        y[4] = smem.y() + sent(0, 0) + (lane & 8);
        mbarrier_wait_cluster(smem.y_full(warp), round & 1);
        uint32_t out[S::N_TILES * 4][4];
#pragma unroll
        for (int unit = 0; unit < S::UNITS; unit++) {
            const int place = unit % S::S_SLOT_UNITS;
            /* Asked for each unit: a loop keeps the compiler from turning all units at once. */
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            if (place == 0 && scaled)
                scale_ranks(smem.x(ring.slot), min(S::S_SLOT_UNITS, S::UNITS - unit),
                            rank0 + unit * UNIT_RANKS);
            mix_unit(out, y, smem.x(ring.slot) + place * S::S_UNIT_BYTES, unit);
            if ((unit + 1) % JOINED == 0) store(z, out, unit / JOINED);
            if (place + 1 == S::S_SLOT_UNITS || unit + 1 == S::UNITS) {
                named_barrier_sync(1 + warpgroup, WARPGROUP); /* all warps have read S */
                free_slot(ring.slot);
                ring_advance<S::SLOTS>(ring);
            }
        }
        __syncwarp();
        if (lane == 0 && tile + (int)gridDim.x / PAIR < args.tiles) /* else it may have ended */
            mbarrier_arrive_cluster_release(cluster_address(smem.y_read(warp), half ^ 1));
    }
};

template <typename S> __device__ inline void init_barriers(const layout_t<S> &smem) {
    for (int i = 0; i < S::SLOTS; i++) {
        mbarrier_init(smem.full(i), 1);
        mbarrier_init(smem.empty(i), CONSUMERS);
    }
    for (int i = 0; i < WARPS; i++) {
        mbarrier_init(smem.y_full(i), 1);
        mbarrier_init(smem.y_read(i), 1);
    }
    mbarrier_init_done();
}

#endif

template <typename T, typename S>
__global__ void __launch_bounds__(STAGE_THREADS, 1)
    blast_mix(const __grid_constant__ CUtensorMap x_map, const __grid_constant__ mix_args_t args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const layout_t<S> smem = {(smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u)};
    const int half = (int)cluster_rank();
    dependents_launch();
    if (threadIdx.x == 0) {
        tma_prefetch(&x_map);
        init_barriers(smem);
    }
    cluster_sync();
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == CONSUMERS) {
        registers_lower<40>();
        if (threadIdx.x == CONSUMER_THREADS) produce<T>(smem, &x_map, args, half);
    } else {
        registers_raise<232>();
        mixer_t<T, S> mixer(smem, args, half, warpgroup);
        mixer.clear_missing();
        for (int tile = blockIdx.x / PAIR, round = 0; tile < args.tiles;
             tile += gridDim.x / PAIR, round++) {
            mixer.first_stage(round);
            mixer.second_stage(tile, round);
        }
    }
    /* All that the other block sends here was waited for: this one may end. */
#else
    __trap();
#endif
}

/* v, s: packed. */
template <typename T, typename S>
static status_t launch_mix(const problem_t *p, hopper_chunk_t chunk, const CUtensorMap &x_map,
                           const void *v, const void *s, void *z, stream_t stream) {
    static uint64_t opted_in;
    const int64_t rank_tiles = ceil_div(p->rank, S::RANKS), in_block = p->in_features / p->blocks;
    const int64_t chunks = ceil_div(in_block, DEPTH<T>);
    int sms = 0;
    status_t st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)blast_mix<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t waves = ceil_div(rank_tiles * chunk.count, sms / PAIR);
    const mix_args_t args = {
        .v = (const uint8_t *)v,
        .s = (const uint8_t *)s,
        .rank_scales =
            (const uint32_t *)((const uint8_t *)v + rank_tiles * p->blocks * chunks * S::V_BYTES),
        .z = (uint8_t *)z,
        .blocks = (int)p->blocks,
        .in_block = (int)in_block,
        .chunks = (int)chunks,
        .rank_tiles = (int)rank_tiles,
        .tiles = (int)rank_tiles * chunk.count,
        .ahead = waves == 1 ? AHEAD : 0,
        .first_tile = chunk.first,
        .token_tiles = chunk.count,
        .strips = chunk.strips,
        .k_stride = (int64_t)chunk.count * chunk.strips * STRIP_BYTES};
    return launch_overlapped(blast_mix<T, S>, ceil_div(args.tiles, waves) * PAIR, STAGE_THREADS,
                             PAIR, S::SMEM, stream, x_map, args);
}

#endif
