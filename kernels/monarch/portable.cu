/*
 * monarch/fused_sm80: both products in one kernel of cp.async, ldmatrix and mma.sync (see
 * kernels/cuda/chain.cuh). A plan is a tile of tokens x columns of one output block; where q is
 * wider than the tile, T is computed once for each tile. _g4: four input blocks side by side, for
 * problems so small that latency decides.
 */
#include "kernels/monarch/portable.h"

#include "kernels/cuda/gather.cuh"

/* A plan has two tiles that differ in the columns of T a link has. */
template <typename NARROW, typename WIDE> struct monarch_plan {
    static bool narrow(const chain_problem_t *p) {
        return round_up(p->rank, NARROW::RANK) < round_up(p->rank, WIDE::RANK);
    }

    static size_t smem(const chain_problem_t *p) {
        return narrow(p) ? NARROW::SMEM_BYTES : WIDE::SMEM_BYTES;
    }

    static int64_t pack(const problem_t *problem, int tensor, const void *src, void *dst);
    static status_t launch(const problem_t *problem, void *const *tensors, void *workspace,
                           stream_t stream);
};

typedef chain_tile<2, 4, 1, 4, 32, 4, 2, 1, 3, 12, 1> t32x128_g4_r32;
typedef chain_tile<2, 4, 1, 4, 48, 4, 2, 1, 3, 12, 1> t32x128_g4_r48;
typedef chain_tile<2, 4, 2, 4, 32, 4, 2, 1, 2, 8, 1> t64x128_g4_r32;
typedef chain_tile<2, 4, 2, 4, 48, 4, 2, 1, 2, 8, 1> t64x128_g4_r48;
typedef chain_tile<1, 8, 4, 11, 96, 1, 2, 1, 3, 4, 1> t64x704_r96;
typedef chain_tile<1, 8, 4, 8, 48, 1, 4, 1, 3, 6, 1> t64x512_r48;
typedef chain_tile<1, 8, 4, 8, 96, 1, 2, 1, 3, 4, 1> t64x512_r96;
typedef chain_tile<2, 4, 4, 8, 64, 1, 4, 2, 2, 4, 1> t128x256_r64;
typedef chain_tile<2, 4, 4, 8, 96, 1, 4, 1, 3, 3, 1> t128x256_r96;
typedef chain_tile<2, 4, 4, 4, 16, 1, 8, 2, 3, 4, 1> t128x128_r16;
typedef chain_tile<2, 4, 4, 4, 48, 1, 4, 2, 2, 4, 1> t128x128_r48;
typedef chain_tile<2, 4, 2, 4, 64, 1, 2, 1, 3, 6, 2> t64x128_r64;

typedef monarch_plan<t32x128_g4_r32, t32x128_g4_r48> plan_32x128_g4;
typedef monarch_plan<t64x128_g4_r32, t64x128_g4_r48> plan_64x128_g4;
typedef monarch_plan<t64x704_r96, t64x704_r96> plan_64x704;
typedef monarch_plan<t64x512_r48, t64x512_r96> plan_64x512;
typedef monarch_plan<t128x256_r64, t128x256_r96> plan_128x256;
typedef monarch_plan<t128x128_r16, t128x128_r48> plan_128x128;
typedef monarch_plan<t64x128_r64, t64x128_r64> plan_any;

static chain_problem_t chain_problem(const problem_t *p) {
    return {.tokens = p->tokens,
            .in_features = p->in_features,
            .out_features = p->out_features,
            .blocks = p->blocks,
            .rank = p->rank / p->blocks};
}

template <typename TILE>
static int64_t pack_tile(const chain_problem_t *p, int tensor, const void *src, void *dst) {
    const int64_t b = p->blocks, pin = p->in_features / b, q = p->out_features / b, rb = p->rank;
    const uint16_t *const from = (const uint16_t *)src;
    if (tensor == 1)
        return chain_pack_v<TILE>(p, {from, b * pin * rb, pin * rb, rb}, (uint16_t *)dst);
    return chain_pack_u<TILE>(p, {from, rb * q, b * rb * q, q}, (uint16_t *)dst);
}

