/*
 * Stages 1 and 2 of blast/fused on Hopper: Z_k = sum_l (X_l V_l) * s_lk in one kernel.
 *
 * A Z needs the Y_l = X_l V_l of all l, and what Y of a tile takes is what bounds the tile. So a
 * cluster of two blocks owns 128 tokens x RANKS ranks. Each computes half of the l. Of each Y_l it
 * keeps the columns of its own half of the ranks in registers, and sends the others to the shared
 * memory of the other block, rounded, thread to thread. Then each mixes its half of the ranks: for
 * every rank a product (16 tokens x l) (l x k) of mma.sync, whose results go to Z.
 *
 *   producer warp   X (128 x DEPTH) and V (RANKS x DEPTH), then S of the tile, into a ring of slots
 *   consumers       two warpgroups of 64 tokens
 *
 * mma.sync wants other l in other lanes t of a group of four, where wgmma left other ranks. So the
 * columns of V_l are turned by l: of eight neighbouring ranks lane t gets the pair (t - i) % 4 of
 * Y_l, i counting this block's l. Then for every pair each lane holds a quarter of the l, which S
 * is packed for, and no value moves between lanes.
 */
#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

static constexpr int PAIR = 2, CONSUMER_THREADS = CONSUMERS * WARPGROUP;
static constexpr int WARPS = CONSUMER_THREADS / 32;

/* BLOCKS: most blocks, 8, 16 or 32. */
template <int RANKS_, int BLOCKS_, int DEPTH_> struct mix_shape {
    static constexpr int RANKS = RANKS_, BLOCKS = BLOCKS_, DEPTH = DEPTH_, SWIZZLE = DEPTH * 2;
    static constexpr int INPUTS = BLOCKS / PAIR; /* l of one block */
    static constexpr int TURNS = INPUTS / 4;     /* l of one block that a lane holds for a rank */
    static constexpr int KEPT = RANKS / PAIR, UNITS = KEPT / UNIT_RANKS;
    static constexpr int K_STEPS = BLOCKS > 16 ? BLOCKS / 16 : 1, N_TILES = BLOCKS / 8;

    static constexpr int X_BYTES = TILE_TOKENS * DEPTH * 2, V_BYTES = RANKS * DEPTH * 2;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int SENT_BYTES = CONSUMER_THREADS * 16; /* of two units of one l */
    static constexpr int Y_BYTES = INPUTS * UNITS / 2 * SENT_BYTES;
    /* Words of S that a lane needs for a rank: B operands, the second half of which is zero for 8
     * blocks and left out. */
    static constexpr int S_WORDS = BLOCKS == 8 ? 1 : K_STEPS * N_TILES * 2;
    static constexpr int S_VECTOR = S_WORDS < 4 ? S_WORDS : 4;
    static constexpr int S_UNIT_BYTES = UNIT_RANKS * 32 * S_WORDS * 4;
    static constexpr int S_FIT = SLOT_BYTES / S_UNIT_BYTES;
    static constexpr int S_SLOT_UNITS = S_FIT < UNITS ? S_FIT : UNITS;

    static constexpr int BARRIERS_BYTES = 256;
    static constexpr int ROOM = STAGE_SMEM - SMEM_ALIGN - Y_BYTES - BARRIERS_BYTES;
    static constexpr int SLOTS = ROOM / SLOT_BYTES < 8 ? ROOM / SLOT_BYTES : 8;
    static constexpr int SMEM = STAGE_SMEM - ROOM + SLOTS * SLOT_BYTES;
    static_assert(SLOTS >= 3 && S_FIT > 0 && UNITS % 2 == 0 && SLOT_BYTES % SMEM_ALIGN == 0);
    static_assert((2 * SLOTS + 2 * WARPS) * MBARRIER_BYTES <= BARRIERS_BYTES);
};

/* Where column `row` of the packed V_l of a tile comes from, l being input `input` of block `owner`
 * of the pair: a rank of the tile. */
template <typename S> static int rank_of_column(int row, int owner, int input) {
    const int half = row / S::KEPT == 0 ? owner : 1 - owner, lane = row % 8 / 2;
    return half * S::KEPT + row % S::KEPT / 8 * 8 + ((lane - input) & 3) * 2 + row % 2;
}

