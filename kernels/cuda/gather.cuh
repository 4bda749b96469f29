/*
 * Small layers in one kernel of clusters (compute capability 9.0 and later):
 *
 *     low rank  Z = X V,                        Y = Z U
 *     monarch   Z_k = [X_1 V_1k, X_2 V_2k, ..], Y_k = Z_k U_k, a cluster for each k
 *
 * A cluster owns 32 rows. Each of its blocks of threads computes its share of the rank of Z
 * once; sends it into the shared memory of the others; and multiplies the whole of Z with its own
 * columns of U. So nothing is computed twice, and nothing but X, the weights
 * and Y crosses the chip.
 *
 * Z is summed over the input by four pairs of warps, each on every fourth chunk of 64; a pair
 * splits the rows. The parts are added in a fixed order. The columns of U are loaded by the warp
 * that uses them, as far as there is room while the first product runs.
 */
#ifndef BLROOF_GATHER_CUH
#define BLROOF_GATHER_CUH

#include <string.h>

#include "kernels/cuda/chain.cuh"

enum {
    GATHER_WARPS = 8,
    GATHER_THREADS = GATHER_WARPS * 32,
    GATHER_PARTS = GATHER_WARPS / 2, /* of the sum over the input */
    GATHER_NT = 8,                   /* the most fragments of 8 columns a warp */
    GATHER_RANK_NT = 6,              /* the most of a share of the rank */
    GATHER_MT = 2,                   /* fragments of 16 rows */
    GATHER_TOKENS = GATHER_MT * 16,
    GATHER_STAGES = 4, /* of the ring of X and V */
    GATHER_CLUSTER = 8,
    GATHER_CAPABILITY = 90,
    GATHER_SMEM_BYTES = 227 << 10 /* what compute capability 9.0 has; packing depends on it */
};

typedef struct {
    const void *x, *v, *u;
    void *y;
    int64_t tokens, in_features, out_features, block_in, block_out;
    int outputs;          /* clusters along the output blocks */
    int cluster;          /* blocks of threads, each with a share of the rank */
    int per_input;        /* shares of one input block */
    int chunks, stages;   /* of an input block, 64 deep; GATHER_PARTS chunks a stage */
    int share_nt, slices; /* share of the rank, of 8; 16-deep slices of the whole */
    int nt, slots;        /* fragments of columns a warp; slices of its ring of U */
} gather_args_t;

/* Elements of shared memory in front of the ring of U, by part. */
static inline __host__ __device__ int gather_z_elements(const gather_args_t &a) {
    return a.slices * GATHER_TOKENS * SLICE_K;
}

static inline __host__ __device__ int gather_stage_elements(const gather_args_t &a) {
    return GATHER_PARTS * (GATHER_TOKENS + a.share_nt * 8) * TILE_K;
}

static inline __host__ __device__ int gather_slice_elements(const gather_args_t &a) {
    return a.nt * 8 * SLICE_K; /* of one warp */
}

/* What the parts have summed. */
static inline __host__ __device__ int gather_sum_elements(const gather_args_t &a) {
    return GATHER_PARTS * GATHER_TOKENS * (a.share_nt * 8 + 4) * 2;
}

/* The ring of stages, later the sums. */
static inline __host__ __device__ int gather_ring_elements(const gather_args_t &a) {
    const int stages = a.stages < GATHER_STAGES ? a.stages : GATHER_STAGES;
    const int ring = stages * gather_stage_elements(a);
    const int sum = gather_sum_elements(a);
    return ring > sum ? ring : sum;
}

/* 16 bytes into the shared memory of block `rank` of the cluster, where this one has `smem`. */
__device__ inline void gather_send(void *smem, int rank, uint4 words) {
#if __CUDA_ARCH__ >= 900
    unsigned address;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(address)
        : "r"(smem_address(smem)), "r"(rank));
    asm volatile("st.shared::cluster.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(words.x),
                 "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
#else
    (void)smem, (void)rank, (void)words;
#endif
}

__device__ inline void gather_arrive() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

__device__ inline void gather_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

