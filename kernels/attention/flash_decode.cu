/*
 * attention/flash for few queries on Hopper: what counts is how fast K and V come. The keys of a K
 * and V head are shared out among the warps of a cluster of blocks, each with tiles of its own;
 * then the blocks put the parts of their warps together, and the cluster those of its blocks.
 */
#include "kernels/attention/flash.h"
#include "kernels/attention/flash_mma.cuh"
#include "kernels/cuda/cluster.cuh"

enum { KEYS = 16, CLUSTER_MAX = 8, PART_PAD = 4 };

/*
 * Shared memory: the tiles of each warp, whose place its part takes when it is done: rows of
 * head_dim sums, the maximum and the sum of weights, padded to 16 bytes. Then what the blocks of
 * the cluster send to this one: for each four features that it owns two words of 16 bytes from
 * each.
 */
/* S is what a warp does, WARPS how many of them a block has. */
template <typename S, int WARPS> struct layout_t {
    static constexpr int TEAM = S::SMEM, PART = 4 * WARP_ROWS * (S::HEAD + PART_PAD);
    static constexpr int WORD = 16;
    static_assert(PART <= TEAM);

    static int bytes(int rows, int head_dim, int cluster) {
        const int quads = rows * head_dim / 4;
        return WARPS * TEAM + (quads + cluster - 1) / cluster * cluster * 2 * WORD;
    }
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

/* Puts the parts of this block's warps together and sends them to the blocks that own them: four
 * features i of all rows to block i % splits. */
template <typename S, int WARPS>
__device__ inline void send_parts(const uint8_t *raw, uint32_t inbox, int rows, const flash_t &f) {
    using L = layout_t<S, WARPS>;
    const int pitch = f.head_dim + PART_PAD, quads = f.head_dim / 4, rank = (int)cluster_rank();
    for (int i = (int)threadIdx.x; i < rows * quads; i += WARPS * 32) {
        const int row = i / quads, quad = i % quads;
        float4 o = {0, 0, 0, 0};
        float m = -1e30f, weight = 0;
#pragma unroll
        for (int warp = 0; warp < WARPS; warp++) {
            const float *const part = (const float *)(raw + warp * L::TEAM) + row * pitch;
            add_part(o, m, weight, *(const float4 *)(part + 4 * quad), part[f.head_dim],
                     part[f.head_dim + 1], f.factor);
        }
        const uint32_t place = inbox + (i / f.splits * f.splits + rank) * 2 * L::WORD;
        const uint32_t to = cluster_address(place, i % f.splits);
        cluster_store(to, o);
        cluster_store(to + L::WORD, make_float4(m, weight, 0, 0));
    }
}

/* Puts together what the blocks sent, and writes it. */
template <typename T, int WARPS>
__device__ inline void write_rows(const float4 *inbox, T *out, int rows, const work_t &work,
                                  const flash_t &f) {
    const int quads = f.head_dim / 4, rank = (int)cluster_rank();
    for (int slot = (int)threadIdx.x; slot * f.splits + rank < rows * quads; slot += WARPS * 32) {
        const int i = slot * f.splits + rank, row = i / quads, quad = i % quads;
        float4 o = {0, 0, 0, 0};
        float m = -1e30f, weight = 0;
        for (int block = 0; block < f.splits; block++) {
            const float4 *const part = inbox + (slot * f.splits + block) * 2;
            add_part(o, m, weight, part[0], part[1].x, part[1].y, f.factor);
        }
        const int token = row / f.group, head = work.kv_head * f.group + row % f.group;
        const int64_t all = (work.batch * (int64_t)f.tokens + token) * f.kv_heads * f.group + head;
        uint2 words;
        words.x = round_pair<T>(o.x / weight, o.y / weight);
        words.y = round_pair<T>(o.z / weight, o.w / weight);
        *(uint2 *)(out + all * f.head_dim + 4 * quad) = words;
    }
}

/*
 * Asks for this warp's keys and values before the kernel ahead has ended: in L2, where what it
 * still writes of them takes their place.
 */
template <typename T>
__device__ inline void prefetch_keys(const T *k, const T *v, const work_t &work, const flash_t &f) {
    constexpr int LINE = 128 / (int)sizeof(T), LINES = 2;
    const int64_t head = work.batch * f.kv_batch_stride + (int64_t)work.kv_head * f.head_dim;
    for (int key = work.first_key; key < work.last_key; key += work.key_step)
        for (int i = (int)threadIdx.x % 32; i < 2 * KEYS * LINES; i += 32) {
            const int token = key + i / LINES % KEYS, column = i % LINES * LINE;
            if (token >= work.last_key || column >= f.head_dim) continue;
            const T *const from = (i < KEYS * LINES ? k : v) + head + token * f.kv_stride + column;
            asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(from)));
        }
}