/* l of one block of the pair: [first, first + count). */
struct inputs_t {
    int first, count;
};

__host__ __device__ inline inputs_t inputs_of(int blocks, int owner) {
    const int low = (blocks + 1) / 2;
    return owner ? inputs_t{low, blocks - low} : inputs_t{0, low};
}

/* ---- packed V: [rank tile][l][chunk] tiles of RANKS x DEPTH, K-major, swizzled ---- */
template <typename S>
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, in_block = p->in_features / b, r = p->rank;
    const int64_t chunks = ceil_div(in_block, S::DEPTH), rank_tiles = ceil_div(r, S::RANKS);
    const int64_t tiles = rank_tiles * b * chunks;
    if (!dst) return tiles * S::RANKS * S::DEPTH;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t in0 = tile % chunks * S::DEPTH, rank0 = tile / chunks / b * S::RANKS;
        const int l = (int)(tile / chunks % b), owner = l >= inputs_of((int)b, 0).count;
        for (int row = 0; row < S::RANKS; row++) {
            const int64_t rank =
                rank0 + rank_of_column<S>(row, owner, l - inputs_of((int)b, owner).first);
            uint16_t *const to = dst + (tile * S::RANKS + row) * S::DEPTH;
            for (int i = 0; i < S::DEPTH; i++)
                to[swizzled_chunk<S::SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    in0 + i < in_block && rank < r ? src[(l * in_block + in0 + i) * r + rank] : 0;
        }
    }
    return tiles * S::RANKS * S::DEPTH;
}

/* The input (of the pair's first block, or of its second) that word `word`, element `element` of
 * lane t's operand stands for, t and the rank differing by `turn` = (t - pair) % 4. */
struct slot_t {
    bool peers;
    int input;
};

template <typename S> static slot_t slot_of(int step, int word, int element, int turn) {
    if (S::BLOCKS == 8) return {element == 1, turn};
    return {word == 1, turn + 8 * step + 4 * element};
}

/* ---- packed S: [rank tile][half][rank][vector][lane][word]: the B operands of mma.m16n8k16 ----
 */
template <typename S>
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, r = p->rank, rows = round_up(r, S::RANKS);
    constexpr int ROW = 32 * S::S_WORDS * 2; /* elements of a rank */
    if (!dst) return rows * ROW;
#pragma omp parallel for
    for (int64_t rank = 0; rank < rows; rank++) {
        const int half = (int)(rank % S::RANKS) / S::KEPT;
        for (int i = 0; i < ROW; i++) {
            const int element = i % 2, lane = i / 2 / S::S_VECTOR % 32;
            const int word = i / 2 % S::S_VECTOR + i / 2 / S::S_VECTOR / 32 * S::S_VECTOR;
            const int words = S::BLOCKS == 8 ? 1 : 2; /* of an operand */
            const int step = word / words / S::N_TILES;
            const int64_t k = word / words % S::N_TILES * 8 + lane / 4;
            const slot_t slot =
                slot_of<S>(step, word % words, element, (lane % 4 - (int)(rank / 2 % 4)) & 3);
            const inputs_t inputs = inputs_of((int)b, slot.peers ? 1 - half : half);
            const int64_t l = inputs.first + slot.input;
            dst[rank * ROW + i] = rank < r && k < b && slot.input < inputs.count
                                      ? src[(l * b + k) * r + rank]
                                      : (uint16_t)0;
        }
    }
    return rows * ROW;
}

/* What the kernel needs to know of a problem and a chunk of its tokens. */
struct mix_args_t {
    const uint8_t *v, *s;
    uint16_t *z;
    int blocks, in_block, chunks, rank_tiles, tiles;
    int first_tile, token_tiles, units; /* of Z */
};

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

/* Loads X, V and S of all tiles of this block; one thread. V is a constant, so the first slots get
 * it before the kernel ahead has ended. */