/* This warp's part of X V over one stage; NT is share_nt, found by counting down. */
template <typename T, int NT = GATHER_RANK_NT>
__device__ inline void gather_first(float z[GATHER_RANK_NT][4], const T *x, const T *v, int row,
                                    int share_nt) {
    if constexpr (NT > 1)
        if (share_nt < NT) {
            gather_first<T, NT - 1>(z, x, v, row, share_nt);
            return;
        }
#pragma unroll
    for (int step = 0; step < TILE_PARTS; step++) {
        uint32_t a[1][4], b[NT][2];
        fragments_load<T, 1, NT, false>(a, b, x, v, row, 0, step);
#pragma unroll
        for (int j = 0; j < NT; j++) mma_16816<T>(z[j], a[0], b[j]);
    }
}

/* Adds the parts of this share of Z and sends it, rounded, to all of the cluster. */
template <typename T>
__device__ inline void gather_exchange(const gather_args_t &args, const float *parts, T *z,
                                       int share) {
    const int pitch = args.share_nt * 8 + 4;
    for (int i = (int)threadIdx.x; i < GATHER_TOKENS * args.share_nt; i += GATHER_THREADS) {
        const int chunk = i % args.share_nt, row = i / args.share_nt;
        const int column = share * args.share_nt + chunk;
        if (column >= args.slices * 2) continue;
        float sum[8] = {};
#pragma unroll
        for (int part = 0; part < GATHER_PARTS; part++) {
            const float4 *const from =
                (const float4 *)(parts + (part * GATHER_TOKENS + row) * pitch + chunk * 8);
            const float4 low = from[0], high = from[1];
            sum[0] += low.x, sum[1] += low.y, sum[2] += low.z, sum[3] += low.w;
            sum[4] += high.x, sum[5] += high.y, sum[6] += high.z, sum[7] += high.w;
        }
        const uint4 words =
            make_uint4(round_pair<T>(sum[0], sum[1]), round_pair<T>(sum[2], sum[3]),
                       round_pair<T>(sum[4], sum[5]), round_pair<T>(sum[6], sum[7]));
        T *const to = z + column / 2 * (GATHER_TOKENS * SLICE_K) + slice_offset(row, column % 2);
        for (int peer = 0; peer < args.cluster; peer++) gather_send(to, peer, words);
    }
}

/* Fragments of one slice of Z and of this warp's U. */
template <typename T, int NT>
__device__ inline void gather_load(uint32_t a[GATHER_MT][4], uint32_t b[NT + 1][2], const T *z,
                                   const T *u) {
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < NT; j += 2) slice_load_b<NT>(b[j], u, 0, j);
    const unsigned z_at = smem_address(z) + 2 * slice_offset(lane % 16, lane / 16);
#pragma unroll
    for (int i = 0; i < GATHER_MT; i++) ldmatrix_x4(a[i], z_at + i * 16 * SLICE_K * 2);
}

/*
 * Y = Z U for this warp's columns. NT is args.nt, found by counting down from GATHER_NT. The ring
 * holds args.slots slices; refill(count) brings the next ones.
 */
template <typename T, int NT, typename REFILL>
__device__ inline void gather_second(const gather_args_t &args, const T *z, const T *ring,
                                     int64_t row0, int column0, int block, REFILL refill) {
    if constexpr (NT > 1)
        if (args.nt < NT) {
            gather_second<T, NT - 1>(args, z, ring, row0, column0, block, refill);
            return;
        }
    float out[GATHER_MT][NT][4] = {};
    for (int done = 0; done < args.slices; done += args.slots) {
        const int count = min(args.slots, args.slices - done);
        if (done > 0) refill(count);
        uint32_t a[2][GATHER_MT][4], b[2][NT + 1][2];
        gather_load<T, NT>(a[0], b[0], z, ring);
        for (int slice = 0; slice < count; slice += 2) {
#pragma unroll
            for (int now = 0; now < 2; now++) {
                if (slice + now == count) break;
                if (slice + now + 1 < count)
                    gather_load<T, NT>(a[1 - now], b[1 - now],
                                       z + (slice + now + 1) * GATHER_TOKENS * SLICE_K,
                                       ring + (slice + now + 1) * NT * 8 * SLICE_K);
#pragma unroll
                for (int j = 0; j < NT; j++)
#pragma unroll
                    for (int i = 0; i < GATHER_MT; i++)
                        mma_16816<T>(out[i][j], a[now][i], b[now][j]);
            }
        }
        z += count * GATHER_TOKENS * SLICE_K;
    }
    results_store<T, GATHER_MT, NT, true>((uint16_t *)args.y + block * args.block_out + column0,
                                          args.out_features, out, row0, args.tokens,
                                          (int)args.block_out - column0);
}