template <typename T, typename S, int WARPS>
static __global__ void __launch_bounds__(WARPS * 32)
    flash_decode_rows(const T *q, const T *k, const T *v, T *out, const flash_t f) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(16) uint8_t raw[];
    const int warp = (int)threadIdx.x / 32, sequence = (int)blockIdx.x / f.splits;
    const int rows = f.tokens * f.group;
    const work_t work = {.batch = sequence / f.kv_heads,
                         .kv_head = sequence % f.kv_heads,
                         .row = 0,
                         .first_key = ((int)cluster_rank() * WARPS + warp) * KEYS,
                         .last_key = f.context,
                         .key_step = f.splits * WARPS * KEYS};
    uint8_t *const team = raw + warp * layout_t<S, WARPS>::TEAM;
    uint8_t *const inbox = raw + WARPS * layout_t<S, WARPS>::TEAM;
    float o[S::HEAD / 2];
    rows_t known;
    cluster_arrive(); /* this block runs: others may send to it */
    dependents_launch();
    prefetch_keys(k, v, work, f);
    dependency_wait();
    walk_keys<T, S>(o, known, (T *)team, q, k, v, work, f);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = (int)threadIdx.x % 32 / 4 + 8 * r;
        store_part(o, r, known, (float *)team + row * (f.head_dim + PART_PAD), f.head_dim,
                   row < rows);
    }
    __syncthreads();
    cluster_wait();
    send_parts<S, WARPS>(raw, smem_address(inbox), rows, f);
    cluster_sync();
    write_rows<T, WARPS>((const float4 *)inbox, out, rows, work, f);
#else
    (void)q, (void)k, (void)v, (void)out, (void)f;
    __trap();
#endif
}

/* ---- host ---- */

/* How many clusters of so many blocks the device runs at once. */
template <typename T, typename S, int WARPS>
static status_t clusters_at_once(int cluster, size_t smem, int *out) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim = {(unsigned)cluster, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = (unsigned)cluster;
    config.blockDim = WARPS * 32;
    config.dynamicSmemBytes = smem;
    config.attrs = &attribute;
    config.numAttrs = 1;
    CUDA(cudaOccupancyMaxActiveClusters(out, flash_decode_rows<T, S, WARPS>, &config));
    return STATUS_OK;
}

/* The largest cluster of which all run at once, and whose warps all have keys. */
template <typename T, typename S, int WARPS>
static status_t choose_cluster(const problem_t *p, int rows, int *out) {
    static int at_once[CLUSTER_MAX + 1][WARP_ROWS + 1];
    for (*out = CLUSTER_MAX; *out > 1; *out /= 2) {
        int *const known = &at_once[*out][rows];
        const int smem = layout_t<S, WARPS>::bytes(rows, S::HEAD, *out);
        const status_t st =
            *known ? STATUS_OK : clusters_at_once<T, S, WARPS>(*out, (size_t)smem, known);
        if (st != STATUS_OK) return st;
        if (p->batch * p->kv_heads <= *known && (*out - 1) * WARPS * KEYS < p->context) break;
    }
    return STATUS_OK;
}

template <typename T, typename S, int WARPS>
static status_t launch_rows(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t opted_in;
    const int rows = (int)(p->tokens * (p->heads / p->kv_heads));
    flash_t f = flash_of(p, tensors);
    status_t st =
        smem_opt_in((const void *)flash_decode_rows<T, S, WARPS>,
                    (size_t)layout_t<S, WARPS>::bytes(WARP_ROWS, S::HEAD, CLUSTER_MAX), &opted_in);
    if (st == STATUS_OK) st = choose_cluster<T, S, WARPS>(p, rows, &f.splits);
    if (st != STATUS_OK) return st;
    return launch_overlapped(
        flash_decode_rows<T, S, WARPS>, p->batch * p->kv_heads * f.splits, WARPS * 32, f.splits,
        (size_t)layout_t<S, WARPS>::bytes(rows, S::HEAD, f.splits), stream, (const T *)tensors[0],
        (const T *)tensors[1], (const T *)tensors[2], (T *)tensors[3], f);
}

/* Rings are longer where blocks are alone on their SM. */
template <typename T, int WARPS>
static status_t launch_dtype(const problem_t *p, void *const *tensors, stream_t stream) {
    constexpr int SHORT = WARPS > 4 ? 4 : 2, LONG = WARPS > 4 ? 3 : 2;
    const int64_t d = attention_head_dim(p);
    if (d <= 64) return launch_rows<T, tile_shape<64, 1, KEYS, SHORT>, WARPS>(p, tensors, stream);
    if (d <= 80) return launch_rows<T, tile_shape<80, 1, KEYS, SHORT>, WARPS>(p, tensors, stream);
    return launch_rows<T, tile_shape<128, 1, KEYS, LONG>, WARPS>(p, tensors, stream);
}

template <int WARPS>
static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace;
    return p->dtype == DTYPE_BF16 ? launch_dtype<__nv_bfloat16, WARPS>(p, tensors, stream)
                                  : launch_dtype<__half, WARPS>(p, tensors, stream);
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

#define PLAN(NAME, TEXT, WARPS)                                                                    \
    extern const variant_t NAME = {                                                                \
        .structure = "attention",                                                                  \
        .name = TEXT,                                                                              \
        .summary = "mma.sync, the warps of a cluster share out the keys of up to 16 rows",         \
        .device = DEVICE_CUDA,                                                                     \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = supports,                                                                      \
        .launch = launch<WARPS>,                                                                   \
    }

PLAN(flash_decode_4, "decode_4", 4);
PLAN(flash_decode_8, "decode_8", 8);
