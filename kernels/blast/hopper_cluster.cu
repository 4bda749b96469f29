/*
 * blast/fused on Hopper for small layers, which are a matter of latency: one kernel, in which the
 * bytes and FLOPs of a tile of tokens are spread over a large cluster.
 *
 * A cluster of PARTS x GROUPS blocks owns 64 tokens and all outputs. The inputs are cut into
 * PARTS parts, each inside of one input block l, and the ranks into GROUPS groups.
 *
 *   1. Block (part, group) computes Y of its part and group, a product like any other, and sends
 *      each unit of 8 ranks, rounded, to the block of its group that mixes that unit.
 *   2. It mixes its units, Z_k = sum of the parts' Y * s_lk for all k, and sends each Z_k to the
 *      blocks that own columns of output block k.
 *   3. It computes its columns, Y_k = Z_k U_k.
 *
 * What is sent announces itself on a barrier in the memory of the block that it goes to. Where Z
 * comes to lie the ring was; the cluster's barrier, which nobody waits for long, says when that is
 * over. It is the one that orders nothing in memory: the other costs more than the exchange.
 *
 * One warp loads weights, before the kernel ahead has ended, as many as there is room for; another
 * X (64 tokens x 64) and what is left of V (RANKS x 64) into a ring of slots. Each of two
 * warpgroups takes half of the ranks, then half of the columns. What a block does:
 * hopper_cluster_block.cuh.
 *
 * Where one block an SM does, that is what the launch asks for: clusters whose blocks may share an
 * SM do so although other SMs are idle, and the next launch, lying in wait beside them, slows them.
 */
#include "kernels/blast/hopper.h"

#include "kernels/blast/hopper_cluster_block.cuh"
#include "kernels/cuda/tensor_map.h"

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, S::COLUMNS <= 256 ? 2 : 1)
    blast_cluster(const __grid_constant__ CUtensorMap x_map,
                  const __grid_constant__ cluster_args_t args) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const layout_t<S> smem = {(smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u)};
    const cluster_t<T, S> cluster(smem, args);
    if (threadIdx.x == S::X_THREAD) {
        cluster.expect_exchange();
        cluster.prefetch_inputs(&x_map);
    } else if (threadIdx.x == S::WEIGHTS_THREAD) {
        cluster.load_weights();
    }
    __syncthreads();
    cluster_arrive_relaxed();
    if (threadIdx.x < S::CONSUMER_THREADS) {
        cluster.compute();
    } else {
        if (threadIdx.x == S::X_THREAD) {
            dependency_wait();
            dependents_launch();
            cluster.load_inputs(&x_map);
        }
        cluster_wait();
        for (int i = 0; i < 2; i++) {
            cluster_arrive_relaxed();
            cluster_wait();
        }
    }
#else
    __trap();
#endif
}

/* Once a kernel and device: clusters of more than 8 blocks, all of the SM's memory as shared. */
static status_t allow_cluster(const void *kernel, uint64_t *done) {
    int device = 0;
    CUDA(cudaGetDevice(&device));
    if (device < 64 && *done >> device & 1) return STATUS_OK;
    CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1));
    CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                              cudaSharedmemCarveoutMaxShared));
    return smem_opt_in(kernel, STAGE_SMEM, done);
}

/* Clusters that the device holds at once with one block an SM. */
template <typename T, typename S> static status_t clusters_alone(int *out) {
    cudaLaunchAttribute cluster = {};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim = {S::BLOCKS, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = S::BLOCKS;
    config.blockDim = S::THREADS;
    config.dynamicSmemBytes = ALONE_SMEM;
    config.attrs = &cluster;
    config.numAttrs = 1;
    CUDA(cudaOccupancyMaxActiveClusters(out, blast_cluster<T, S>, &config));
    return STATUS_OK;
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t allowed;
    static int alone = -1; /* as on the first device */
    const int64_t in_block = p->in_features / p->blocks, out_block = p->out_features / p->blocks;
    const cluster_args_t args = {.v = (const uint8_t *)tensors[1],
                                 .s = (const uint8_t *)tensors[2],
                                 .u = (const uint8_t *)tensors[3],
                                 .y = (uint16_t *)tensors[4],
                                 .tokens = (int)p->tokens,
                                 .blocks = (int)p->blocks,
                                 .in_block = (int)in_block,
                                 .out_block = (int)out_block,
                                 .out_features = (int)p->out_features,
                                 .column_tiles = (int)ceil_div(out_block, S::COLUMNS),
                                 .cut = cut_of<S>(p)};
    CUtensorMap x_map;
    status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                p->in_features, TOKENS, DEPTH, SWIZZLE);
    if (st == STATUS_OK) st = allow_cluster((const void *)blast_cluster<T, S>, &allowed);
    if (st == STATUS_OK && alone < 0) st = clusters_alone<T, S>(&alone);
    if (st != STATUS_OK) return st;
    const int64_t tiles = ceil_div(p->tokens, TOKENS);
    const int smem = tiles <= alone && args.cut.smem < ALONE_SMEM ? ALONE_SMEM : args.cut.smem;
    return launch_overlapped(blast_cluster<T, S>, tiles * S::BLOCKS, S::THREADS, S::BLOCKS, smem,
                             stream, x_map, args);
}