template <typename T>
__global__ void __launch_bounds__(GATHER_THREADS, 1) gather_kernel(gather_args_t args) {
#if __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) uint4 smem[];
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int cluster = args.cluster, share = (int)blockIdx.x % cluster;
    const int index = (int)blockIdx.x / cluster, output = index % args.outputs;
    const int64_t token0 = (int64_t)(index / args.outputs) * GATHER_TOKENS;
    const int64_t owner = (int64_t)output * cluster + share; /* of packed weights */
    const int rows = (int)min((int64_t)GATHER_TOKENS, args.tokens - token0);
    const int stage_elements = gather_stage_elements(args);
    const int v_elements = GATHER_PARTS * args.share_nt * 8 * TILE_K;
    const int slice_elements = gather_slice_elements(args), slice_chunks = slice_elements / 8;
    T *const z_all = (T *)smem, *const stages = z_all + gather_z_elements(args);
    T *const ring = stages + gather_ring_elements(args) + warp * args.slots * slice_elements;
    const T *const x =
        (const T *)args.x + token0 * args.in_features + share / args.per_input * args.block_in;
    const T *v = (const T *)args.v + owner * args.stages * v_elements + threadIdx.x * 8;
    const T *u = (const T *)args.u + (owner * GATHER_WARPS + warp) * args.slices * slice_elements;

    /* What the next stage brings lies at running pointers: this thread's chunks of each tile. */
    constexpr int ROWS_A_PASS = GATHER_THREADS / TILE_CHUNKS;
    const int thread_row = (int)threadIdx.x / TILE_CHUNKS;
    const int thread_chunk = (int)threadIdx.x % TILE_CHUNKS;
    const int64_t x_step = ROWS_A_PASS * args.in_features;
    const T *x_from = x + thread_row * args.in_features + thread_chunk * 8;
    int left = (int)args.block_in - thread_chunk * 8;
    int v_stage = 0, x_stage = 0;
    const auto next_stage = [&](int at) {
        return at + stage_elements == GATHER_STAGES * stage_elements ? 0 : at + stage_elements;
    };
    const auto load_v =
        [&]() { /* share_nt chunks a thread */
                T *const to =
                    stages + v_stage + GATHER_PARTS * GATHER_TOKENS * TILE_K + threadIdx.x * 8;
#pragma unroll
                for (int i = 0; i < GATHER_RANK_NT; i++)
                    if (i < args.share_nt)
                        cp_async(to + i * GATHER_THREADS * 8, v + i * GATHER_THREADS * 8, true);
                v += v_elements, v_stage = next_stage(v_stage);
        };
    const auto load_x = [&]() {
        T *const to = stages + x_stage + tile_offset(thread_row, thread_chunk);
#pragma unroll
        for (int part = 0; part < GATHER_PARTS; part++) {
#pragma unroll
            for (int pass = 0; pass < GATHER_TOKENS / ROWS_A_PASS; pass++) {
                const bool inside = thread_row + pass * ROWS_A_PASS < rows && left > 0;
                cp_async(to + (part * GATHER_TOKENS + pass * ROWS_A_PASS) * TILE_K,
                         x_from + pass * x_step, inside);
            }
            x_from += TILE_K, left -= TILE_K;
        }
        x_stage = next_stage(x_stage);
    };
    /* Slices into the slots from 0 on. */
    const auto load_u = [&](int begin, int end) {
#pragma unroll 4
        for (int i = begin * slice_chunks + lane; i < end * slice_chunks; i += 32)
            cp_async(ring + i * 8, u + i * 8, true);
    };
    /* As many as the ring takes at first, spread over the stages, each behind X of a stage. */
    const int ready = min(args.slots, args.slices);
    const auto load_u_part = [&](int stage) {
        load_u(ready * stage / args.stages, ready * (stage + 1) / args.stages);
    };

    gather_arrive(); /* the blocks of the cluster have started before the first one sends */
    dependents_launch();
    for (int stage = 0; stage < min(args.stages, GATHER_STAGES - 1); stage++) load_v();
    dependency_wait();
    for (int stage = 0; stage < GATHER_STAGES - 1; stage++) {
        if (stage < args.stages) load_x();
        if (stage == GATHER_STAGES - 2) load_u_part(0);
        cp_async_commit();
    }

    const int part = warp / 2, row = warp % 2 * 16;
    float sum[GATHER_RANK_NT][4] = {};
    int stage_at = 0;
    for (int stage = 0; stage < args.stages; stage++) {
        cp_async_wait<GATHER_STAGES - 2>();
        __syncthreads();
        if (stage + GATHER_STAGES - 1 < args.stages) {
            load_v();
            load_x();
        }
        if (stage + 1 < args.stages) load_u_part(stage + 1);
        cp_async_commit();
        const T *const from = stages + stage_at;
        stage_at = next_stage(stage_at);
        gather_first<T>(sum, from + part * GATHER_TOKENS * TILE_K,
                        from + GATHER_PARTS * GATHER_TOKENS * TILE_K +
                            part * args.share_nt * 8 * TILE_K,
                        row, args.share_nt);
    }

    const int pitch = args.share_nt * 8 + 4;
    float *const parts = (float *)stages, *const to = parts + (part * GATHER_TOKENS + row) * pitch;
    gather_wait();
    __syncthreads(); /* the stages are no longer read */
#pragma unroll
    for (int j = 0; j < GATHER_RANK_NT; j++) {
        if (j >= args.share_nt) break;
#pragma unroll
        for (int half = 0; half < 2; half++)
            *(float2 *)(to + (half * 8 + lane / 4) * pitch + j * 8 + lane % 4 * 2) =
                make_float2(sum[j][half * 2], sum[j][half * 2 + 1]);
    }
    __syncthreads();
    gather_exchange<T>(args, parts, z_all, share);
    gather_arrive();

    cp_async_wait<0>();
    __syncwarp();
    gather_wait();
    const int column0 = (share * GATHER_WARPS + warp) * args.nt * 8;
    gather_second<T, GATHER_NT>(args, z_all, ring, token0, column0, output, [&](int count) {
        __syncwarp(); /* the slices before are no longer read */
        u += args.slots * slice_elements;
        load_u(0, count);
        cp_async_commit();
        cp_async_wait<0>();
        __syncwarp();
    });
#else
    (void)args;
    __trap();
#endif
}

