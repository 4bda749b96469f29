/*
 * attention/flash for one query on Hopper, where nothing but K and V counts. A warp reads tiles of
 * KEYS keys and their values, all of a tile at once into registers, and multiplies on CUDA cores: a
 * tensor core would have one row in 16 to do, and its code costs more time to fetch than to run.
 * The warps of a cluster of blocks share out the tiles of a head; the blocks put the parts of their
 * warps together, and the cluster those of its blocks.
 */
#include "kernels/attention/flash.h"
#include "kernels/attention/flash_mma.cuh"
#include "kernels/cuda/cluster.cuh"

enum { WARPS = 8, KEYS = 8, CLUSTER_MAX = 8, VECTOR = 8 /* elements of 16 bytes */ };

/* A part: head_dim sums, the largest score and the sum of weights. */
template <int HEAD> struct __align__(16) part_t {
    float o[HEAD];
    float largest, weight;
};

template <typename T> __device__ inline void widen_vector(uint4 words, float (&v)[VECTOR]) {
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = widen_pair<T>(word[i]);
        v[2 * i] = pair.x, v[2 * i + 1] = pair.y;
    }
}

/* Which vectors of a tile a lane has: LANES of them share a key, PASSES keys a lane. */
template <int HEAD> struct lanes_t {
    static constexpr int LANES = HEAD / VECTOR, AT_ONCE = 32 / LANES, PASSES = KEYS / AT_ONCE;
};

/* Asks for this warp's keys and values in L2, where what is still written takes their place. */
template <typename T, int HEAD>
__device__ inline void prefetch_tiles(const T *k, const T *v, int first, int step,
                                      const flash_t &f) {
    constexpr int LINE = 128 / (int)sizeof(T), LINES = (HEAD + LINE - 1) / LINE;
    for (int key = first; key < f.context; key += step)
        for (int i = (int)threadIdx.x % 32; i < 2 * KEYS * LINES; i += 32) {
            const int token = key + i / LINES % KEYS;
            if (token >= f.context) continue;
            const T *const from =
                (i < KEYS * LINES ? k : v) + token * f.kv_stride + i % LINES * LINE;
            asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
        }
}

/* The part of this warp: the tiles from key `first` on, `step` keys apart. */
template <typename T, int HEAD>
__device__ inline void walk_tiles(const T *q, const T *k, const T *v, int first, int step,
                                  const flash_t &f, part_t<HEAD> &part) {
    using L = lanes_t<HEAD>;
    const int lane = (int)threadIdx.x % 32, column = lane % L::LANES * VECTOR;
    const int mine = lane / L::LANES; /* among the keys that the warp reads at once */
    float query[VECTOR], o[VECTOR] = {}, largest = -1e30f, weight = 0;
    widen_vector<T>(__ldcg((const uint4 *)(q + column)), query);
#pragma unroll 1
    for (int key = first; key < f.context; key += step) {
        uint4 keys[L::PASSES], values[L::PASSES];
        float s[L::PASSES], top = largest;
#pragma unroll
        for (int i = 0; i < L::PASSES; i++) {
            const int token = key + i * L::AT_ONCE + mine;
            const int64_t at = min(token, f.context - 1) * f.kv_stride + column;
            keys[i] = __ldcg((const uint4 *)(k + at));
            values[i] = __ldcg((const uint4 *)(v + at));
        }
#pragma unroll
        for (int i = 0; i < L::PASSES; i++) {
            float x[VECTOR];
            widen_vector<T>(keys[i], x);
            s[i] = 0;
#pragma unroll
            for (int e = 0; e < VECTOR; e++) s[i] += query[e] * x[e];
#pragma unroll
            for (int other = 1; other < L::LANES; other *= 2)
                s[i] += __shfl_xor_sync(0xffffffffu, s[i], other);
            if (key + i * L::AT_ONCE + mine >= f.context) s[i] = -1e30f;
            top = fmaxf(top, s[i]);
        }
#pragma unroll
        for (int other = L::LANES; other < 32; other *= 2)
            top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, other));
        const float old = exp2_fast((largest - top) * f.factor);
        largest = top;
        weight *= old;
#pragma unroll
        for (int e = 0; e < VECTOR; e++) o[e] *= old;
#pragma unroll
        for (int i = 0; i < L::PASSES; i++) {
            const bool exists = key + i * L::AT_ONCE + mine < f.context;
            const float p = exists ? exp2_fast((s[i] - top) * f.factor) : 0;
            float x[VECTOR];
            widen_vector<T>(values[i], x);
            weight += p;
#pragma unroll
            for (int e = 0; e < VECTOR; e++) o[e] += p * x[e];
        }
    }
#pragma unroll
    for (int other = L::LANES; other < 32; other *= 2) {
        weight += __shfl_xor_sync(0xffffffffu, weight, other);
#pragma unroll
        for (int e = 0; e < VECTOR; e++) o[e] += __shfl_xor_sync(0xffffffffu, o[e], other);
    }
    if (mine > 0) return;
    *(float4 *)(part.o + column) = make_float4(o[0], o[1], o[2], o[3]);
    *(float4 *)(part.o + column + 4) = make_float4(o[4], o[5], o[6], o[7]);
    if (lane == 0) part.largest = largest, part.weight = weight;
}

