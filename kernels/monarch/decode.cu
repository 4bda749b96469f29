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
#include "kernels/siblings.h"

static int pair_tiles(const problem_t *p) {
    return tiles_of(p->rank / p->blocks);
}

static stream_chain_t shape_pairs(const problem_t *p) {
    const int b = (int)p->blocks;
    stream_chain_t chain = {};
    chain.up = {.in_features = p->in_features,
                .out_features = p->out_features,
                .tokens = (int)p->tokens,
                .out_blocks = b,
                .out_width = (int)(p->out_features / b),
                .rank_tiles = b * pair_tiles(p),
                .width = (int)(p->in_features / b),
                .pair_tiles = pair_tiles(p),
                .paired = true};
    return chain;
}

static stream_chain_t shape_chain(const problem_t *p) {
    const int b = (int)p->blocks, pair = pair_tiles(p);
    stream_chain_t chain = shape_pairs(p);
    chain.up.paired = false;
    chain.down = {.in_features = p->in_features,
                  .tokens = (int)p->tokens,
                  .tiles = b * b * pair,
                  .blocks = 1,
                  .width = (int)(p->in_features / b),
                  .input_tiles = b * pair,
                  .pair_tiles = pair,
                  .out_blocks = b,
                  .rank_tiles = b * pair};
    return chain;
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

static int64_t pack_chain(const problem_t *p, int tensor, const void *src, void *dst) {
    return tensor == 1 ? pack_v(p, true, (const uint16_t *)src, (uint16_t *)dst)
                       : pack_u(p, (const uint16_t *)src, (uint16_t *)dst);
}

const variant_t monarch_decode = {
    .structure = "monarch",
    .name = "decode",
    .summary = "streams the weights for up to 64 tokens, one kernel, a cluster an output block",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = stream_supports<shape_pairs>,
    .pack = pack_one,
    .launch = stream_launch_plan<shape_pairs>,
};

const variant_t monarch_decode_chain = {
    .structure = "monarch",
    .name = "decode_chain",
    .summary = "streams the weights for up to 64 tokens, two kernels chained by dependent launch",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = stream_supports<shape_chain>,
    .intermediates = stream_intermediates<shape_chain>,
    .pack = pack_chain,
    .workspace = stream_workspace<shape_chain>,
    .launch = stream_launch_plan<shape_chain>,
};

static const siblings_t pairs_siblings = {&monarch_decode, stream_launch_siblings<shape_pairs>};
REGISTER_SIBLINGS(pairs_siblings)

static const siblings_t chain_siblings = {&monarch_decode_chain,
                                          stream_launch_siblings<shape_chain>};
REGISTER_SIBLINGS(chain_siblings)
