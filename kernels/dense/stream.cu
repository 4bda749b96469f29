/*
 * dense/stream: Y = X W for 1 to 64 tokens, the weights streamed from fragments (kernels/cuda/
 * stream.cuh). Two plans: `whole`, where every block of threads has all of X beside its ring, and
 * `split`, where clusters share the depth because X is too large for that.
 */
#include "kernels/cuda/stream_flat.h"
#include "kernels/cuda/stream_pack.h"
#include "kernels/cuda/stream_stages.h"
#include "kernels/siblings.h"

static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    (void)tensor;
    const int64_t tile = tiles_of(p->in_features) * (int64_t)FRAGMENT_ELEMENTS;
    if (dst)
        fragments_pack(p->out_features, p->in_features, (const uint16_t *)src, p->in_features, 1,
                       (uint16_t *)dst, tile);
    return tiles_of(p->out_features) * tile;
}

/* ---- whole ---- */

static bool whole_choose(const problem_t *p, const stream_device_t *device, int layers,
                         stream_flat_t *a) {
    *a = {.layers = layers,
          .x_row = p->in_features,
          .y_row = p->out_features,
          .tokens = (int)p->tokens,
          .width = (int)p->in_features,
          .features = (int)p->out_features,
          .x_shares = 1,
          .most_splits = 1};
    return stream_flat_choose(a, device);
}

static bool whole_supports(const problem_t *p, const device_info_t *info, char *why,
                           size_t why_len) {
    const stream_device_t device = stream_device_of(info);
    stream_flat_t a;
    if (!supports_hopper(info, why, why_len)) return false;
    if (p->tokens > STREAM_TOKENS)
        snprintf(why, why_len, "streams weights for at most %d tokens", (int)STREAM_TOKENS);
    else if (p->in_features > 1 << 19 || p->out_features > 1 << 24 ||
             !whole_choose(p, &device, 1, &a))
        snprintf(why, why_len, "%lld tokens of %lld features do not fit beside the weights' rings",
                 (long long)p->tokens, (long long)p->in_features);
    else
        return true;
    return false;
}

static status_t whole_launch_group(const problem_t *p, int count, void *const *const *tensors,
                                   void *workspace, stream_t stream) {
    (void)workspace;
    stream_device_t device;
    stream_flat_t a;
    const status_t st = stream_device_current(&device);
    if (st != STATUS_OK) return st;
    if (!whole_choose(p, &device, count, &a)) return fail(STATUS_UNSUPPORTED, "X does not fit");
    a.x = tensors[0][0];
    for (int i = 0; i < count; i++) a.w[i] = tensors[i][1], a.y[i] = tensors[i][2];
    return stream_flat(&a, p->dtype, &device, stream);
}

static status_t whole_launch(const problem_t *p, void *const *tensors, void *workspace,
                             stream_t stream) {
    return whole_launch_group(p, 1, &tensors, workspace, stream);
}

static const variant_t whole = {
    .structure = "dense",
    .name = "whole",
    .summary = "every block of threads has all of X beside its ring of weights",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = whole_supports,
    .pack = pack,
    .launch = whole_launch,
};

static const siblings_t whole_siblings = {&whole, whole_launch_group};
REGISTER_SIBLINGS(whole_siblings)

/* ---- split ---- */

static stream_chain_t split_shape(const problem_t *p) {
    stream_chain_t chain = {};
    chain.up = {.out_features = p->out_features,
                .tokens = (int)p->tokens,
                .out_blocks = 1,
                .out_width = (int)p->out_features,
                .rank_tiles = tiles_of(p->in_features),
                .alone = true};
    return chain;
}

static bool split_supports(const problem_t *p, const device_info_t *info, char *why,
                           size_t why_len) {
    if (p->in_features % FRAGMENT_SIDE == 0)
        return stream_supports<split_shape>(p, info, why, why_len);
    snprintf(why, why_len, "takes input features that are a multiple of %d", (int)FRAGMENT_SIDE);
    return false;
}

static const variant_t split = {
    .structure = "dense",
    .name = "split",
    .summary = "clusters share the depth, and add through distributed shared memory",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = split_supports,
    .pack = pack,
    .launch = stream_launch_plan<split_shape>,
};

static const siblings_t split_siblings = {&split, stream_launch_siblings<split_shape>};
REGISTER_SIBLINGS(split_siblings)

static const variant_t *const plans[] = {&whole, &split, NULL};

static const variant_t dense_stream = {
    .structure = "dense",
    .name = "stream",
    .summary = "up to 64 tokens: weights packed into fragments and streamed once",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(dense_stream)
