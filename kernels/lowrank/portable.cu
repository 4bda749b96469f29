/*
 * Plans of lowrank/fused: Y = (X V) U in one kernel. Two ways, both for problems so small that the
 * launch of a second kernel counts:
 *
 *   cluster  eight blocks of threads share T = X V of their tokens through distributed shared
 *            memory (kernels/cuda/gather.cuh)
 *   sm80     portable: each tile of columns computes T again (kernels/cuda/chain.cuh), where that
 *            is still less work than the dense layer
 *
 * Elsewhere T is worth its way through L2: see lowrank/cublas.
 */
#include "kernels/lowrank/portable.h"

#include "kernels/cuda/gather.cuh"

typedef chain_tile<2, 4, 1, 4, 96, 1, 2, 1, 4, 8, 1> t32x128_r96;
typedef chain_tile<2, 4, 1, 4, 128, 1, 2, 1, 4, 8, 1> t32x128_r128;
typedef chain_tile<2, 4, 2, 4, 96, 1, 2, 1, 3, 8, 1> t64x128_r96;
typedef chain_tile<2, 4, 2, 4, 128, 1, 2, 1, 3, 8, 1> t64x128_r128;

static chain_problem_t chain_problem(const problem_t *p) {
    return {.tokens = p->tokens,
            .in_features = p->in_features,
            .out_features = p->out_features,
            .blocks = 1,
            .rank = p->rank};
}

bool lowrank_supports_flops(const problem_t *p, char *why, size_t why_len) {
    static const double MOST_FLOPS = 4e9;
    const double flops =
        2.0 * (double)(p->tokens * p->rank) * (double)(p->in_features + p->out_features);
    if (flops <= MOST_FLOPS) return true;
    snprintf(why, why_len, "%.0f GFLOP, beyond %.0f two library calls are faster", flops / 1e9,
             MOST_FLOPS / 1e9);
    return false;
}

static size_t no_workspace(const problem_t *p, const device_info_t *device) {
    (void)p, (void)device;
    return 0;
}

/* ---- clusters ---- */

struct lowrank_cluster_plan {
    static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t len) {
        const chain_problem_t chain = chain_problem(p);
        return lowrank_supports_flops(p, why, len) && gather_supports(&chain, device, why, len);
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const chain_problem_t chain = chain_problem(p);
        gather_args_t args;
        gather_geometry(&chain, &args);
        const uint16_t *const from = (const uint16_t *)src;
        return tensor == 1
                   ? gather_pack_v(&args, p->rank, {from, 0, 0, p->rank}, (uint16_t *)dst)
                   : gather_pack_u(&args, p->rank, {from, 0, 0, p->out_features}, (uint16_t *)dst);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        (void)workspace;
        const chain_problem_t chain = chain_problem(p);
        gather_args_t args;
        const size_t smem = gather_geometry(&chain, &args);
        args.x = tensors[0], args.v = tensors[1], args.u = tensors[2], args.y = tensors[3];
        cudaStream_t cuda = (cudaStream_t)stream;
        return p->dtype == DTYPE_BF16 ? gather_launch<__nv_bfloat16>(&args, smem, cuda)
                                      : gather_launch<__half>(&args, smem, cuda);
    }
};

/* ---- portable ---- */

template <typename TILE>
static int64_t pack_tile(const problem_t *problem, int tensor, const void *src, void *dst) {
    const chain_problem_t p = chain_problem(problem);
    const uint16_t *const from = (const uint16_t *)src;
    if (tensor == 1) return chain_pack_v<TILE>(&p, {from, 0, 0, p.rank}, (uint16_t *)dst);
    return chain_pack_u<TILE>(&p, {from, 0, 0, p.out_features}, (uint16_t *)dst);
}

template <typename TILE>
static status_t launch_tile(const problem_t *problem, void *const *tensors, cudaStream_t stream) {
    const chain_problem_t p = chain_problem(problem);
    chain_args_t args = chain_geometry<TILE>(&p);
    args.x = tensors[0], args.v = tensors[1], args.u = tensors[2], args.y = tensors[3];
    return problem->dtype == DTYPE_BF16
               ? chain_launch_kernel<__nv_bfloat16, TILE, true>(&args, stream)
               : chain_launch_kernel<__half, TILE, true>(&args, stream);
}

/* Two tiles that differ in the rank of a link. */
template <typename NARROW, typename WIDE> struct portable_plan {
    static bool narrow(const problem_t *p) {
        return round_up(p->rank, NARROW::RANK) < round_up(p->rank, WIDE::RANK);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t len) {
        const chain_problem_t chain = chain_problem(p);
        const size_t smem = narrow(p) ? NARROW::SMEM_BYTES : WIDE::SMEM_BYTES;
        const int64_t tiles = ceil_div(p->out_features, WIDE::COLUMNS);
        if (!supports_portable(device, why, len) || !lowrank_supports_flops(p, why, len))
            return false;
        if ((int64_t)smem > device->smem_bytes)
            snprintf(why, len, "needs %zu bytes of shared memory a block", smem);
        else if (!chain_vectors(&chain))
            snprintf(why, len, "8 does not divide the features");
        else if (p->rank * (tiles * p->in_features + p->out_features) >
                 p->in_features * p->out_features)
            snprintf(why, len, "T for each of %lld tiles is more work than the dense layer",
                     (long long)tiles);
        else
            return true;
        return false;
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        return narrow(p) ? pack_tile<NARROW>(p, tensor, src, dst)
                         : pack_tile<WIDE>(p, tensor, src, dst);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        (void)workspace;
        cudaStream_t cuda = (cudaStream_t)stream;
        return narrow(p) ? launch_tile<NARROW>(p, tensors, cuda)
                         : launch_tile<WIDE>(p, tensors, cuda);
    }
};

typedef portable_plan<t32x128_r96, t32x128_r128> portable_32;
typedef portable_plan<t64x128_r96, t64x128_r128> portable_64;

template <typename PLAN>
static constexpr variant_t plan_variant(const char *name, const char *summary) {
    variant_t v = {};
    v.structure = "lowrank", v.name = name, v.summary = summary, v.device = DEVICE_CUDA;
    v.output_order = ORDER_KJ, v.dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16);
    v.supports = PLAN::supports, v.pack = PLAN::pack, v.launch = PLAN::launch;
    v.workspace = no_workspace;
    return v;
}

constexpr variant_t lowrank_cluster_32 =
    plan_variant<lowrank_cluster_plan>("cluster_32", "clusters share T, 32 tokens each");
constexpr variant_t lowrank_sm80_32x128 =
    plan_variant<portable_32>("sm80_32x128", "T again for each tile of 128 columns");
constexpr variant_t lowrank_sm80_64x128 =
    plan_variant<portable_64>("sm80_64x128", "T again for each tile of 128 columns");