template <typename NARROW, typename WIDE>
int64_t monarch_plan<NARROW, WIDE>::pack(const problem_t *problem, int tensor, const void *src,
                                         void *dst) {
    const chain_problem_t p = chain_problem(problem);
    return narrow(&p) ? pack_tile<NARROW>(&p, tensor, src, dst)
                      : pack_tile<WIDE>(&p, tensor, src, dst);
}

template <typename TILE>
static status_t launch_tile(const problem_t *problem, void *const *tensors, stream_t stream) {
    const chain_problem_t p = chain_problem(problem);
    const bool bf16 = problem->dtype == DTYPE_BF16;
    cudaStream_t cuda = (cudaStream_t)stream;
    chain_args_t args = chain_geometry<TILE>(&p);
    args.x = tensors[0], args.v = tensors[1], args.u = tensors[2], args.y = tensors[3];
    if constexpr (__is_same(TILE, t64x128_r64))
        if (!chain_vectors(&p))
            return bf16 ? chain_launch_kernel<__nv_bfloat16, TILE, false>(&args, cuda)
                        : chain_launch_kernel<__half, TILE, false>(&args, cuda);
    return bf16 ? chain_launch_kernel<__nv_bfloat16, TILE, true>(&args, cuda)
                : chain_launch_kernel<__half, TILE, true>(&args, cuda);
}

template <typename NARROW, typename WIDE>
status_t monarch_plan<NARROW, WIDE>::launch(const problem_t *problem, void *const *tensors,
                                            void *workspace, stream_t stream) {
    (void)workspace;
    const chain_problem_t p = chain_problem(problem);
    return narrow(&p) ? launch_tile<NARROW>(problem, tensors, stream)
                      : launch_tile<WIDE>(problem, tensors, stream);
}

/* What every plan but the last needs: 16-byte loads and its shared memory. */
static bool runs(const problem_t *p, const device_info_t *device, size_t smem, char *why,
                 size_t why_len) {
    const chain_problem_t chain = chain_problem(p);
    if (!supports_portable(device, why, why_len)) return false;
    if ((int64_t)smem > device->smem_bytes) {
        snprintf(why, why_len, "needs %zu bytes of shared memory a block", smem);
        return false;
    }
    if (chain_vectors(&chain)) return true;
    snprintf(why, why_len, "8 does not divide the features of a block");
    return false;
}

template <typename PLAN>
static bool plan_runs(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    const chain_problem_t chain = chain_problem(p);
    return runs(p, device, PLAN::smem(&chain), why, why_len);
}

/* Whether 128 x 256 tiles would leave more than a third of the SMs idle. */
static bool small(const problem_t *p, const device_info_t *device) {
    const int64_t tiles = ceil_div(p->tokens, 128) * ceil_div(p->out_features / p->blocks, 256);
    return tiles * p->blocks * 3 < device->cores * 2;
}

static bool small_blocks(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
    if (small(p, device) && p->blocks >= 3 && p->rank / p->blocks <= 48) return true;
    snprintf(why, why_len, "for small problems of 3 blocks or more, rank of a block at most 48");
    return false;
}

static bool supports_32x128(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    const int64_t tiles = ceil_div(p->tokens, 64) * ceil_div(p->out_features / p->blocks, 128);
    if (!small_blocks(p, d, why, len) || !plan_runs<plan_32x128_g4>(p, d, why, len)) return false;
    if (tiles * p->blocks * 4 < d->cores * 3) return true;
    snprintf(why, len, "tiles of 64 tokens fill the device");
    return false;
}

static bool supports_64x128(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    return small_blocks(p, d, why, len) && plan_runs<plan_64x128_g4>(p, d, why, len);
}

static bool columns_between(const problem_t *p, int64_t more, int64_t most, char *why, size_t len) {
    const int64_t columns = p->out_features / p->blocks;
    if (p->tokens > 32 && columns > more && columns <= most) return true;
    snprintf(why, len, "for more than 32 tokens and blocks of %lld to %lld columns",
             (long long)more + 1, (long long)most);
    return false;
}

static bool supports_64x704(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    return columns_between(p, 512, 704, why, len) && plan_runs<plan_64x704>(p, d, why, len);
}

static bool supports_64x512(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    return columns_between(p, 256, 512, why, len) && plan_runs<plan_64x512>(p, d, why, len);
}

