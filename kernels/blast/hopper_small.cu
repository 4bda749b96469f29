/*
 * blast/fused on Hopper for small layers, which are a matter of latency: one kernel.
 *
 * A cluster of b blocks owns 64 tokens and, of every output block, the same COLUMNS columns. Block
 * i of it computes Y_l = X_l V_l for its SLICE of the ranks and all l, mixes them in registers, in
 * fp32, into Z_k for all k, and sends each Z_k to block k. That one then has Z_k of all ranks, and
 * computes its columns of Y_k = Z_k U_k.
 *
 *   producer thread   U and S, then X (64 x 64) and V (SLICE x 64) of all l into a ring of slots;
 *                     all weights that fit, before the kernel ahead has ended
 *   consumers         two warpgroups, each half of SLICE, then half of COLUMNS
 */
#include "kernels/blast/hopper.h"

#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

static constexpr int TOKENS = 64, DEPTH = 64, SWIZZLE = 128, Z_UNIT_BYTES = TOKENS * 16;

/* SLICE: ranks of a block, padded. */
template <int BLOCKS_, int SLICE_, int COLUMNS_> struct small_shape {
    static constexpr int BLOCKS = BLOCKS_, SLICE = SLICE_, COLUMNS = COLUMNS_;
    static constexpr int HALF = SLICE / 2, UNITS = HALF / 8; /* of a warpgroup */
    static constexpr int RANKS = BLOCKS * SLICE, U_CHUNKS = (RANKS + DEPTH - 1) / DEPTH;
    static constexpr int X_BYTES = TOKENS * DEPTH * 2, V_BYTES = SLICE * DEPTH * 2;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int U_BYTES = U_CHUNKS * COLUMNS * DEPTH * 2;
    static constexpr int S_BYTES = BLOCKS * BLOCKS * SLICE * 2, Z_BYTES = RANKS / 8 * Z_UNIT_BYTES;
    static constexpr int S_ROOM = (S_BYTES + 1023) / 1024 * 1024, BARRIERS_BYTES = 384;
    static constexpr int FIXED = SMEM_ALIGN + U_BYTES + S_ROOM + Z_BYTES + BARRIERS_BYTES;
    static constexpr int FIT = (STAGE_SMEM - FIXED) / SLOT_BYTES, SLOTS = FIT < 12 ? FIT : 12;
    static constexpr int SMEM = FIXED + SLOTS * SLOT_BYTES;
    static_assert(SLOTS >= 4 && HALF % 8 == 0 && RANKS % 16 == 0 && SLOT_BYTES % SMEM_ALIGN == 0);
};

/* ---- packed V: [slice][l][chunk] tiles of SLICE x 64, K-major, 128-byte swizzle ---- */
template <typename S>
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, in_block = p->in_features / b, r = p->rank;
    const int64_t chunks = ceil_div(in_block, DEPTH), tiles = b * b * chunks;
    if (!dst) return tiles * S::SLICE * DEPTH;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t in0 = tile % chunks * DEPTH, l = tile / chunks % b;
        for (int row = 0; row < S::SLICE; row++) {
            const int64_t rank = tile / chunks / b * S::SLICE + row;
            uint16_t *const to = dst + (tile * S::SLICE + row) * DEPTH;
            for (int i = 0; i < DEPTH; i++)
                to[swizzled_chunk<SWIZZLE>(row, i / 8) * 8 + i % 8] =
                    in0 + i < in_block && rank < r ? src[(l * in_block + in0 + i) * r + rank] : 0;
        }
    }
    return tiles * S::SLICE * DEPTH;
}

/* ---- packed S: [slice][l][k][rank] ---- */
template <typename S>
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, r = p->rank, count = b * b * b * S::SLICE;
    for (int64_t i = 0; dst && i < count; i++) {
        const int64_t rank = i / S::SLICE / b / b * S::SLICE + i % S::SLICE;
        dst[i] = rank < r ? src[i / S::SLICE % (b * b) * r + rank] : (uint16_t)0;
    }
    return count;
}

/* What the kernel needs to know of a problem. */
struct small_args_t {
    const uint8_t *v, *s, *u;
    uint16_t *y;
    int tokens, in_block, chunks, out_block, out_features, column_tiles;
    int u_chunks, steps; /* of r: K chunks of U, K steps */
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

static constexpr int STEPS = DEPTH / 16;

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t slots;