/* ---- host ---- */

/*
 * Fills what follows from the sizes and says how much shared memory a block of threads takes; 0
 * where a cluster cannot hold the problem. One input block is the low-rank layer: its shares are
 * cut to the rank, more of them to the blocks.
 */
static size_t gather_geometry(const chain_problem_t *p, gather_args_t *a) {
    const int b = (int)p->blocks;
    *a = {};
    if (p->blocks > GATHER_CLUSTER) return 0;
    a->tokens = p->tokens, a->in_features = p->in_features, a->out_features = p->out_features;
    a->block_in = p->in_features / b, a->block_out = p->out_features / b;
    a->outputs = b;
    if (b == 1) {
        a->cluster = a->per_input = GATHER_CLUSTER;
        a->slices = (int)ceil_div(p->rank, SLICE_K);
        a->share_nt = (int)ceil_div(a->slices * 2, a->per_input);
    } else {
        a->per_input = b < GATHER_CLUSTER / 2 ? GATHER_CLUSTER / 2 / b : 1;
        a->cluster = b * a->per_input;
        a->share_nt = (int)ceil_div(ceil_div(p->rank, 8), a->per_input);
        if (a->cluster * a->share_nt % 2) a->share_nt++; /* slices are 16 deep */
        a->slices = a->cluster * a->share_nt / 2;
    }
    a->chunks = (int)ceil_div(a->block_in, TILE_K);
    a->stages = (int)ceil_div(a->chunks, GATHER_PARTS);
    a->nt = (int)ceil_div(a->block_out, a->cluster * GATHER_WARPS * 8);
    if (a->share_nt > GATHER_RANK_NT || a->nt > GATHER_NT) return 0;
    const int64_t fixed = 2 * ((int64_t)gather_z_elements(*a) + gather_ring_elements(*a));
    const int64_t slot = 2 * GATHER_WARPS * (int64_t)gather_slice_elements(*a);
    if (fixed + slot > GATHER_SMEM_BYTES) return 0;
    const int64_t slots = (GATHER_SMEM_BYTES - fixed) / slot;
    a->slots = (int)(slots < a->slices ? slots : a->slices);
    return (size_t)(fixed + a->slots * slot);
}