static bool supports_128x128(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    return columns_between(p, 32, 128, why, len) && plan_runs<plan_128x128>(p, d, why, len);
}

static bool supports_128x256(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    return columns_between(p, 128, INT32_MAX, why, len) && plan_runs<plan_128x256>(p, d, why, len);
}

static bool supports_any(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    (void)p;
    return supports_portable(d, why, len);
}

/* ---- clusters that share T ---- */

struct monarch_cluster_plan {
    static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t len) {
        const chain_problem_t chain = chain_problem(p);
        return gather_supports(&chain, device, why, len);
    }

    static int64_t pack(const problem_t *problem, int tensor, const void *src, void *dst) {
        const chain_problem_t p = chain_problem(problem);
        gather_args_t a;
        gather_geometry(&p, &a);
        const uint16_t *const from = (const uint16_t *)src;
        uint16_t *const to = (uint16_t *)dst;
        const int64_t b = p.blocks, v = a.block_in * p.rank, u = a.block_out * p.rank;
        if (tensor == 1) return gather_pack_v(&a, p.rank, {from, b * v, v, p.rank}, to);
        return gather_pack_u(&a, p.rank, {from, u, b * u, a.block_out}, to);
    }

    static status_t launch(const problem_t *problem, void *const *tensors, void *workspace,
                           stream_t stream) {
        (void)workspace;
        const chain_problem_t p = chain_problem(problem);
        gather_args_t args;
        const size_t smem = gather_geometry(&p, &args);
        args.x = tensors[0], args.v = tensors[1], args.u = tensors[2], args.y = tensors[3];
        cudaStream_t cuda = (cudaStream_t)stream;
        return problem->dtype == DTYPE_BF16 ? gather_launch<__nv_bfloat16>(&args, smem, cuda)
                                            : gather_launch<__half>(&args, smem, cuda);
    }
};

static size_t no_workspace(const problem_t *p, const device_info_t *device) {
    (void)p, (void)device;
    return 0;
}

template <typename PLAN>
static constexpr variant_t plan_variant(const char *name,
                                        bool (*supports)(const problem_t *, const device_info_t *,
                                                         char *, size_t)) {
    variant_t v = {};
    v.structure = "monarch", v.name = name, v.device = DEVICE_CUDA, v.output_order = ORDER_KJ;
    v.summary = "both products in one kernel of mma.sync";
    v.dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16);
    v.supports = supports, v.pack = PLAN::pack, v.launch = PLAN::launch;
    v.workspace = no_workspace;
    return v;
}

constexpr variant_t monarch_cluster_32 =
    plan_variant<monarch_cluster_plan>("cluster_32", monarch_cluster_plan::supports);
constexpr variant_t monarch_sm80_32x128_g4 =
    plan_variant<plan_32x128_g4>("sm80_32x128_g4", supports_32x128);
constexpr variant_t monarch_sm80_64x128_g4 =
    plan_variant<plan_64x128_g4>("sm80_64x128_g4", supports_64x128);
constexpr variant_t monarch_sm80_64x704 = plan_variant<plan_64x704>("sm80_64x704", supports_64x704);
constexpr variant_t monarch_sm80_64x512 = plan_variant<plan_64x512>("sm80_64x512", supports_64x512);
constexpr variant_t monarch_sm80_128x256 =
    plan_variant<plan_128x256>("sm80_128x256", supports_128x256);
constexpr variant_t monarch_sm80_128x128 =
    plan_variant<plan_128x128>("sm80_128x128", supports_128x128);
constexpr variant_t monarch_sm80_any = plan_variant<plan_any>("sm80_any", supports_any);

static const variant_t *const plans[] = {
    &monarch_cluster_32,   &monarch_sm80_32x128_g4, &monarch_sm80_64x128_g4,
    &monarch_sm80_64x704,  &monarch_sm80_64x512,    &monarch_sm80_128x128,
    &monarch_sm80_128x256, &monarch_sm80_any,       NULL};

static const variant_t monarch_fused_sm80 = {
    .structure = "monarch",
    .name = "fused_sm80",
    .summary = "both products in one kernel, portable; T again for each tile of a wide q",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(monarch_fused_sm80)
