/*
 * monarch for 1 to 64 tokens, each weight byte read once.
 *
 * decode        one kernel. A cluster owns output block k; each of its CTAs owns some ranks of all
 *               (l, r'), computes T_lk = X_l V_lk for them on chip and multiplies by its rows of
 *               U_kl. The partial Y_k are summed through distributed shared memory.
 * decode_chain  two kernels, T through memory (it stays in L2), without clusters: for devices
 *               without them, for few blocks, and where the sums do not fit into shared memory.
 */
#include "kernels/monarch/decode.h"

#include "kernels/cuda/stream_pack.h"
#include "kernels/cuda/stream_stages.h"

enum { MOST_CLUSTER = 8, FEW_BYTES = 128 << 10 };

typedef struct {
    stream_down_t down;
    stream_up_t up;
} chain_t;

static int pair_tiles(const problem_t *p) {
    return tiles_of(p->rank / p->blocks);
}

/* What both have: Y_k from T_k. */
static stream_up_t up_of(const problem_t *p) {
    const int b = (int)p->blocks;
    return {.in_features = p->in_features,
            .out_features = p->out_features,
            .tokens = (int)p->tokens,
            .out_blocks = b,
            .out_width = (int)(p->out_features / b),
            .rank_tiles = b * pair_tiles(p),
            .width = (int)(p->in_features / b),
            .pair_tiles = pair_tiles(p)};
}

static bool supports_tokens(const problem_t *p, const device_info_t *info, char *why,
                            size_t why_len) {
    if (!supports_portable(info, why, why_len)) return false;
    STREAM_SUPPORTS_TOKENS(p, why, why_len);
    return true;
}

/* ---- One kernel ---- */

/* The cluster that leaves the least to the busiest SM, two CTAs an SM where they fit. */
static bool choose_one(const problem_t *p, const stream_device_t *device, stream_up_t *out) {
    int64_t best = INT64_MAX;
    stream_up_t a = up_of(p);
    a.paired = true, a.shares = 1, a.sets = 1;
    for (a.cluster = 1; a.cluster <= MOST_CLUSTER; a.cluster++) {
        const int64_t waves = ceil_div((int64_t)a.out_blocks * a.cluster, device->sms);
        const int64_t cost = waves * ceil_div(a.rank_tiles, a.cluster);
        if (cost >= best) continue;
        if (!stream_up_fit(&a, device, 2) && !stream_up_fit(&a, device, 1)) continue;
        *out = a, best = cost;
    }
    return best < INT64_MAX;
}

static bool supports_one(const problem_t *p, const device_info_t *info, char *why, size_t why_len) {
    const stream_device_t device = stream_device_of(info);
    stream_up_t up;
    if (!supports_tokens(p, info, why, why_len)) return false;
    if (device.capability < 90) {
        snprintf(why, why_len, "clusters need compute capability 9.0");
        return false;
    }
    if (!choose_one(p, &device, &up)) {
        snprintf(why, why_len, "the operands of %lld tokens do not fit into shared memory",
                 (long long)p->tokens);
        return false;
    }
    const int64_t features = p->in_features + p->out_features, ctas = up.out_blocks * up.cluster;
    if (2 * ctas >= device.sms || 2 * features * p->rank / ctas <= FEW_BYTES) return true;
    snprintf(why, why_len, "%lld blocks keep only %lld SMs busy", (long long)p->blocks,
             (long long)ctas);
    return false;
}

/* V[l][k][p][r'] -> [k][l][tile of r'][step of p], or [l][k]... for the chain. */
static int64_t pack_v(const problem_t *p, bool input_first, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, width = p->in_features / b, rank = p->rank / b;
    const int64_t tile = tiles_of(width) * (int64_t)FRAGMENT_ELEMENTS;
    const int64_t pair = pair_tiles(p) * tile;
    for (int64_t i = 0; dst && i < b * b; i++) {
        const int64_t l = i / b, k = i % b;
        fragments_pack(rank, width, src + i * width * rank, 1, rank,
                       dst + (input_first ? i : k * b + l) * pair, tile);
    }
    return b * b * pair;
}

