/*
 * blast/fused_sm80: portable plans. For small problems all three stages are one kernel: a block of
 * threads sums Z_k = sum_l s_lk (X_l V_l) of its tokens in registers and multiplies it with U_k
 * (kernels/cuda/chain.cuh); X V is computed again for each output block and each of its tiles,
 * which small problems can afford and a launch costs more than. Else three launches of mma.sync
 * kernels with the tokens contiguous between them.
 */
#include "kernels/blast/portable.h"

#include <string.h>

#include "kernels/blast/stages.h"
#include "kernels/cuda/gather.cuh"

enum { RANK_MULTIPLE = 8 }; /* of the padded rank of three launches */
/* X V in all its repetitions may have this many FLOPs an SM: about 3 us. */
static const double FLOPS_AN_SM = 4e6;

typedef chain_tile<2, 4, 1, 4, 96, 1, 2, 1, 4, 8, 1> t32x128_r96;
typedef chain_tile<2, 4, 1, 4, 128, 1, 2, 1, 4, 8, 1> t32x128_r128;
typedef chain_tile<2, 4, 2, 4, 96, 1, 2, 1, 3, 8, 1> t64x128_r96;
typedef chain_tile<2, 4, 2, 4, 128, 1, 2, 1, 3, 8, 1> t64x128_r128;

static chain_problem_t chain_problem(const problem_t *p) {
    return {.tokens = p->tokens,
            .in_features = p->in_features,
            .out_features = p->out_features,
            .blocks = p->blocks,
            .rank = p->rank};
}

/* S[l][k][r] -> [k][link][l][RANK], zeros beyond r. */
template <typename TILE>
static int64_t pack_scales(const chain_problem_t *p, const uint16_t *src, uint16_t *dst) {
    const chain_args_t a = chain_geometry<TILE, true>(p);
    const int64_t b = p->blocks, count = b * a.links * b * TILE::RANK;
    for (int64_t i = 0; dst && i < count; i++) {
        const int64_t line = i / TILE::RANK, l = line % b, k = line / b / a.links;
        const int64_t s = line / b % a.links * TILE::RANK + i % TILE::RANK;
        dst[i] = s < p->rank ? src[(l * b + k) * p->rank + s] : (uint16_t)0;
    }
    return count;
}

template <typename TILE>
static int64_t pack_tile(const problem_t *problem, int tensor, const void *src, void *dst) {
    const chain_problem_t p = chain_problem(problem);
    const uint16_t *const from = (const uint16_t *)src;
    uint16_t *const to = (uint16_t *)dst;
    const int64_t pin = p.in_features / p.blocks, q = p.out_features / p.blocks;
    if (tensor == 1) return chain_pack_v<TILE, true>(&p, {from, pin * p.rank, 0, p.rank}, to);
    if (tensor == 2) return pack_scales<TILE>(&p, from, to);
    return chain_pack_u<TILE, true>(&p, {from, 0, p.rank * q, q}, to);
}

template <typename TILE>
static status_t launch_tile(const problem_t *problem, void *const *tensors, cudaStream_t stream) {
    const chain_problem_t p = chain_problem(problem);
    chain_args_t args = chain_geometry<TILE, true>(&p);
    args.x = tensors[0], args.v = tensors[1], args.s = tensors[2], args.u = tensors[3];
    args.y = tensors[4];
    return problem->dtype == DTYPE_BF16
               ? chain_launch_kernel<__nv_bfloat16, TILE, true, true>(&args, stream)
               : chain_launch_kernel<__half, TILE, true, true>(&args, stream);
}

/* One kernel; two tiles that differ in the rank they sum at a time. */
template <typename NARROW, typename WIDE> struct one_kernel {
    static bool narrow(const problem_t *p) {
        return round_up(p->rank, NARROW::RANK) < round_up(p->rank, WIDE::RANK);
    }

    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        const chain_problem_t chain = chain_problem(p);
        const size_t smem = narrow(p) ? NARROW::SMEM_BYTES : WIDE::SMEM_BYTES;
        const int64_t tiles =
            p->blocks * ceil_div(p->out_features / p->blocks, (int64_t)WIDE::COLUMNS);
        const double flops = 2.0 * (double)round_up(p->tokens, WIDE::TOKENS) *
                             (double)(p->in_features * p->rank * tiles);
        if (!supports_portable(device, why, why_len)) return false;
        if ((int64_t)smem > device->smem_bytes)
            snprintf(why, why_len, "needs %zu bytes of shared memory a block", smem);
        else if (!chain_vectors(&chain))
            snprintf(why, why_len, "8 does not divide the features of a block");
        else if (flops > FLOPS_AN_SM * device->cores)
            snprintf(why, why_len, "X V would be computed %lld times", (long long)tiles);
        else
            return true;
        return false;
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        return narrow(p) ? pack_tile<NARROW>(p, tensor, src, dst)
                         : pack_tile<WIDE>(p, tensor, src, dst);
    }

    static size_t workspace(const problem_t *p, const device_info_t *device) {
        (void)p, (void)device;
        return 0;
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        (void)workspace;
        cudaStream_t cuda = (cudaStream_t)stream;
        return narrow(p) ? launch_tile<NARROW>(p, tensors, cuda)
                         : launch_tile<WIDE>(p, tensors, cuda);
    }
};

typedef one_kernel<t32x128_r96, t32x128_r128> one_kernel_32;
typedef one_kernel<t64x128_r96, t64x128_r128> one_kernel_64;

constexpr variant_t blast_sm80_32x128 = {
    .structure = "blast",
    .name = "sm80_32x128",
    .summary = "all stages in one kernel of mma.sync, 32 tokens a block",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = one_kernel_32::supports,
    .pack = one_kernel_32::pack,
    .workspace = one_kernel_32::workspace,
    .launch = one_kernel_32::launch,
};