template <typename S>
__device__ void produce(const layout_t<S> &smem, const CUtensorMap *x_map, const mix_args_t &args,
                        int half) {
    const inputs_t inputs = inputs_of(args.blocks, half);
    const int chunks = inputs.count * args.chunks, step = gridDim.x / PAIR;
    const int early = chunks < S::SLOTS ? chunks : S::SLOTS;
    const auto v_of = [&](int tile) {
        const int64_t first = (int64_t)tile % args.rank_tiles * args.blocks + inputs.first;
        return args.v + first * args.chunks * S::V_BYTES;
    };
    const uint8_t *v = v_of(blockIdx.x / PAIR);
    for (int slot = 0; slot < early; slot++, v += S::V_BYTES) {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), v, S::V_BYTES, smem.full(slot));
    }
    dependency_wait();
    ring_t ring = {0, 1};
    for (int tile = blockIdx.x / PAIR, done = 0; tile < args.tiles; tile += step) {
        const int token = (args.first_tile + tile / args.rank_tiles) * TILE_TOKENS;
        v = v_of(tile);
        for (int l = inputs.first; l < inputs.first + inputs.count; l++)
            for (int c = 0; c < args.chunks; c++, done++, v += S::V_BYTES) {
                const uint32_t full = smem.full(ring.slot);
                if (done >= early) {
                    mbarrier_wait(smem.empty(ring.slot), ring.parity);
                    mbarrier_arrive_expect(full, S::SLOT_BYTES);
                    bulk_load(smem.v(ring.slot), v, S::V_BYTES, full);
                }
                tma_load_2d(smem.x(ring.slot), x_map, l * args.in_block + c * S::DEPTH, token,
                            full);
                ring_advance<S::SLOTS>(ring);
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

__device__ inline uint32_t shared_load_4(uint32_t smem) {
    uint32_t word;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(smem) : "memory");
    return word;
}

__device__ inline uint2 shared_load_8(uint32_t smem) {
    uint2 v;
    asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(smem) : "memory");
    return v;
}

__device__ inline void shared_load_16(uint32_t *words, uint32_t smem) {
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(smem)
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
    float acc[S::RANKS / 2];
    uint32_t kept[S::INPUTS][S::UNITS][2]; /* pairs of Y in rows g and g + 8 */
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

    /* acc = X_l V_l. */
    __device__ void product() {
        uint32_t previous = 0;
        for (int c = 0; c < args.chunks; c++) {
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            wgmma_fence();
            const uint64_t x =
                wgmma_tile<S::SWIZZLE>(smem.x(ring.slot) + warpgroup * WARPGROUP_ROWS * S::SWIZZLE);
            const uint64_t v = wgmma_tile<S::SWIZZLE>(smem.v(ring.slot));
#pragma unroll
            for (int step = 0; step < S::DEPTH / 16; step++)
                wgmma<T>(acc, wgmma_step(x, step), wgmma_step(v, step), c > 0 || step > 0);
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

    /* Where a thread's vector of two units of an input lies. Its halves change places in every
     * other eight lanes, so that reads of halves use all banks. */
    __device__ static uint32_t sent(int input, int unit) {
        return (input * (S::UNITS / 2) + unit / 2) * S::SENT_BYTES + threadIdx.x * 16;
    }

    __device__ void keep(uint32_t (&to)[S::UNITS][2]) {
#pragma unroll
        for (int i = 0; i < S::UNITS * 2; i++)
            to[i / 2][i % 2] = round_pair<T>(acc[2 * i], acc[2 * i + 1]);
    }

    __device__ void send(uint32_t y, int input) {
        const bool swapped = lane & 8;
#pragma unroll
        for (int unit = 0; unit < S::UNITS; unit += 2) {
            const float *const a = acc + (S::UNITS + unit) * 4;
            const uint32_t w[4] = {round_pair<T>(a[0], a[1]), round_pair<T>(a[2], a[3]),
                                   round_pair<T>(a[4], a[5]), round_pair<T>(a[6], a[7])};
            cluster_store(y + sent(input, unit),
                          make_uint4(swapped ? w[2] : w[0], swapped ? w[3] : w[1],
                                     swapped ? w[0] : w[2], swapped ? w[1] : w[3]));
        }
    }

    /* All Y_l of this block, kept and sent. */
    __device__ void first_stage(int round) {
        const uint32_t y = cluster_address(smem.y(), half ^ 1);
#pragma unroll
        for (int i = 0; i < S::INPUTS; i++) {
            if (i < inputs) {
                product();
                if (i == 0 && round > 0) mbarrier_wait(smem.y_read(warp), (round - 1) & 1);
                keep(kept[i]);
                send(y, i);
            } else {
#pragma unroll
                for (int j = 0; j < S::UNITS * 2; j++) kept[i][j / 2][j % 2] = 0;
            }
        }
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
                for (int m = 0; m < 4; m++) words[h][row][m] = kept[4 * h + m][unit][row];
                turn(words[h][row], by);
            }
    }

    /* Input (t - pair) % 4 + 4 h of the other block, rows g and g + 8; from: where that of h = 0
     * and unit 0 lies. */
    __device__ uint2 received(uint32_t from, int pair, int h, int unit) const {
        if (((lane - pair) & 3) + 4 * h >= peers_inputs) return make_uint2(0, 0);
        return shared_load_8((from ^ (unit % 2 * 8)) +
                             (4 * h * (S::UNITS / 2) + unit / 2) * S::SENT_BYTES);
    }

    __device__ void load_scales(uint32_t (&to)[S::S_WORDS], uint32_t s) const {
        if constexpr (S::S_WORDS == 1)
            to[0] = shared_load_4(s + lane * 4);
        else
#pragma unroll
            for (int i = 0; i < S::S_WORDS / 4; i++)
                shared_load_16(to + 4 * i, s + (i * 32 + lane) * 16);
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
            mma_16816<T>(z[0], a, b);
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
                    mma_16816<T>(z[n], a, scales + (step * S::N_TILES + n) * 2);
            }
        }
    }

    /* Z of the eight ranks of a unit; s: their part of S. */
    __device__ void mix_unit(uint16_t *z, int64_t k_stride, int unit, uint32_t s,
                             const uint32_t (&y)[4]) const {
        uint32_t words[S::TURNS][2][4], out[S::N_TILES][4][4];
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
                theirs[h] = received(y[pair], pair, h, unit);
            }
