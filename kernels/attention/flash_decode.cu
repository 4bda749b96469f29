/*
 * attention/flash for few queries on Hopper: what counts is how fast K and V come. The keys of a K
 * and V head are shared out among the warps of a cluster of blocks, each with tiles of its own;
 * then the blocks put the parts of their warps together, and the cluster those of its blocks.
 */
#include "kernels/attention/flash.h"
#include "kernels/attention/flash_mma.cuh"
#include "kernels/cuda/cluster.cuh"

enum { WARPS = 4, KEYS = 16, CLUSTER_MAX = 8, BLOCKS_WANTED = 264, PART_PAD = 4 };

/* Rows of a part are head_dim sums, the maximum and the sum of weights, and padding to 16 bytes. */
template <typename S> struct layout_t {
    static constexpr int TEAM = 2 * (S::Q_ELEMENTS + 4 * S::TILE_ELEMENTS);
    static constexpr int PART = 4 * S::ROWS * (S::HEAD + PART_PAD);
    static constexpr int SMEM = WARPS * TEAM + PART;
    static_assert(PART <= TEAM);
};

/* Adds a part to the sums so far, whose largest score and sum of weights are m and weight. */
__device__ inline void add_part(float4 &o, float &m, float &weight, const float4 &part,
                                float part_m, float part_weight, float factor) {
    const float top = fmaxf(m, part_m);
    const float old = exp2_fast((m - top) * factor), now = exp2_fast((part_m - top) * factor);
    o = make_float4(o.x * old + part.x * now, o.y * old + part.y * now, o.z * old + part.z * now,
                    o.w * old + part.w * now);
    weight = weight * old + part_weight * now;
    m = top;
}

/* The parts of a block's warps into `to`. */
template <typename S>
__device__ inline void combine_warps(uint8_t *raw, float *to, int rows, const flash_t &f) {
    const int pitch = f.head_dim + PART_PAD, quads = f.head_dim / 4;
    for (int i = (int)threadIdx.x; i < rows * quads; i += WARPS * 32) {
        const int row = i / quads, quad = i % quads;
        float4 o = {0, 0, 0, 0};
        float m = -1e30f, weight = 0;
#pragma unroll
        for (int warp = 0; warp < WARPS; warp++) {
            const float *const part = (const float *)(raw + warp * layout_t<S>::TEAM) + row * pitch;
            add_part(o, m, weight, *(const float4 *)(part + 4 * quad), part[f.head_dim],
                     part[f.head_dim + 1], f.factor);
        }
        *(float4 *)(to + row * pitch + 4 * quad) = o;
        if (quad == 0) *(float2 *)(to + row * pitch + f.head_dim) = make_float2(m, weight);
    }
}

/* The parts of the cluster's blocks to memory; each block does some of it. */
template <typename T>
__device__ inline void combine_blocks(const float *own, T *out, int rows, const work_t &work,
                                      const flash_t &f) {
    const int pitch = f.head_dim + PART_PAD, quads = f.head_dim / 4;
    const int rank = (int)cluster_rank(), step = f.splits * WARPS * 32;
    for (int i = rank * WARPS * 32 + (int)threadIdx.x; i < rows * quads; i += step) {
        const int row = i / quads, quad = i % quads;
        const uint32_t sums = smem_address(own + row * pitch + 4 * quad);
        const uint32_t known = smem_address(own + row * pitch + f.head_dim);
        float4 o = {0, 0, 0, 0};
        float m = -1e30f, weight = 0;
#pragma unroll 8
        for (int block = 0; block < f.splits; block++) {
            const float4 part = cluster_load(cluster_address(sums, block));
            const float4 of_row = cluster_load(cluster_address(known, block));
            add_part(o, m, weight, part, of_row.x, of_row.y, f.factor);
        }
        const int token = row / f.group, head = work.kv_head * f.group + row % f.group;
        const int64_t all = (work.batch * (int64_t)f.tokens + token) * f.kv_heads * f.group + head;
        uint2 words;
        words.x = round_pair<T>(o.x / weight, o.y / weight);
        words.y = round_pair<T>(o.z / weight, o.w / weight);
        *(uint2 *)(out + all * f.head_dim + 4 * quad) = words;
    }
}

