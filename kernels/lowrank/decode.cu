/*
 * lowrank for 1 to 64 tokens: T = X V, then Y = T U, each weight byte read once. Two kernels; the
 * second one requests its weights while the first one runs. T crosses memory (it stays in L2).
 */
#include "kernels/lowrank/decode.h"

#include "kernels/cuda/stream_pack.h"
#include "kernels/cuda/stream_stages.h"

typedef struct {
    stream_down_t down;
    stream_up_t up;
} chain_t;

static bool choose(const problem_t *p, const stream_device_t *device, chain_t *out, char *why,
                   size_t why_len) {
    const int ranks = tiles_of(p->rank);
    out->down = {.in_features = p->in_features,
                 .tokens = (int)p->tokens,
                 .tiles = ranks,
                 .blocks = 1,
                 .width = (int)p->in_features,
                 .input_tiles = ranks,
                 .pair_tiles = ranks,
                 .out_blocks = 1,
                 .rank_tiles = ranks};
    out->up = {.out_features = p->out_features,
               .tokens = (int)p->tokens,
               .out_blocks = 1,
               .out_width = (int)p->out_features,
               .rank_tiles = ranks};
    return stream_chain_choose(&out->down, &out->up, device, why, why_len);
}

static bool supports(const problem_t *p, const device_info_t *info, char *why, size_t why_len) {
    const stream_device_t device = stream_device_of(info);
    chain_t chain;
    if (!supports_portable(info, why, why_len)) return false;
    STREAM_SUPPORTS_TOKENS(p, why, why_len);
    return choose(p, &device, &chain, why, why_len);
}

/* Depends on how the device cuts the work; as on 132 SMs of compute capability 9.0. */
static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const stream_device_t device = {132, 90, 227 << 10};
    char why[WHY_LEN];
    chain_t chain;
    bytes[0] =
        choose(p, &device, &chain, why, sizeof why) ? (double)stream_chain_bytes(&chain.down) : 0;
    return 1;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *info) {
    const stream_device_t device = stream_device_of(info);
    char why[WHY_LEN];
    chain_t chain;
    return choose(p, &device, &chain, why, sizeof why) ? stream_chain_bytes(&chain.down) : 0;
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

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    stream_device_t device;
    char why[WHY_LEN];
    chain_t chain;
    status_t st = stream_device_current(&device);
    if (st != STATUS_OK) return st;
    if (!choose(p, &device, &chain, why, sizeof why)) return fail(STATUS_UNSUPPORTED, "%s", why);
    chain.down.x = tensors[0], chain.down.v = tensors[1], chain.down.t = workspace;
    chain.up.t = workspace, chain.up.u = tensors[2], chain.up.y = tensors[3];
    st = stream_down(&chain.down, p->dtype, &device, stream);
    return st == STATUS_OK ? stream_up(&chain.up, p->dtype, &device, stream) : st;
}

const variant_t lowrank_decode = {
    .structure = "lowrank",
    .name = "decode",
    .summary = "streams the weights for up to 64 tokens, two kernels chained by dependent launch",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .pack = pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
