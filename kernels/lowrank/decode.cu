/*
 * lowrank for 1 to 64 tokens: T = X V, then Y = T U, each weight byte read once. Two kernels; the
 * second one requests its weights while the first one runs. T crosses memory (it stays in L2).
 */
#include "kernels/lowrank/decode.h"

#include "kernels/cuda/stream_pack.h"
#include "kernels/cuda/stream_stages.h"

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