/* A plan: the blocks of a cluster. The rest follows from the problem. */
template <int PARTS, int GROUPS> struct cluster_plan {
    static constexpr int BLOCKS = PARTS * GROUPS;
    static constexpr int UNIT_COLUMNS = 768 / BLOCKS; /* 768, 2304 and 3072 outputs fit */
    static constexpr int MOST_RANKS = 192, MOST_COLUMNS = 4 * UNIT_COLUMNS, MOST_BLOCKS = 8;

    template <int RANKS, typename F> static auto with_ranks(const problem_t *p, F f) {
        const int64_t columns = columns_of(p);
        if (columns <= UNIT_COLUMNS)
            return f.template operator()<cluster_shape<PARTS, GROUPS, RANKS, UNIT_COLUMNS>>();
        if (columns <= 3 * UNIT_COLUMNS)
            return f.template operator()<cluster_shape<PARTS, GROUPS, RANKS, 3 * UNIT_COLUMNS>>();
        return f.template operator()<cluster_shape<PARTS, GROUPS, RANKS, MOST_COLUMNS>>();
    }

    /* Calls f.template operator()<shape>(). */
    template <typename F> static auto with_shape(const problem_t *p, F f) {
        return p->rank <= 64    ? with_ranks<64 / GROUPS>(p, f)
               : p->rank <= 128 ? with_ranks<128 / GROUPS>(p, f)
                                : with_ranks<MOST_RANKS / GROUPS>(p, f);
    }

    static int64_t columns_of(const problem_t *p) {
        return ceil_div(p->out_features / p->blocks, BLOCKS / p->blocks);
    }

    static int blocks_an_sm(const problem_t *p) {
        return with_shape(p, [&]<typename S>() { return cut_of<S>(p).smem; }) > HALF_SMEM ? 1 : 2;
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        if (!supports_hopper(device, why, why_len)) return false;
        const int64_t b = p->blocks;
        if (b < 2 || b > MOST_BLOCKS || PARTS % b)
            snprintf(why, why_len, "takes 2 to %d blocks that divide %d", MOST_BLOCKS, PARTS);
        else if (p->rank > MOST_RANKS)
            snprintf(why, why_len, "the rank is above %d", MOST_RANKS);
        else if (columns_of(p) > MOST_COLUMNS)
            snprintf(why, why_len, "more than %d columns a block", MOST_COLUMNS);
        else if (p->in_features / b % 8 || p->out_features / b % 8)
            snprintf(why, why_len, "in or out features of a block are not a multiple of 8");
        else if (!with_shape(p, [&]<typename S>() { return fits<S>(p); }))
            snprintf(why, why_len, "weights of a block do not fit into shared memory");
        else if (p->tokens < 65)
            snprintf(why, why_len, "tiles are %d tokens, too many for %lld", TOKENS,
                     (long long)p->tokens);
        else if (ceil_div(p->tokens, TOKENS) * BLOCKS > device->cores * blocks_an_sm(p))
            snprintf(why, why_len, "more than one wave of tiles");
        else
            return true;
        return false;
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const uint16_t *const from = (const uint16_t *)src;
        uint16_t *const to = (uint16_t *)dst;
        return with_shape(p, [&]<typename S>() {
            return tensor == 1   ? pack_v<S>(p, from, to)
                   : tensor == 2 ? pack_s<S>(p, from, to)
                                 : hopper_pack_u(p, {.columns = S::COLUMNS}, from, to);
        });
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *, stream_t stream) {
        return with_shape(p, [&]<typename S>() {
            return p->dtype == DTYPE_BF16 ? launch_shape<__nv_bfloat16, S>(p, tensors, stream)
                                          : launch_shape<__half, S>(p, tensors, stream);
        });
    }
};

#define CLUSTER_PLAN(NAME, PARTS, GROUPS)                                                          \
    extern const variant_t blast_hopper_cluster##NAME = {                                          \
        .structure = "blast",                                                                      \
        .name = "hopper_cluster" #NAME,                                                            \
        .summary = "one kernel, 64 tokens a cluster of " #PARTS " x " #GROUPS " blocks",           \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = cluster_plan<PARTS, GROUPS>::supports,                                         \
        .pack = cluster_plan<PARTS, GROUPS>::pack,                                                 \
        .launch = cluster_plan<PARTS, GROUPS>::launch,                                             \
    };

CLUSTER_PLAN(6x2, 6, 2)
CLUSTER_PLAN(12x1, 12, 1)
CLUSTER_PLAN(6x1, 6, 1)