template <typename T, typename S>
static __global__ void __launch_bounds__(WARPS * 32)
    flash_decode_rows(const T *q, const T *k, const T *v, T *out, const flash_t f) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(16) uint8_t raw[];
    const int warp = (int)threadIdx.x / 32, sequence = (int)blockIdx.x / f.splits;
    const int first = ((int)cluster_rank() * WARPS + warp) * f.split_keys;
    const int rows = f.tokens * f.group;
    const work_t work = {sequence / f.kv_heads, sequence % f.kv_heads, 0, first,
                         min(f.context, first + f.split_keys)};
    T *const tile = (T *)(raw + warp * layout_t<S>::TEAM);
    float *const own = (float *)tile, *const of_block = (float *)(raw + WARPS * layout_t<S>::TEAM);
    float o[S::HEAD / 2];
    rows_t known;
    dependents_launch();
    dependency_wait();
    walk_keys<T, S>(o, known, tile, tile + S::Q_ELEMENTS, q, k, v, work, f);
    __syncwarp(); /* the part takes the place of the tiles */
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = (int)threadIdx.x % 32 / 4 + 8 * r;
        store_part(o, r, known, own + row * (f.head_dim + PART_PAD), f.head_dim, row < rows);
    }
    __syncthreads();
    combine_warps<S>(raw, of_block, rows, f);
    cluster_sync();
    combine_blocks(of_block, out, rows, work, f);
    cluster_sync(); /* others may still read this block's part */
#else
    (void)q, (void)k, (void)v, (void)out, (void)f;
    __trap();
#endif
}

/* ---- host ---- */

template <typename T, typename S>
static status_t launch_rows(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t opted_in;
    const int64_t sequences = p->batch * p->kv_heads;
    flash_t f = flash_of(p, tensors);
    int cluster = CLUSTER_MAX;
    while (cluster > 1 &&
           (sequences * cluster > BLOCKS_WANTED || cluster * WARPS * KEYS >= 2 * p->context))
        cluster /= 2;
    f.splits = cluster;
    f.split_keys = (int)round_up(ceil_div(p->context, cluster * WARPS), KEYS);
    const status_t st =
        smem_opt_in((const void *)flash_decode_rows<T, S>, layout_t<S>::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    return launch_overlapped(flash_decode_rows<T, S>, sequences * cluster, WARPS * 32, cluster,
                             layout_t<S>::SMEM, stream, (const T *)tensors[0],
                             (const T *)tensors[1], (const T *)tensors[2], (T *)tensors[3], f);
}

template <typename T>
static status_t launch_dtype(const problem_t *p, void *const *tensors, stream_t stream) {
    const int64_t d = attention_head_dim(p);
    if (d <= 64) return launch_rows<T, tile_shape<64, 1, KEYS>>(p, tensors, stream);
    if (d <= 80) return launch_rows<T, tile_shape<80, 1, KEYS>>(p, tensors, stream);
    return launch_rows<T, tile_shape<128, 1, KEYS>>(p, tensors, stream);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace;
    return DISPATCH_DTYPE(p, launch_dtype, p, tensors, stream);
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    const int64_t d = attention_head_dim(p);
    if (!supports_hopper(device, why, why_len)) return false;
    if (p->tokens * (p->heads / p->kv_heads) > WARP_ROWS)
        snprintf(why, why_len, "takes up to 16 queries of the heads that share keys");
    else if (d > 128 || d % 8)
        snprintf(why, why_len, "takes head dims up to 128 that are multiples of 8");
    else if (p->context > 1 << 30 || p->batch * p->kv_heads > 1 << 24)
        snprintf(why, why_len, "takes up to 2^30 keys of 2^24 heads");
    else
        return true;
    return false;
}

extern const variant_t flash_decode = {
    .structure = "attention",
    .name = "decode",
    .summary = "mma.sync, a cluster shares out the keys of up to 16 rows",
    .device = DEVICE_CUDA,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .launch = launch,
};
