/*
 * lowrank for 1 to 64 tokens: T = X V, then Y = T U, each weight byte read once. Two kernels; the
 * second one requests its weights while the first one runs. T crosses memory (it stays in L2).
 */
#include "kernels/lowrank/decode.h"

#include "kernels/cuda/stream_flat.h"
#include "kernels/cuda/stream_pack.h"
#include "kernels/cuda/stream_stages.h"
#include "kernels/siblings.h"

static stream_chain_t shape(const problem_t *p) {
    stream_chain_t chain = {};
    const int ranks = tiles_of(p->rank);
    chain.down = {.in_features = p->in_features,
                  .tokens = (int)p->tokens,
                  .tiles = ranks,
                  .blocks = 1,
                  .width = (int)p->in_features,
                  .input_tiles = ranks,
                  .pair_tiles = ranks,
                  .out_blocks = 1,
                  .rank_tiles = ranks};
    chain.up = {.out_features = p->out_features,
                .tokens = (int)p->tokens,
                .out_blocks = 1,
                .out_width = (int)p->out_features,
                .rank_tiles = ranks};
    return chain;
}

/* V [tile of r][step of in], U [tile of out][step of r]. */
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const int64_t features = tensor == 1 ? p->rank : p->out_features;
    const int64_t depth = tensor == 1 ? p->in_features : p->rank;
    const int64_t tile = tiles_of(depth) * (int64_t)FRAGMENT_ELEMENTS;
    if (dst)
        fragments_pack(features, depth, (const uint16_t *)src, 1, features, (uint16_t *)dst, tile);
    return tiles_of(features) * tile;
}

const variant_t lowrank_decode = {
    .structure = "lowrank",
    .name = "decode",
    .summary = "streams the weights for up to 64 tokens, two kernels chained by dependent launch",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = stream_supports<shape>,
    .intermediates = stream_intermediates<shape>,
    .pack = pack,
    .workspace = stream_workspace<shape>,
    .launch = stream_launch_plan<shape>,
};

static const siblings_t decode_siblings = {&lowrank_decode, stream_launch_siblings<shape>};
REGISTER_SIBLINGS(decode_siblings)

/* ---- flat ---- */

typedef struct {
    stream_flat_t down, up;
} flat_chain_t;

static bool flat_choose(const problem_t *p, const stream_device_t *device, int layers,
                        flat_chain_t *c) {
    const int padded = tiles_of(p->rank) * FRAGMENT_SIDE;
    const int64_t share = p->tokens * padded;
    c->down = {.layers = layers,
               .x_row = p->in_features,
               .y_row = padded,
               .y_share = share,
               .tokens = (int)p->tokens,
               .width = (int)p->in_features,
               .features = padded,
               .x_shares = 1,
               .most_splits = STREAM_SHARES};
    if (!stream_flat_choose(&c->down, device)) return false;
    c->up = {.layers = layers,
             .x_layer = c->down.splits * share,
             .x_row = padded,
             .y_row = p->out_features,
             .x_share = share,
             .tokens = (int)p->tokens,
             .width = padded,
             .features = (int)p->out_features,
             .x_shares = c->down.splits,
             .most_splits = 1};
    return stream_flat_choose(&c->up, device);
}

static bool flat_supports(const problem_t *p, const device_info_t *info, char *why,
                          size_t why_len) {
    const stream_device_t device = stream_device_of(info);
    flat_chain_t chain;
    if (!supports_hopper(info, why, why_len)) return false;
    if (p->tokens > STREAM_TOKENS)
        snprintf(why, why_len, "streams weights for at most %d tokens", (int)STREAM_TOKENS);
    else if (p->in_features > 1 << 19 || p->out_features > 1 << 24 || p->rank > 1 << 19 ||
             !flat_choose(p, &device, 1, &chain))
        snprintf(why, why_len, "%lld tokens do not fit beside the weights' rings",
                 (long long)p->tokens);
    else
        return true;
    return false;
}

/* Of one layer; those that are launched together may be cut into fewer shares each. */
static size_t flat_workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    return STREAM_SHARES * buffer_bytes(p, p->tokens * tiles_of(p->rank) * FRAGMENT_SIDE);
}

/* As on 132 SMs of compute capability 9.0. */
static int flat_intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const stream_device_t device = {132, HOPPER_CAPABILITY, 227 << 10};
    flat_chain_t chain;
    bytes[0] = flat_choose(p, &device, 1, &chain) ? (double)(chain.up.x_layer * 2) : 0;
    return 1;
}

static status_t flat_launch_group(const problem_t *p, int count, void *const *const *tensors,
                                  void *workspace, stream_t stream) {
    stream_device_t device;
    flat_chain_t c;
    status_t st = stream_device_current(&device);
    if (st != STATUS_OK) return st;
    if (!flat_choose(p, &device, count, &c)) return fail(STATUS_UNSUPPORTED, "X does not fit");
    c.down.x = tensors[0][0], c.up.x = workspace;
    for (int i = 0; i < count; i++) {
        c.down.w[i] = tensors[i][1], c.down.y[i] = (uint16_t *)workspace + i * c.up.x_layer;
        c.up.w[i] = tensors[i][2], c.up.y[i] = tensors[i][3];
    }
    st = stream_flat(&c.down, p->dtype, &device, stream);
    return st == STATUS_OK ? stream_flat(&c.up, p->dtype, &device, stream) : st;
}

static status_t flat_launch(const problem_t *p, void *const *tensors, void *workspace,
                            stream_t stream) {
    return flat_launch_group(p, 1, &tensors, workspace, stream);
}

const variant_t lowrank_flat = {
    .structure = "lowrank",
    .name = "flat",
    .summary = "streams the weights for up to 64 tokens, two kernels of one block an SM",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = flat_supports,
    .intermediates = flat_intermediates,
    .pack = pack,
    .workspace = flat_workspace,
    .launch = flat_launch,
};

static const siblings_t flat_siblings = {&lowrank_flat, flat_launch_group};
REGISTER_SIBLINGS(flat_siblings)