/* Element `i` of the sum of parts, weighted by their largest scores; all of them as one part. */
template <int HEAD>
__device__ inline float3 add_parts(const part_t<HEAD> *parts, int count, int i, float factor) {
    float o = 0, weight = 0, top = -1e30f;
    for (int p = 0; p < count; p++) top = fmaxf(top, parts[p].largest);
    for (int p = 0; p < count; p++) {
        const float share = exp2_fast((parts[p].largest - top) * factor);
        o += parts[p].o[i] * share;
        weight += parts[p].weight * share;
    }
    return make_float3(o, top, weight);
}

/* All clusters must run at once: at two blocks of 8 warps an SM, 30 clusters of 8 fit. */
template <typename T, int HEAD>
static __global__ void __launch_bounds__(WARPS * 32, 3)
    flash_vector_row(const T *q, const T *k, const T *v, T *out, const flash_t f) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    __shared__ part_t<HEAD> of_warp[WARPS], of_block[CLUSTER_MAX];
    const int warp = (int)threadIdx.x / 32, i = (int)threadIdx.x;
    const int sequence = (int)blockIdx.x / f.splits, rank = (int)cluster_rank();
    const int batch = sequence / f.kv_heads, head = sequence % f.kv_heads;
    const int first = (rank * WARPS + warp) * KEYS, step = f.splits * WARPS * KEYS;
    const int64_t kv = batch * f.kv_batch_stride + (int64_t)head * HEAD;
    cluster_arrive(); /* this block runs: others may send to it */
    dependents_launch();
    prefetch_tiles<T, HEAD>(k + kv, v + kv, first, step, f);
    dependency_wait();
    walk_tiles<T, HEAD>(q + batch * f.q_stride + (int64_t)head * HEAD, k + kv, v + kv, first, step,
                        f, of_warp[warp]);
    __syncthreads();
    cluster_wait();
    /* Block 0 of the cluster gets the part of each block, at its rank. */
    static_assert(HEAD <= WARPS * 32);
    if (i < HEAD) {
        const float3 sum = add_parts<HEAD>(of_warp, WARPS, i, f.factor);
        const uint32_t to = cluster_address(smem_address(&of_block[rank]), 0);
        cluster_store(to + 4 * i, __float_as_uint(sum.x));
        if (i == 0) cluster_store(to + 4 * HEAD, __float_as_uint(sum.y));
        if (i == 0) cluster_store(to + 4 * HEAD + 4, __float_as_uint(sum.z));
    }
    cluster_sync();
    if (rank == 0 && i < HEAD) {
        const float3 sum = add_parts<HEAD>(of_block, f.splits, i, f.factor);
        out[(int64_t)sequence * HEAD + i] = T(sum.x / sum.z);
    }
#else
    (void)q, (void)k, (void)v, (void)out, (void)f;
    __trap();
#endif
}

/* ---- host ---- */

/* The largest cluster whose blocks all have keys. */
static int choose_cluster(const problem_t *p) {
    int cluster = CLUSTER_MAX;
    while (cluster > 1 && (cluster - 1) * WARPS * KEYS >= p->context) cluster /= 2;
    return cluster;
}

template <typename T, int HEAD>
static status_t launch_head(const problem_t *p, void *const *tensors, stream_t stream) {
    flash_t f = flash_of(p, tensors);
    f.splits = choose_cluster(p);
    if (!f.vectors) return fail(STATUS_UNSUPPORTED, "rows of attention do not begin at 16 bytes");
    return launch_overlapped(flash_vector_row<T, HEAD>, p->batch * p->kv_heads * f.splits,
                             WARPS * 32, f.splits, 0, stream, (const T *)tensors[0],
                             (const T *)tensors[1], (const T *)tensors[2], (T *)tensors[3], f);
}

template <typename T>
static status_t launch_dtype(const problem_t *p, void *const *tensors, stream_t stream) {
    return attention_head_dim(p) == 64 ? launch_head<T, 64>(p, tensors, stream)
                                       : launch_head<T, 128>(p, tensors, stream);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace;
    return p->dtype == DTYPE_BF16 ? launch_dtype<__nv_bfloat16>(p, tensors, stream)
                                  : launch_dtype<__half>(p, tensors, stream);
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    const int64_t d = attention_head_dim(p);
    if (!supports_hopper(device, why, why_len)) return false;
    if (p->tokens > 1 || p->heads > p->kv_heads)
        snprintf(why, why_len, "takes one query of each head that has keys");
    else if (d != 64 && d != 128)
        snprintf(why, why_len, "takes head dims of 64 and 128");
    else if (attention_q_stride(p) % VECTOR || attention_kv_stride(p) % VECTOR ||
             attention_kv_batch_stride(p) % VECTOR)
        snprintf(why, why_len, "takes strides that are multiples of %d elements", (int)VECTOR);
    else if (p->context > 1 << 30 || p->batch * p->kv_heads > 1 << 24)
        snprintf(why, why_len, "takes up to 2^30 keys of 2^24 heads");
    else
        return true;
    return false;
}

extern const variant_t flash_vector = {
    .structure = "attention",
    .name = "vector",
    .summary = "CUDA cores, the warps of a cluster share out the keys of one row",
    .device = DEVICE_CUDA,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .launch = launch,
};
