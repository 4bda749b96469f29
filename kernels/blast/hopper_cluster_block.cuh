/* What a block of the cluster kernel of blast/fused (hopper_cluster.cu) does. */
#ifndef BLROOF_BLAST_HOPPER_CLUSTER_BLOCK_CUH
#define BLROOF_BLAST_HOPPER_CLUSTER_BLOCK_CUH

#include "kernels/blast/hopper_cluster_shape.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/tma.cuh"

/* What the kernel needs to know of a problem. */
struct cluster_args_t {
    const uint8_t *v, *s, *u;
    uint16_t *y;
    int tokens, tiles, blocks, in_block, out_block, out_features, column_tiles;
    cut_t cut;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t start;

    __device__ uint32_t u(int chunk) const {
        return start + chunk * S::U_CHUNK_BYTES;
    }
    /* Y of a part, of one of the units that this block mixes; later Z of a k, to be sent. */
    __device__ uint32_t y(int mixed, int part) const {
        return u(S::U_CHUNKS) + (part * S::MIXED + mixed) * S::UNIT_BYTES;
    }
    __device__ uint32_t s() const {
        return y(0, S::PARTS);
    }
    __device__ uint32_t s_full() const {
        return s() + S::S_BYTES;
    }
    __device__ uint32_t u_full() const {
        return s_full() + MBARRIER_BYTES;
    }
    __device__ uint32_t y_full() const {
        return s_full() + 2 * MBARRIER_BYTES;
    }
    __device__ uint32_t z_full() const {
        return s_full() + 3 * MBARRIER_BYTES;
    }
    __device__ uint32_t full(int slot) const {
        return s_full() + (4 + slot) * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(MOST_SLOTS + slot);
    }
    __device__ uint32_t x(int slot) const {
        return z(0) + (S::RESIDENT ? S::Z_BYTES : 0) + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return x(slot) + S::X_BYTES;
    }
    __device__ uint32_t z(int unit) const {
        return s() + S::S_ROOM + unit * S::UNIT_BYTES;
    }
};