/* V -> [output][share][stage][part][8 share_nt x 64]; `rank` columns of an input block. */
static int64_t gather_pack_v(const gather_args_t *a, int64_t rank, chain_source_t src,
                             uint16_t *dst) {
    const int cluster = a->cluster, width = a->share_nt * 8;
    const int64_t tiles = (int64_t)a->stages * GATHER_PARTS, size = (int64_t)width * TILE_K;
    const int64_t count = a->outputs * cluster * tiles * size;
    if (!dst) return count;
    memset(dst, 0, (size_t)count * 2);
    for (int64_t tile = 0; tile < count / size; tile++) {
        const int64_t chunk = tile % tiles, share = tile / tiles % cluster;
        const int64_t l = share / a->per_input, row0 = chunk * TILE_K;
        const int64_t s0 = share % a->per_input * width;
        if (chunk >= a->chunks) continue;
        const uint16_t *const from =
            src.from + l * src.block + tile / tiles / cluster * src.output + row0 * src.row + s0;
        for (int64_t i = 0; i < TILE_K && row0 + i < a->block_in; i++)
            for (int s = 0; s < width && s0 + s < rank; s++)
                dst[tile * size + tile_offset(s, (int)i / 8) + i % 8] = from[i * src.row + s];
    }
    return count;
}

/* U -> [output][share][warp][slice][8 nt x 16]; `rank` rows of an input block. */
static int64_t gather_pack_u(const gather_args_t *a, int64_t rank, chain_source_t src,
                             uint16_t *dst) {
    const int cluster = a->cluster, width = a->nt * 8, deep = a->share_nt * 8;
    const int64_t size = (int64_t)width * SLICE_K;
    const int64_t count = (int64_t)a->outputs * cluster * GATHER_WARPS * a->slices * size;
    if (!dst) return count;
    memset(dst, 0, (size_t)count * 2);
    for (int64_t slice = 0; slice < count / size; slice++) {
        const int64_t warp = slice / a->slices % GATHER_WARPS;
        const int64_t owner = slice / a->slices / GATHER_WARPS, block = owner % cluster;
        const int64_t k = owner / cluster, column0 = (block * GATHER_WARPS + warp) * width;
        for (int i = 0; i < SLICE_K; i++) {
            const int64_t at = slice % a->slices * SLICE_K + i, share = at / deep;
            const int64_t l = share / a->per_input, s = share % a->per_input * deep + at % deep;
            if (s >= rank || share >= cluster) continue;
            const uint16_t *const from =
                src.from + l * src.block + k * src.output + s * src.row + column0;
            for (int j = 0; j < width && column0 + j < a->block_out; j++)
                dst[slice * size + slice_offset(slice_row_of_column(j, width), i / 8) + i % 8] =
                    from[j];
        }
    }
    return count;
}

/* supports() of a plan: small problems whose clusters fill the device at most twice. */
static bool gather_supports(const chain_problem_t *p, const device_info_t *device, char *why,
                            size_t why_len) {
    gather_args_t args;
    if (device->compute_capability < GATHER_CAPABILITY || device->smem_bytes < GATHER_SMEM_BYTES)
        snprintf(why, why_len, "needs clusters and 227 KB of shared memory a block");
    else if (!chain_vectors(p))
        snprintf(why, why_len, "8 does not divide the features of a block");
    else if (!gather_geometry(p, &args))
        snprintf(why, why_len, "a cluster of %d cannot hold the rank and the columns",
                 GATHER_CLUSTER);
    else if (ceil_div(p->tokens, GATHER_TOKENS) * args.outputs * args.cluster >
             2 * (int64_t)device->cores)
        snprintf(why, why_len, "for small problems: clusters would fill the device three times");
    else
        return true;
    return false;
}

template <typename T>
static status_t gather_launch(const gather_args_t *args, size_t smem, cudaStream_t stream) {
    static uint64_t opted_in;
    const auto kernel = gather_kernel<T>;
    const int64_t grid = ceil_div(args->tokens, GATHER_TOKENS) * args->outputs * args->cluster;
    const status_t st = smem_opt_in((const void *)kernel, GATHER_SMEM_BYTES, &opted_in);
    if (st != STATUS_OK) return st;
    return launch_overlapped(kernel, grid, GATHER_THREADS, args->cluster, smem, stream, *args);
}

#endif