#pragma unroll
            for (int element = 0; element < 2; element++) {
                uint32_t scales[S::S_WORDS];
                load_scales(scales, s + (2 * pair + element) * (S::S_UNIT_BYTES / UNIT_RANKS));
                mix_rank(sums[element], mine, theirs, scales, element);
            }
#pragma unroll
            for (int i = 0; i < S::N_TILES * 4; i++)
                out[i / 4][i % 4][pair] =
                    round_pair<T>(sums[0][i / 4][i % 4], sums[1][i / 4][i % 4]);
        }
#pragma unroll
        for (int i = 0; i < S::N_TILES * 4; i++) {
            const int above = i / 4 * 8 + i % 2; /* k = 2t + above */
            const uint32_t *const w = out[i / 4][i % 4];
            if (lane % 4 * 2 + above < args.blocks)
                store_vector(z + above * k_stride + i % 4 / 2 * 8 * UNIT_RANKS,
                             make_uint4(w[0], w[1], w[2], w[3]));
        }
    }

    __device__ void second_stage(int tile, int round) {
        const int64_t k_stride = (int64_t)args.token_tiles * args.units * UNIT_ELEMENTS;
        const int row = warp * 16 + lane / 4;
        const int unit0 = (tile % args.rank_tiles * PAIR + half) * S::UNITS;
        uint16_t *const z =
            args.z + lane % 4 * 2 * k_stride +
            ((int64_t)(tile / args.rank_tiles) * args.units + unit0) * UNIT_ELEMENTS +
            row * UNIT_RANKS;
        uint32_t y[4]; /* of each pair of ranks */
#pragma unroll
        for (int pair = 0; pair < 4; pair++)
            y[pair] = smem.y() + sent((lane - pair) & 3, 0) + (lane & 8);
        mbarrier_wait_cluster(smem.y_full(warp), round & 1);
#pragma unroll
        for (int unit = 0; unit < S::UNITS; unit++) {
            const int place = unit % S::S_SLOT_UNITS;
            /* Asked for each unit: a loop keeps the compiler from turning all units at once. */
            mbarrier_wait(smem.full(ring.slot), ring.parity);
            mix_unit(z + unit * UNIT_ELEMENTS, k_stride, unit,
                     smem.x(ring.slot) + place * S::S_UNIT_BYTES, y);
            if (place + 1 == S::S_SLOT_UNITS || unit + 1 == S::UNITS) {
                named_barrier_sync(1 + warpgroup, WARPGROUP); /* all warps have read S */
                free_slot(ring.slot);
                ring_advance<S::SLOTS>(ring);
            }
        }
        __syncwarp();
        if (lane == 0)
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
        registers_lower<24>();
        if (threadIdx.x == CONSUMER_THREADS) produce(smem, &x_map, args, half);
    } else {
        registers_raise<240>();
        mixer_t<T, S> mixer(smem, args, half, warpgroup);
        for (int tile = blockIdx.x / PAIR, round = 0; tile < args.tiles;
             tile += gridDim.x / PAIR, round++) {
            mixer.first_stage(round);
            mixer.second_stage(tile, round);
        }
    }
    cluster_sync(); /* the other block may still send or signal */
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, hopper_chunk_t chunk, void *const *tensors,
                             void *z, stream_t stream) {
    static uint64_t opted_in;
    const int rank_tiles = (int)ceil_div(p->rank, S::RANKS);
    const mix_args_t args = {.v = (const uint8_t *)tensors[1],
                             .s = (const uint8_t *)tensors[2],
                             .z = (uint16_t *)z,
                             .blocks = (int)p->blocks,
                             .in_block = (int)(p->in_features / p->blocks),
                             .chunks = (int)ceil_div(p->in_features / p->blocks, S::DEPTH),
                             .rank_tiles = rank_tiles,
                             .tiles = rank_tiles * chunk.count,
                             .first_tile = chunk.first,
                             .token_tiles = chunk.count,
                             .units = chunk.units};
    CUtensorMap x_map;
    int sms = 0;
    status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                p->in_features, TILE_TOKENS, S::DEPTH, S::SWIZZLE);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)blast_mix<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t waves = ceil_div(args.tiles, sms / PAIR);
    return launch_overlapped(blast_mix<T, S>, ceil_div(args.tiles, waves) * PAIR, STAGE_THREADS,
                             PAIR, S::SMEM, stream, x_map, args);
}