constexpr variant_t blast_sm80_64x128 = {
    .structure = "blast",
    .name = "sm80_64x128",
    .summary = "all stages in one kernel of mma.sync, 64 tokens a block",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = one_kernel_64::supports,
    .pack = one_kernel_64::pack,
    .workspace = one_kernel_64::workspace,
    .launch = one_kernel_64::launch,
};

/* ---- one kernel of clusters ---- */

template <typename SHAPE> struct cluster_plan {
    static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t len) {
        const chain_problem_t chain = chain_problem(p);
        return gather_supports<SHAPE>(&chain, GATHER_BLAST, device, why, len);
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const chain_problem_t chain = chain_problem(p);
        gather_args_t a;
        gather_geometry<SHAPE>(&chain, GATHER_BLAST, &a);
        const uint16_t *const from = (const uint16_t *)src;
        uint16_t *const to = (uint16_t *)dst;
        const int64_t r = p->rank, q = a.block_out;
        if (tensor == 1) return gather_pack_v(&a, r, {from, a.block_in * r, 0, r}, to);
        if (tensor == 2) return gather_pack_s(&a, r, from, to);
        return gather_pack_u(&a, r, {from, 0, r * q, q}, to);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        (void)workspace;
        const chain_problem_t chain = chain_problem(p);
        gather_args_t args;
        const size_t smem = gather_geometry<SHAPE>(&chain, GATHER_BLAST, &args);
        args.x = tensors[0], args.v = tensors[1], args.s = tensors[2], args.u = tensors[3];
        args.y = tensors[4];
        cudaStream_t cuda = (cudaStream_t)stream;
        return p->dtype == DTYPE_BF16 ? gather_launch<__nv_bfloat16, SHAPE>(&args, smem, cuda)
                                      : gather_launch<__half, SHAPE>(&args, smem, cuda);
    }
};

static size_t no_workspace(const problem_t *p, const device_info_t *device) {
    (void)p, (void)device;
    return 0;
}

template <typename SHAPE> static constexpr variant_t cluster_variant(const char *name) {
    variant_t v = {};
    v.structure = "blast", v.name = name, v.device = DEVICE_CUDA, v.output_order = ORDER_KJ;
    v.summary = "all stages in one kernel, clusters share Z";
    v.dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16);
    v.supports = cluster_plan<SHAPE>::supports, v.pack = cluster_plan<SHAPE>::pack;
    v.workspace = no_workspace, v.launch = cluster_plan<SHAPE>::launch;
    return v;
}

constexpr variant_t blast_cluster_32_b3 = cluster_variant<gather_shape<3, 1>>("cluster_32_b3");
constexpr variant_t blast_cluster_32_b8 = cluster_variant<gather_shape<8, 1>>("cluster_32_b8");
constexpr variant_t blast_cluster_64_b3 = cluster_variant<gather_shape<3, 2>>("cluster_64_b3");

/* ---- three launches: the rank is padded with zeros, so that every row is whole vectors ---- */

static problem_t padded(const problem_t *p) {
    problem_t out = *p;
    out.rank = round_up(p->rank, RANK_MULTIPLE);
    return out;
}

static bool three_supports(const problem_t *p, const device_info_t *device, char *why,
                           size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static int three_intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const problem_t whole = padded(p);
    bytes[0] = bytes[1] = (double)dtype_size(p->dtype) * (double)blast_token_elements(&whole);
    return 2;
}

/* Pads the rank dimension of the canonical tensor, then packs it. */
static int64_t three_pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const problem_t whole = padded(p);
    const int64_t b = p->blocks, q = p->out_features / b;
    const int64_t rows = tensor == 1 ? p->in_features : tensor == 2 ? b * b : b;
    const int64_t width = tensor == 3 ? p->rank * q : p->rank;
    const int64_t pitch = tensor == 3 ? whole.rank * q : whole.rank;
    if (!dst || width == pitch) return blast_token_pack(&whole, tensor, src, dst);
    uint16_t *const copy = (uint16_t *)calloc((size_t)(rows * pitch), sizeof *copy);
    if (!copy) return 0;
    for (int64_t i = 0; i < rows; i++)
        memcpy(copy + i * pitch, (const uint16_t *)src + i * width, (size_t)width * sizeof *copy);
    const int64_t count = blast_token_pack(&whole, tensor, copy, dst);
    free(copy);
    return count;
}

static size_t three_workspace(const problem_t *p, const device_info_t *device) {
    (void)device;
    const problem_t whole = padded(p);
    return 2 * buffer_bytes(p, blast_token_elements(&whole));
}

static status_t three_launch(const problem_t *p, void *const *tensors, void *workspace,
                             stream_t stream) {
    const problem_t whole = padded(p);
    char *const z = (char *)workspace + buffer_bytes(p, blast_token_elements(&whole));
    return blast_token_stages(&whole, tensors, workspace, z, stream);
}

constexpr variant_t blast_sm80_three_launches = {
    .structure = "blast",
    .name = "sm80_three_launches",
    .summary = "three kernels of mma.sync, tokens contiguous between them",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = three_supports,
    .intermediates = three_intermediates,
    .pack = three_pack,
    .workspace = three_workspace,
    .launch = three_launch,
};

static const variant_t *const plans[] = {&blast_cluster_32_b3,
                                         &blast_cluster_64_b3,
                                         &blast_cluster_32_b8,
                                         &blast_sm80_32x128,
                                         &blast_sm80_64x128,
                                         &blast_sm80_three_launches,
                                         NULL};

static const variant_t blast_fused_sm80 = {
    .structure = "blast",
    .name = "fused_sm80",
    .summary = "portable: one kernel for small problems, else three launches",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(blast_fused_sm80)