    __device__ uint32_t x(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return x(slot) + S::X_BYTES;
    }
    __device__ uint32_t u(int chunk) const {
        return x(S::SLOTS) + chunk * (S::COLUMNS * SWIZZLE);
    }
    __device__ uint32_t z() const {
        return u(S::U_CHUNKS);
    }
    __device__ uint32_t s() const {
        return z() + S::Z_BYTES;
    }
    __device__ uint32_t weights_full() const {
        return s() + S::S_ROOM;
    }
    __device__ uint32_t full(int slot) const {
        return weights_full() + (1 + slot) * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
};

/* Chunk c of V, of all l, into a slot. */
template <typename S>
__device__ inline void load_v(const layout_t<S> &smem, const small_args_t &args, int block, int c,
                              int slot) {
    const int64_t chunk = (int64_t)block * S::BLOCKS * args.chunks + c;
    mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
    bulk_load(smem.v(slot), args.v + chunk * S::V_BYTES, S::V_BYTES, smem.full(slot));
}

/* What does not depend on the kernel ahead: one thread. */
template <typename S>
__device__ void produce_weights(const layout_t<S> &smem, const small_args_t &args, int block,
                                int cluster) {
    constexpr int U_CHUNK_BYTES = S::COLUMNS * SWIZZLE;
    const int64_t tile = (int64_t)block * args.column_tiles + cluster % args.column_tiles;
    for (int slot = 0; slot < min(S::BLOCKS * args.chunks, S::SLOTS); slot++)
        load_v(smem, args, block, slot, slot);
    mbarrier_arrive_expect(smem.weights_full(), args.u_chunks * U_CHUNK_BYTES + S::S_BYTES);
    bulk_load(smem.s(), args.s + block * S::S_BYTES, S::S_BYTES, smem.weights_full());
    for (int c = 0; c < args.u_chunks; c++)
        bulk_load(smem.u(c), args.u + (tile * args.u_chunks + c) * U_CHUNK_BYTES, U_CHUNK_BYTES,
                  smem.weights_full());
}

/* X, and V that has not been loaded yet. */
template <typename S>
__device__ void produce(const layout_t<S> &smem, const CUtensorMap *x_map, const small_args_t &args,
                        int block, int cluster) {
    const int token = cluster / args.column_tiles * TOKENS;
    ring_t ring = {0, 1};
    dependency_wait();
    for (int l = 0, done = 0; l < S::BLOCKS; l++)
        for (int c = 0; c < args.chunks; c++, done++) {
            if (done >= S::SLOTS) {
                mbarrier_wait(smem.empty(ring.slot), ring.parity);
                load_v(smem, args, block, done, ring.slot);
            }
            tma_load_2d(smem.x(ring.slot), x_map, l * args.in_block + c * DEPTH, token,
                        smem.full(ring.slot));
            ring_advance<S::SLOTS>(ring);
        }
}

/* One consumer warpgroup. */
template <typename T, typename S> struct small_t {
    float y[S::BLOCKS][S::HALF / 2], acc[S::COLUMNS / 4];
    const layout_t<S> &smem;
    const small_args_t &args;
    const int block, cluster, warpgroup, lane;

    __device__ small_t(const layout_t<S> &layout, const small_args_t &arguments, int rank,
                       int index, int group)
        : smem(layout), args(arguments), block(rank), cluster(index), warpgroup(group),
          lane((int)threadIdx.x % 32) {}

    __device__ void first_stage() {
        ring_t ring = {0, 0};
#pragma unroll
        for (int l = 0; l < S::BLOCKS; l++)
            for (int c = 0; c < args.chunks; c++) {
                mbarrier_wait(smem.full(ring.slot), ring.parity);
                wgmma_fence();
                const uint64_t x = wgmma_tile<SWIZZLE>(smem.x(ring.slot));
                const uint64_t v =
                    wgmma_tile<SWIZZLE>(smem.v(ring.slot) + warpgroup * S::HALF * SWIZZLE);
#pragma unroll
                for (int step = 0; step < STEPS; step++)
                    wgmma<T>(y[l], wgmma_step(x, step), wgmma_step(v, step), c > 0 || step > 0);
                wgmma_commit();
                wgmma_wait<0>();
                if (threadIdx.x % WARPGROUP == 0) mbarrier_arrive(smem.empty(ring.slot));
                ring_advance<S::SLOTS>(ring);
            }
#pragma unroll
        for (int l = 0; l < S::BLOCKS; l++) registers_fence(y[l]);
    }

    /* Z_k of this slice and warpgroup's ranks, to block k: 8 x 8 matrices down the tokens, then
     * along the ranks. A warp's store is one of them. */
    __device__ void mix() {
        const int unit0 = (block * S::SLICE + warpgroup * S::HALF) / 8, t = lane % 4;
        const int warp = (int)threadIdx.x % WARPGROUP / 32;
        const uint32_t mine = smem.z() + unit0 * Z_UNIT_BYTES + warp * 256 + lane * 4;
        const uint32_t s = smem.s() + (warpgroup * S::HALF + 2 * t) * 2;
#pragma unroll
        for (int k = 0; k < S::BLOCKS; k++) {
            float z[S::HALF / 2] = {};
#pragma unroll
            for (int l = 0; l < S::BLOCKS; l++)
#pragma unroll
                for (int unit = 0; unit < S::UNITS; unit++) {
                    uint32_t word;
                    asm volatile("ld.shared.b32 %0, [%1];"
                                 : "=r"(word)
                                 : "r"(s + ((l * S::BLOCKS + k) * S::SLICE + unit * 8) * 2));
                    const float2 scale = widen_pair<T>(word);
                    z[4 * unit] += scale.x * y[l][4 * unit];
                    z[4 * unit + 1] += scale.y * y[l][4 * unit + 1];
                    z[4 * unit + 2] += scale.x * y[l][4 * unit + 2];
                    z[4 * unit + 3] += scale.y * y[l][4 * unit + 3];
                }
            const uint32_t to = cluster_address(mine, k);
#pragma unroll
            for (int unit = 0; unit < S::UNITS; unit++) {
                cluster_store(to + unit * Z_UNIT_BYTES,
                              round_pair<T>(z[4 * unit], z[4 * unit + 1]));
                cluster_store(to + unit * Z_UNIT_BYTES + 128,
                              round_pair<T>(z[4 * unit + 2], z[4 * unit + 3]));
            }
        }
    }

    __device__ void last_stage() {
        wgmma_fence();
#pragma unroll
        for (int step = 0; step < S::RANKS / 16; step++) {
            if (step >= args.steps) break;
            const uint64_t z =
                wgmma_tile_plain(smem.z() + step * 2 * Z_UNIT_BYTES, Z_UNIT_BYTES, 128);
            const uint64_t u =
                wgmma_tile<SWIZZLE>(smem.u(step / STEPS) + warpgroup * (S::COLUMNS / 2) * SWIZZLE);
            wgmma<T>(acc, z, wgmma_step(u, step % STEPS), step > 0);
        }
        wgmma_commit();
        wgmma_wait<0>();
        registers_fence(acc);
    }

    /* U's columns are in groups of 32 as hopper_last.cu packs them. */
    __device__ void store() const {
        const int t = lane % 4;
        const int row0 = cluster / args.column_tiles * TOKENS +
                         (int)threadIdx.x % WARPGROUP / 32 * 16 + lane / 4;
        const int column0 =
            cluster % args.column_tiles * S::COLUMNS + warpgroup * (S::COLUMNS / 2) + t * 8;
#pragma unroll
        for (int below = 0; below < 2; below++) { /* rows g and g + 8 */
            const int row = row0 + below * 8;
            if (row >= args.tokens) continue;
            uint16_t *const y = args.y + (int64_t)row * args.out_features + block * args.out_block;
            const float *const a = acc + below * 2;
#pragma unroll
            for (int c = 0; c < S::COLUMNS / 2; c += 32)
                if (column0 + c < args.out_block)
                    store_vector(y + column0 + c,
                                 make_uint4(round_pair<T>(a[c / 2], a[c / 2 + 1]),
                                            round_pair<T>(a[c / 2 + 4], a[c / 2 + 5]),
                                            round_pair<T>(a[c / 2 + 8], a[c / 2 + 9]),
                                            round_pair<T>(a[c / 2 + 12], a[c / 2 + 13])));
        }
    }
};

#endif

template <typename T, typename S>
__global__ void __launch_bounds__(STAGE_THREADS, 1)
    blast_small(const __grid_constant__ CUtensorMap x_map,
                const __grid_constant__ small_args_t args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const layout_t<S> smem = {(smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u)};
    const int block = (int)cluster_rank(), cluster = blockIdx.x / S::BLOCKS;
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    dependents_launch();
    if (threadIdx.x == CONSUMERS * WARPGROUP) {
        tma_prefetch(&x_map);
        mbarrier_init(smem.weights_full(), 1);
        for (int i = 0; i < S::SLOTS; i++) {
            mbarrier_init(smem.full(i), 1);
            mbarrier_init(smem.empty(i), CONSUMERS);
        }
        mbarrier_init_done();
        produce_weights(smem, args, block, cluster);
    }
    cluster_sync(); /* all blocks have started, and the barriers are there */
    small_t<T, S> small(smem, args, block, cluster, warpgroup);
    if (warpgroup < CONSUMERS) {
        small.first_stage();
        mbarrier_wait(smem.weights_full(), 0);
        small.mix();
        fence_async_proxy_cluster();
    } else if (threadIdx.x == CONSUMERS * WARPGROUP) {
        produce(smem, &x_map, args, block, cluster);
    }
    cluster_sync(); /* Z is there */
    if (warpgroup < CONSUMERS) {
        fence_async_proxy_cluster();
        small.last_stage();
        small.store();
    }
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t opted_in;
    const int64_t in_block = p->in_features / p->blocks, out_block = p->out_features / p->blocks;
    const small_args_t args = {.v = (const uint8_t *)tensors[1],
                               .s = (const uint8_t *)tensors[2],
                               .u = (const uint8_t *)tensors[3],
                               .y = (uint16_t *)tensors[4],
                               .tokens = (int)p->tokens,
                               .in_block = (int)in_block,
                               .chunks = (int)ceil_div(in_block, DEPTH),
                               .out_block = (int)out_block,
                               .out_features = (int)p->out_features,
                               .column_tiles = (int)ceil_div(out_block, S::COLUMNS),
                               .u_chunks = (int)ceil_div(p->rank, DEPTH),
                               .steps = (int)ceil_div(p->rank, 16)};
    CUtensorMap x_map;
    status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                p->in_features, TOKENS, DEPTH, SWIZZLE);
    if (st == STATUS_OK) st = smem_opt_in((const void *)blast_small<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t grid = ceil_div(p->tokens, TOKENS) * args.column_tiles * S::BLOCKS;
    return launch_overlapped(blast_small<T, S>, grid, STAGE_THREADS, S::BLOCKS, S::SMEM, stream,
                             x_map, args);
}

/* A plan: the columns of a block. The rest follows from the problem. */
template <int COLUMNS> struct plan {
    /* Ranks of a block, or 0: U and Z of all ranks have to fit into shared memory. */
    static int slice(const problem_t *p) {
        if (p->rank <= 32 * p->blocks) return 32;
        return p->blocks == 3 && p->rank <= 48 * p->blocks ? 48 : 0;
    }

    /* Calls f.template operator()<shape>(). */
    template <typename F> static auto with_shape(const problem_t *p, F f) {
        if (p->blocks == 6) return f.template operator()<small_shape<6, 32, COLUMNS>>();
        if (p->blocks == 4) return f.template operator()<small_shape<4, 32, COLUMNS>>();
        return slice(p) == 48 ? f.template operator()<small_shape<3, 48, COLUMNS>>()
                              : f.template operator()<small_shape<3, 32, COLUMNS>>();
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        static const int64_t WAVES = 2;
        if (!supports_hopper(device, why, why_len)) return false;
        const int64_t b = p->blocks, out_block = p->out_features / b;
        const int64_t clusters = ceil_div(p->tokens, TOKENS) * ceil_div(out_block, COLUMNS);
        if (b != 3 && b != 4 && b != 6)
            snprintf(why, why_len, "takes 3, 4 or 6 blocks");
        else if (slice(p) == 0)
            snprintf(why, why_len, "the rank is above %d times the blocks", b == 3 ? 48 : 32);
        else if (p->in_features / b % 8 || out_block % 8)
            snprintf(why, why_len, "in or out features of a block are not a multiple of 8");
        else if (clusters * b > WAVES * device->cores)
            snprintf(why, why_len, "more than %d waves of tiles", (int)WAVES);
        else
            return true;
        return false;
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const uint16_t *const from = (const uint16_t *)src;
        uint16_t *const to = (uint16_t *)dst;
        if (tensor == 3) return hopper_pack_u(p, {.columns = COLUMNS}, from, to);
        return with_shape(p, [&]<typename S>() {
            return tensor == 1 ? pack_v<S>(p, from, to) : pack_s<S>(p, from, to);
        });
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *, stream_t stream) {
        return with_shape(p, [&]<typename S>() {
            return p->dtype == DTYPE_BF16 ? launch_shape<__nv_bfloat16, S>(p, tensors, stream)
                                          : launch_shape<__half, S>(p, tensors, stream);
        });
    }
};

#define SMALL_PLAN(COLUMNS)                                                                        \
    extern const variant_t blast_hopper_small##COLUMNS = {                                         \
        .structure = "blast",                                                                      \
        .name = "hopper_small" #COLUMNS,                                                           \
        .summary = "one kernel, clusters of b blocks, 64 tokens x " #COLUMNS " columns",           \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = plan<COLUMNS>::supports,                                                       \
        .pack = plan<COLUMNS>::pack,                                                               \
        .launch = plan<COLUMNS>::launch,                                                           \
    };

SMALL_PLAN(128)
SMALL_PLAN(256)