/* Calls f.template operator()<shape>() for the shape of tiles and problem. */
template <int RANKS, int DEPTH, typename F> static auto with_blocks(const problem_t *p, F f) {
    if constexpr (RANKS <= 64)
        if (p->blocks > 16) return f.template operator()<mix_shape<RANKS, 32, DEPTH>>();
    return p->blocks > 8 ? f.template operator()<mix_shape<RANKS, 16, DEPTH>>()
                         : f.template operator()<mix_shape<RANKS, 8, DEPTH>>();
}

template <typename F> static auto with_shape(const problem_t *p, hopper_tiles_t tiles, F f) {
    switch (tiles.ranks) {
    case 32:
        return with_blocks<32, 64>(p, f);
    case 64:
        return with_blocks<64, 64>(p, f);
    case 96:
        return with_blocks<96, 64>(p, f);
    }
    return tiles.depth == 32 ? with_blocks<128, 32>(p, f) : with_blocks<128, 64>(p, f);
}

int64_t hopper_pack_v(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                      uint16_t *dst) {
    return with_shape(p, tiles, [&]<typename S>() { return pack_v<S>(p, src, dst); });
}

int64_t hopper_pack_s(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                      uint16_t *dst) {
    return with_shape(p, tiles, [&]<typename S>() { return pack_s<S>(p, src, dst); });
}

status_t hopper_mix(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                    void *const *tensors, void *z, stream_t stream) {
    return with_shape(p, tiles, [&]<typename S>() {
        return p->dtype == DTYPE_BF16 ? launch_shape<__nv_bfloat16, S>(p, chunk, tensors, z, stream)
                                      : launch_shape<__half, S>(p, chunk, tensors, z, stream);
    });
}