/* One block of the cluster, one thread of it. */
template <typename T, typename S> struct cluster_t {
    const layout_t<S> &smem;
    const cluster_args_t &args;
    const int block, part, group;    /* of the cluster */
    const int first, clusters;       /* tile of tokens; from one to the next */
    const int warpgroup, half, row0; /* row0: of the warp */
    const int lane;

    __device__ cluster_t(const layout_t<S> &layout, const cluster_args_t &arguments)
        : smem(layout), args(arguments), block((int)cluster_rank()), part(block % S::PARTS),
          group(block / S::PARTS), first((int)blockIdx.x / S::BLOCKS),
          clusters((int)gridDim.x / S::BLOCKS),
          warpgroup(__shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0)), half(warpgroup % HALVES),
          row0(warpgroup / HALVES * WARPGROUP_ROWS + (int)threadIdx.x % WARPGROUP / 32 * 16),
          lane((int)threadIdx.x % 32) {}

    __device__ int x_column(int chunk) const {
        return part / args.cut.splits * args.in_block + part % args.cut.splits * args.cut.width +
               chunk * DEPTH;
    }

    __device__ void load_v(int chunk, int slot) const {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), args.v + (int64_t)(block * args.cut.chunks + chunk) * S::V_BYTES,
                  S::V_BYTES, smem.full(slot));
    }

    __device__ void init_barriers() const {
        for (uint32_t barrier = smem.s_full(); barrier < smem.full(0); barrier += MBARRIER_BYTES)
            mbarrier_init(barrier, 1);
#pragma unroll 1
        for (int i = 0; i < args.cut.slots; i++) {
            mbarrier_init(smem.full(i), 1);
            mbarrier_init(smem.empty(i), S::CONSUMER_THREADS / WARPGROUP);
        }
        mbarrier_init_done();
        expect_y();
        expect_z();
    }

    /* What does not depend on the kernel ahead; and X as far as L2, where all kernels see the same
     * memory. */
    __device__ void load_weights(const CUtensorMap *x_map) const {
#pragma unroll 1
        for (int slot = 0; slot < args.cut.slots; slot++) load_v(slot, slot);
#pragma unroll 1
        for (int c = group; c < args.cut.chunks; c += S::GROUPS)
            tma_prefetch_2d(x_map, x_column(c), first * S::TOKENS);
        mbarrier_arrive_expect(smem.s_full(), S::S_BYTES);
        bulk_load(smem.s(), args.s + block * S::S_BYTES, S::S_BYTES, smem.s_full());
        const int tile = block / args.cut.owners * args.column_tiles +
                         min(block % args.cut.owners, args.column_tiles - 1);
        mbarrier_arrive_expect(smem.u_full(), S::U_BYTES);
        bulk_load(smem.u(0), args.u + (int64_t)tile * S::U_BYTES, S::U_BYTES, smem.u_full());
    }

    /* Of the first tile of tokens. */
    __device__ void load_inputs(const CUtensorMap *x_map) const {
        int slot = 0, parity = 1;
#pragma unroll 1
        for (int c = 0; c < args.cut.chunks; c++) {
            if (c >= args.cut.slots) {
                mbarrier_wait(smem.empty(slot), parity);
                load_v(c, slot);
            }
            tma_load_2d(smem.x(slot), x_map, x_column(c), first * S::TOKENS, smem.full(slot));
            if (++slot == args.cut.slots) slot = 0, parity ^= 1;
        }
    }

    /* Of another one, where V stays. */
    __device__ void load_next_inputs(const CUtensorMap *x_map, int tile) const {
#pragma unroll 1
        for (int c = 0; c < args.cut.chunks; c++) {
            mbarrier_arrive_expect(smem.full(c), S::X_BYTES);
            tma_load_2d(smem.x(c), x_map, x_column(c), tile * S::TOKENS, smem.full(c));
        }
    }

    /* Y and Z come from all blocks, by copies whose bytes are announced here. */
    __device__ void expect_y() const {
        mbarrier_arrive_expect(smem.y_full(), units_of<S>(part) * S::PARTS * S::UNIT_BYTES);
    }

    __device__ void expect_z() const {
        mbarrier_arrive_expect(smem.z_full(), S::Z_BYTES);
    }

    __device__ void first_stage(float (&y)[S::RANKS / 4], int &slot, int &parity) const {
        int previous = 0;
#pragma unroll 1
        for (int c = 0; c < args.cut.chunks; c++) {
            mbarrier_wait(smem.full(slot), parity);
            wgmma_fence();
            const uint64_t x =
                wgmma_tile<SWIZZLE>(smem.x(slot) + warpgroup / HALVES * WARPGROUP_ROWS * SWIZZLE);
            const uint64_t v =
                wgmma_tile<SWIZZLE>(smem.v(slot) + half * (S::RANKS / HALVES) * SWIZZLE);
#pragma unroll
            for (int step = 0; step < STEPS; step++)
                wgmma<T>(y, wgmma_step(x, step), wgmma_step(v, step), c > 0 || step > 0);
            wgmma_commit();
            wgmma_wait<1>();
            if (c > 0 && threadIdx.x % WARPGROUP == 0) mbarrier_arrive(smem.empty(previous));
            previous = slot;
            if (++slot == args.cut.slots) slot = 0, parity ^= 1;
        }
        wgmma_wait<0>();
        registers_fence(y);
    }

    __device__ static void consumers_sync() {
        named_barrier_sync(1, S::CONSUMER_THREADS);
    }

    /* Tokens of a unit of Y, and of Z, change places in eights, so that a warp's accesses in mix()
     * use all banks. */
    __device__ static int place(int token, int part) {
        return token ^ part / 2 % 4 * 2;
    }

    /* Y, rounded, where Z will be: 8 x 8 matrices down the tokens. A warp's store is one. */
    __device__ void stage_y(const float (&y)[S::RANKS / 4]) const {
        const uint32_t to = smem.z(half * S::HALF_UNITS) +
                            place(row0 + lane / 4, part) * VECTOR_BYTES + lane % 4 * 4;
#pragma unroll
        for (int i = 0; i < S::HALF_UNITS; i++) {
            const uint32_t unit = to + i * S::UNIT_BYTES;
            shared_store(unit, round_pair<T>(y[4 * i], y[4 * i + 1]));
            shared_store(unit + 8 * VECTOR_BYTES, round_pair<T>(y[4 * i + 2], y[4 * i + 3]));
        }
        fence_async_proxy();
    }

    /* To the blocks of this group that mix. */
    __device__ void send_y() const {
        if (lane) return;
#pragma unroll 1
        for (int i = (int)threadIdx.x / 32; i < S::PARTS; i += S::WARPS) {
            const int to = group * S::PARTS + i;
            if (units_of<S>(i) > 0)
                bulk_copy_cluster(cluster_address(smem.y(0, part), to), smem.z(i * S::MIXED),
                                  units_of<S>(i) * S::UNIT_BYTES,
                                  cluster_address(smem.y_full(), to));
        }
    }

    /* Y of the parts of two K halves, of tokens g and g + 8: eight ranks each. */
    __device__ void load_y(uint4 (&y)[2][2][2], int mixed, int token) const {
#pragma unroll
        for (int i = 0; i < 8; i++) {
            const int above = i / 4, below = i / 2 % 2; /* parts + 8, tokens + 8 */
            if (above * 8 >= S::PARTS) {
                y[above][below][i % 2] = make_uint4(0, 0, 0, 0);
                continue;
            }
            /* Parts beyond the last have no weight in S. */
            const int l = min(above * 8 + lane % 4 * 2, S::PARTS - 2) + i % 2;
            const float4 v =
                shared_load(smem.y(mixed, l) + place(token + below * 8, l) * VECTOR_BYTES);
            y[above][below][i % 2] = make_uint4(__float_as_uint(v.x), __float_as_uint(v.y),
                                                __float_as_uint(v.z), __float_as_uint(v.w));
        }
    }

    __device__ static uint32_t word_of(uint4 v, int i) {
        return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
    }

    __device__ static void load_scales(uint32_t (&words)[2], uint32_t s) {
        words[1] = 0;
        if constexpr (S::S_WORDS == 2)
            asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];"
                         : "=r"(words[0]), "=r"(words[1])
                         : "r"(s)
                         : "memory");
        else
            asm volatile("ld.shared.b32 %0, [%1];" : "=r"(words[0]) : "r"(s) : "memory");
    }

    /* For each rank a product (16 tokens x parts) (parts x k). */
    __device__ void mix_unit(uint32_t (&z)[S::N_TILES][4][4], const uint4 (&y)[2][2][2],
                             uint32_t s) const {
#pragma unroll
        for (int pair = 0; pair < UNIT_RANKS / 2; pair++) {
            float sums[2][S::N_TILES][4] = {};
#pragma unroll
            for (int element = 0; element < 2; element++) {
                const unsigned halves = element ? 0x7632 : 0x5410;
                uint32_t a[4];
#pragma unroll
                for (int i = 0; i < 4; i++)
                    a[i] = __byte_perm(word_of(y[i / 2][i % 2][0], pair),
                                       word_of(y[i / 2][i % 2][1], pair), halves);
#pragma unroll
                for (int n = 0; n < S::N_TILES; n++) {
                    uint32_t words[2];
                    load_scales(words, s + (2 * pair + element) * S::S_RANK_BYTES +
                                           (n * 32 + lane) * (S::S_WORDS * 4));
                    mma_16816<T>(sums[element][n], a, words);
                }
            }
#pragma unroll
            for (int i = 0; i < S::N_TILES * 4; i++)
                z[i / 4][i % 4][pair] = round_pair<T>(sums[0][i / 4][i % 4], sums[1][i / 4][i % 4]);
        }
    }

    /* A warp takes 16 tokens of a unit, and puts their Z of all k where their Y was. */
    __device__ void mix() const {
        constexpr int TASKS = S::TOKENS / 16 * S::MIXED;
#pragma unroll 1
        for (int task = (int)threadIdx.x / 32; task < TASKS; task += S::WARPS) {
            const int mixed = task % S::MIXED, token = task / S::MIXED * 16 + lane / 4;
            uint4 y[2][2][2];
            uint32_t z[S::N_TILES][4][4];
            if (mixed >= units_of<S>(part)) continue;
            load_y(y, mixed, token);
            mix_unit(z, y, smem.s() + mixed * UNIT_RANKS * S::S_RANK_BYTES);
            __syncwarp(); /* all lanes have their Y */
#pragma unroll
            for (int i = 0; i < S::N_TILES * 4; i++) {
                const int k = i / 4 * 8 + lane % 4 * 2 + i % 2;
                const uint32_t(&w)[4] = z[i / 4][i % 4];
                if (k < args.blocks)
                    shared_store(smem.y(mixed, k) + place(token + i % 4 / 2 * 8, k) * VECTOR_BYTES,
                                 make_float4(__uint_as_float(w[0]), __uint_as_float(w[1]),
                                             __uint_as_float(w[2]), __uint_as_float(w[3])));
            }
        }
        fence_async_proxy();
    }

    /* To the blocks that own columns of output block k. */
    __device__ void send_z() const {
        const int units = units_of<S>(part);
        if (lane || units == 0) return;
#pragma unroll 1
        for (int i = (int)threadIdx.x / 32; i < S::BLOCKS; i += S::WARPS) {
            const int to = (i + block) % S::BLOCKS; /* not all to the same block at once */
            bulk_copy_cluster(cluster_address(smem.z(group * S::UNITS + part * S::MIXED), to),
                              smem.y(0, to / args.cut.owners), units * S::UNIT_BYTES,
                              cluster_address(smem.z_full(), to));
        }
    }

    __device__ void last_stage(float (&acc)[S::COLUMNS / 4]) const {
        const uint32_t rows = warpgroup / HALVES * WARPGROUP_ROWS * VECTOR_BYTES;
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < S::Z_STEPS; step++) {
            const uint64_t z =
                wgmma_tile_plain(smem.z(2 * step) + rows, S::UNIT_BYTES, 8 * VECTOR_BYTES);
            const uint64_t u =
                wgmma_tile<SWIZZLE>(smem.u(step / STEPS) + half * (S::COLUMNS / HALVES) * SWIZZLE);
            wgmma<T>(acc, z, wgmma_step(u, step % STEPS), step > 0);
        }
        wgmma_commit();
        wgmma_wait<0>();
        registers_fence(acc);
    }

    /* U's columns are in groups of 32 as hopper_last.cu packs them. */
    __device__ void store(const float (&acc)[S::COLUMNS / 4], int tile) const {
        const int k = block / args.cut.owners;
        const int column0 =
            block % args.cut.owners * S::COLUMNS + half * (S::COLUMNS / HALVES) + lane % 4 * 8;
#pragma unroll
        for (int below = 0; below < 2; below++) { /* rows g and g + 8 */
            const int row = tile * S::TOKENS + place(row0 + lane / 4, k) + below * 8;
            if (row >= args.tokens) continue;
            uint16_t *const y = args.y + (int64_t)row * args.out_features + k * args.out_block;
            const float *const a = acc + below * 2;
#pragma unroll
            for (int c = 0; c < S::COLUMNS / HALVES; c += 32)
                if (column0 + c < args.out_block)
                    store_vector(y + column0 + c,
                                 make_uint4(round_pair<T>(a[c / 2], a[c / 2 + 1]),
                                            round_pair<T>(a[c / 2 + 4], a[c / 2 + 5]),
                                            round_pair<T>(a[c / 2 + 8], a[c / 2 + 9]),
                                            round_pair<T>(a[c / 2 + 12], a[c / 2 + 13])));
        }
    }

    /* What may be overwritten when is what the cluster's barrier says: all blocks arrive twice a
     * tile, when their Y has come (no ring is in use, no copy of Y under way) and when their Z has.
     */
    __device__ void compute(const CUtensorMap *x_map) const {
        int slot = 0, parity = 0;
        float y[S::RANKS / 4], acc[S::COLUMNS / 4];
        first_stage(y, slot, parity);
        cluster_wait(); /* all blocks have started */
#pragma unroll 1
        for (int tile = first, phase = 0; tile < args.tiles; tile += clusters, phase ^= 1) {
            const bool more = S::RESIDENT && tile + clusters < args.tiles;
            consumers_sync(); /* X, and Z of the tile before, have been read */
            if (more && threadIdx.x == 0) load_next_inputs(x_map, tile + clusters);
            stage_y(y);
            consumers_sync();
            send_y();
            mbarrier_wait(smem.y_full(), phase);
            if (more && threadIdx.x == 0) expect_y();
            cluster_arrive_relaxed();
            if (tile == first) mbarrier_wait(smem.s_full(), 0);
            mix();
            cluster_wait();
            consumers_sync();
            send_z();
            if (more) first_stage(y, slot, parity);
            mbarrier_wait(smem.z_full(), phase);
            if (more && threadIdx.x == 0) expect_z();
            cluster_arrive_relaxed();
            if (tile == first) mbarrier_wait(smem.u_full(), 0);
            last_stage(acc);
            store(acc, tile);
            cluster_wait();          /* no copy from here is under way */
            if (!S::RESIDENT) break; /* one tile */
        }
    }
};

#endif

#endif
