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
    int tokens, blocks, in_block, out_block, out_features, column_tiles;
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
        return z(0) + slot * S::SLOT_BYTES;
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
    const int block, part, group; /* of the cluster */
    const int token0;             /* its first */
    const int half, row0, lane;   /* which warpgroup; first row of the warp */

    __device__ cluster_t(const layout_t<S> &layout, const cluster_args_t &arguments)
        : smem(layout), args(arguments), block((int)cluster_rank()), part(block % S::PARTS),
          group(block / S::PARTS), token0((int)blockIdx.x / S::BLOCKS * TOKENS),
          half(__shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0)),
          row0((int)threadIdx.x % WARPGROUP / 32 * 16), lane((int)threadIdx.x % 32) {}

    __device__ int x_column(int chunk) const {
        return part / args.cut.splits * args.in_block + part % args.cut.splits * args.cut.width +
               chunk * DEPTH;
    }

    __device__ void load_v(int chunk, int slot) const {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), args.v + (int64_t)(block * args.cut.chunks + chunk) * S::V_BYTES,
                  S::V_BYTES, smem.full(slot));
    }

    /* Y and Z will come from all blocks. */
    __device__ void expect_exchange() const {
        mbarrier_init(smem.y_full(), 1);
        mbarrier_init(smem.z_full(), 1);
        mbarrier_init_done();
        mbarrier_arrive_expect(smem.y_full(), units_of<S>(part) * S::PARTS * S::UNIT_BYTES);
        mbarrier_arrive_expect(smem.z_full(), S::Z_BYTES);
    }

    /* X as far as L2, where all kernels see the same memory. */
    __device__ void prefetch_inputs(const CUtensorMap *x_map) const {
        tma_prefetch(x_map);
#pragma unroll 1
        for (int c = group; c < args.cut.chunks; c += S::GROUPS)
            tma_prefetch_2d(x_map, x_column(c), token0);
    }

    /* What does not depend on the kernel ahead. */
    __device__ void load_weights() const {
#pragma unroll 1
        for (int i = 0; i < args.cut.slots; i++) {
            mbarrier_init(smem.full(i), 1);
            mbarrier_init(smem.empty(i), S::CONSUMER_THREADS / WARPGROUP);
        }
        mbarrier_init(smem.s_full(), 1);
        mbarrier_init(smem.u_full(), 1);
        mbarrier_init_done();
#pragma unroll 1
        for (int slot = 0; slot < args.cut.slots; slot++) load_v(slot, slot);
        mbarrier_arrive_expect(smem.s_full(), S::S_BYTES);
        bulk_load(smem.s(), args.s + block * S::S_BYTES, S::S_BYTES, smem.s_full());
        const int tile = block / args.cut.owners * args.column_tiles +
                         min(block % args.cut.owners, args.column_tiles - 1);
        mbarrier_arrive_expect(smem.u_full(), S::U_BYTES);
        bulk_load(smem.u(0), args.u + (int64_t)tile * S::U_BYTES, S::U_BYTES, smem.u_full());
    }

    __device__ void load_inputs(const CUtensorMap *x_map) const {
        int slot = 0, parity = 1;
#pragma unroll 1
        for (int c = 0; c < args.cut.chunks; c++) {
            if (c >= args.cut.slots) {
                mbarrier_wait(smem.empty(slot), parity);
                load_v(c, slot);
            }
            tma_load_2d(smem.x(slot), x_map, x_column(c), token0, smem.full(slot));
            if (++slot == args.cut.slots) slot = 0, parity ^= 1;
        }
    }

    __device__ void first_stage(float (&y)[S::RANKS / 4]) const {
        int slot = 0, parity = 0, previous = 0;
#pragma unroll 1
        for (int c = 0; c < args.cut.chunks; c++) {
            mbarrier_wait(smem.full(slot), parity);
            wgmma_fence();
            const uint64_t x = wgmma_tile<SWIZZLE>(smem.x(slot));
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

    /* Y, rounded, where Z will be, or to the blocks of this group that mix: 8 x 8 matrices down the
     * tokens. A warp's store is one. What stays here goes as what is sent: memcheck takes a bulk
     * copy within one block for an error. */
    __device__ void stage_y(const float (&y)[S::RANKS / 4]) const {
        const uint32_t row = place(row0 + lane / 4, part) * VECTOR_BYTES + lane % 4 * 4;
#pragma unroll
        for (int i = 0; i < S::HALF_UNITS; i++) {
            const int unit = half * S::HALF_UNITS + i, to = group * S::PARTS + unit / S::MIXED;
            const uint32_t upper = round_pair<T>(y[4 * i], y[4 * i + 1]);
            const uint32_t lower = round_pair<T>(y[4 * i + 2], y[4 * i + 3]);
            if (S::DIRECT || to == block) {
                const uint32_t there = cluster_address(smem.y(unit % S::MIXED, part) + row, to);
                const uint32_t barrier = cluster_address(smem.y_full(), to);
                cluster_store_async(there, upper, barrier);
                cluster_store_async(there + 8 * VECTOR_BYTES, lower, barrier);
            } else {
                shared_store(smem.z(unit) + row, upper);
                shared_store(smem.z(unit) + row + 8 * VECTOR_BYTES, lower);
            }
        }
    }

    /* What was staged. */
    __device__ void send_y() const {
        if (lane) return;
#pragma unroll 1
        for (int i = (int)threadIdx.x / 32; i < S::PARTS; i += S::WARPS) {
            const int to = group * S::PARTS + i;
            if (units_of<S>(i) > 0 && to != block)
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
    __device__ void mix_unit(uint32_t (&z)[4][4], const uint4 (&y)[2][2][2], uint32_t s) const {
#pragma unroll
        for (int pair = 0; pair < UNIT_RANKS / 2; pair++) {
            float sums[2][4] = {};
#pragma unroll
            for (int element = 0; element < 2; element++) {
                const unsigned halves = element ? 0x7632 : 0x5410;
                uint32_t a[4], b[2];
#pragma unroll
                for (int i = 0; i < 4; i++)
                    a[i] = __byte_perm(word_of(y[i / 2][i % 2][0], pair),
                                       word_of(y[i / 2][i % 2][1], pair), halves);
                load_scales(b,
                            s + (2 * pair + element) * S::S_RANK_BYTES + lane * (S::S_WORDS * 4));
                mma_16816<T>(sums[element], a, b);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) z[i][pair] = round_pair<T>(sums[0][i], sums[1][i]);
        }
    }

    /* Z_k of two pairs of tokens to the blocks that own columns of output block k, or where Y was.
     */
    __device__ void put_z(const uint32_t (&z)[4][4], int mixed, int token) const {
        const int own = block / args.cut.owners;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int k = lane % 4 * 2 + i % 2;
            const uint32_t row = place(token + i / 2 * 8, k) * VECTOR_BYTES;
            if (k >= args.blocks) continue;
            const uint32_t to = smem.z(group * S::UNITS + part * S::MIXED + mixed) + row;
            const int first = S::DIRECT ? k * args.cut.owners : block;
            const int end = S::DIRECT ? first + args.cut.owners : block + (k == own);
#pragma unroll 1
            for (int owner = first; owner < end; owner++)
                cluster_store_async(cluster_address(to, owner),
                                    make_uint4(z[i][0], z[i][1], z[i][2], z[i][3]),
                                    cluster_address(smem.z_full(), owner));
            if constexpr (!S::DIRECT) {
                shared_store(smem.y(mixed, k) + row,
                             make_float4(__uint_as_float(z[i][0]), __uint_as_float(z[i][1]),
                                         __uint_as_float(z[i][2]), __uint_as_float(z[i][3])));
            }
        }
    }

    /* A warp takes 16 tokens of a unit. */
    __device__ void mix() const {
        constexpr int TASKS = TOKENS / 16 * S::MIXED;
#pragma unroll 1
        for (int task = (int)threadIdx.x / 32; task < TASKS; task += S::WARPS) {
            const int mixed = task % S::MIXED, token = task / S::MIXED * 16 + lane / 4;
            uint4 y[2][2][2];
            uint32_t z[4][4];
            if (mixed >= units_of<S>(part)) continue;
            load_y(y, mixed, token);
            mix_unit(z, y, smem.s() + mixed * UNIT_RANKS * S::S_RANK_BYTES);
            __syncwarp(); /* all lanes have their Y */
            put_z(z, mixed, token);
        }
    }

    /* What was put where Y was. */
    __device__ void send_z() const {
        const int units = units_of<S>(part);
        if (lane || units == 0) return;
#pragma unroll 1
        for (int i = (int)threadIdx.x / 32; i < S::BLOCKS; i += S::WARPS) {
            const int to = (i + block) % S::BLOCKS; /* not all to the same block at once */
            if (to == block) continue;
            bulk_copy_cluster(cluster_address(smem.z(group * S::UNITS + part * S::MIXED), to),
                              smem.y(0, to / args.cut.owners), units * S::UNIT_BYTES,
                              cluster_address(smem.z_full(), to));
        }
    }

    __device__ void last_stage(float (&acc)[S::COLUMNS / 4]) const {
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < S::Z_STEPS; step++) {
            const uint64_t z = wgmma_tile_plain(smem.z(2 * step), S::UNIT_BYTES, 8 * VECTOR_BYTES);
            const uint64_t u =
                wgmma_tile<SWIZZLE>(smem.u(step / STEPS) + half * (S::COLUMNS / HALVES) * SWIZZLE);
            wgmma<T>(acc, z, wgmma_step(u, step % STEPS), step > 0);
        }
        wgmma_commit();
        wgmma_wait<0>();
        registers_fence(acc);
    }

    /* U's columns are in groups of 32 as hopper_last.cu packs them. */
    __device__ void store(const float (&acc)[S::COLUMNS / 4]) const {
        const int k = block / args.cut.owners;
        const int column0 =
            block % args.cut.owners * S::COLUMNS + half * (S::COLUMNS / HALVES) + lane % 4 * 8;
#pragma unroll
        for (int below = 0; below < 2; below++) { /* rows g and g + 8 */
            const int row = token0 + place(row0 + lane / 4, k) + below * 8;
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

    __device__ void exchange_y(const float (&y)[S::RANKS / 4]) const {
        if constexpr (!S::DIRECT) consumers_sync(); /* the ring has been read */
        stage_y(y);
        if constexpr (!S::DIRECT) {
            fence_async_proxy();
            consumers_sync();
            send_y();
        }
        mbarrier_wait(smem.y_full(), 0);
    }

    /* Between arrival and wait: see compute(). */
    __device__ void exchange_z() const {
        if constexpr (S::DIRECT) {
            cluster_wait();
            mix();
        } else {
            mix();
            fence_async_proxy();
            cluster_wait();
            consumers_sync();
            send_z();
        }
        mbarrier_wait(smem.z_full(), 0);
        if constexpr (S::DIRECT) fence_async_proxy(); /* ordinary writes, for wgmma */
    }

    /* What may be overwritten when is what the cluster's barrier says: all blocks arrive when their
     * Y has come (no ring is in use, no copy of Y under way) and when their Z has. */
    __device__ void compute() const {
        float y[S::RANKS / 4], acc[S::COLUMNS / 4];
        first_stage(y);
        cluster_wait(); /* all blocks have started */
        exchange_y(y);
        cluster_arrive_relaxed();
        mbarrier_wait(smem.s_full(), 0);
        exchange_z();
        cluster_arrive_relaxed();
        mbarrier_wait(smem.u_full(), 0);
        last_stage(acc);
        store(acc);
        cluster_wait(); /* no copy from here is under way */
    }
};

#endif

#endif