/* U[k][l][r'][q] -> [k][tile of q][l][step of r']. */
static int64_t pack_u(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, q = p->out_features / b, rank = p->rank / b;
    const int64_t pair = pair_tiles(p) * (int64_t)FRAGMENT_ELEMENTS, tile = b * pair;
    for (int64_t i = 0; dst && i < b * b; i++)
        fragments_pack(q, rank, src + i * rank * q, 1, q,
                       dst + i / b * tiles_of(q) * tile + i % b * pair, tile);
    return b * tiles_of(q) * tile;
}

static int64_t pack_one(const problem_t *p, int tensor, const void *src, void *dst) {
    return tensor == 1 ? pack_v(p, false, (const uint16_t *)src, (uint16_t *)dst)
                       : pack_u(p, (const uint16_t *)src, (uint16_t *)dst);
}

static status_t launch_one(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
    static thread_local stream_key_t last;
    static thread_local stream_up_t up;
    stream_device_t device;
    (void)workspace;
    const status_t st = stream_device_current(&device);
    if (st != STATUS_OK) return st;
    if (!stream_key_same(&last, p, &device) && !choose_one(p, &device, &up)) {
        last = {};
        return fail(STATUS_UNSUPPORTED, "no cluster fits");
    }
    up.x = tensors[0], up.v = tensors[1], up.u = tensors[2], up.y = tensors[3];
    return stream_up(&up, p->dtype, &device, stream);
}

/* ---- The chain ---- */

static bool choose(const problem_t *p, const stream_device_t *device, chain_t *out, char *why,
                   size_t why_len) {
    const int b = (int)p->blocks, pair = pair_tiles(p);
    out->down = {.in_features = p->in_features,
                 .tokens = (int)p->tokens,
                 .tiles = b * b * pair,
                 .blocks = 1,
                 .width = (int)(p->in_features / b),
                 .input_tiles = b * pair,
                 .pair_tiles = pair,
                 .out_blocks = b,
                 .rank_tiles = b * pair};
    out->up = up_of(p);
    return stream_chain_choose(&out->down, &out->up, device, why, why_len);
}

static bool supports_chain(const problem_t *p, const device_info_t *info, char *why,
                           size_t why_len) {
    const stream_device_t device = stream_device_of(info);
    chain_t chain;
    return supports_tokens(p, info, why, why_len) && choose(p, &device, &chain, why, why_len);
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

static int64_t pack_chain(const problem_t *p, int tensor, const void *src, void *dst) {
    return tensor == 1 ? pack_v(p, true, (const uint16_t *)src, (uint16_t *)dst)
                       : pack_u(p, (const uint16_t *)src, (uint16_t *)dst);
}

static status_t launch_chain(const problem_t *p, void *const *tensors, void *workspace,
                             stream_t stream) {
    static thread_local stream_key_t last;
    static thread_local chain_t chain;
    stream_device_t device;
    char why[WHY_LEN];
    status_t st = stream_device_current(&device);
    if (st != STATUS_OK) return st;
    if (!stream_key_same(&last, p, &device) && !choose(p, &device, &chain, why, sizeof why)) {
        last = {};
        return fail(STATUS_UNSUPPORTED, "%s", why);
    }
    chain.down.x = tensors[0], chain.down.v = tensors[1], chain.down.t = workspace;
    chain.up.t = workspace, chain.up.u = tensors[2], chain.up.y = tensors[3];
    st = stream_down(&chain.down, p->dtype, &device, stream);
    return st == STATUS_OK ? stream_up(&chain.up, p->dtype, &device, stream) : st;
}

const variant_t monarch_decode = {
    .structure = "monarch",
    .name = "decode",
    .summary = "streams the weights for up to 64 tokens, one kernel, a cluster an output block",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports_one,
    .pack = pack_one,
    .launch = launch_one,
};

const variant_t monarch_decode_chain = {
    .structure = "monarch",
    .name = "decode_chain",
    .summary = "streams the weights for up to 64 tokens, two kernels chained by dependent launch",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports_chain,
    .intermediates = intermediates,
    .pack = pack_chain,
    .workspace = workspace_bytes,
    .launch = launch_chain,
};
