/*
 * blast for 1 to 64 tokens, each weight byte read once, in two kernels: Z_k = sum_l s_lk * (X_l
 * V_l) and O_k = Z_k U_k. A CTA of the first one owns some ranks for several l, so that the Y_l
 * that it multiplies stay on chip; the sums over its l cross memory (they stay in L2) and are added
 * where the second kernel reads them. That one requests its weights while the first one runs.
 */
#include "kernels/blast/decode.h"

#include "kernels/cuda/stream_pack.h"
#include "kernels/cuda/stream_stages.h"
#include "kernels/siblings.h"

static stream_chain_t shape(const problem_t *p) {
    stream_chain_t chain = {};
    const int ranks = tiles_of(p->rank), b = (int)p->blocks;
    chain.down = {.in_features = p->in_features,
                  .tokens = (int)p->tokens,
                  .tiles = ranks,
                  .blocks = b,
                  .width = (int)(p->in_features / b),
                  .input_tiles = ranks,
                  .pair_tiles = ranks,
                  .out_blocks = b,
                  .rank_tiles = ranks,
                  .scaled = true};
    chain.up = {.out_features = p->out_features,
                .tokens = (int)p->tokens,
                .out_blocks = b,
                .out_width = (int)(p->out_features / b),
                .rank_tiles = ranks};
    return chain;
}

static double cuda_core_flops(const problem_t *p) {
    return 2.0 * (double)p->tokens * (double)p->rank * (double)(p->blocks * p->blocks);
}

/* V[l][p][r] -> [tile of r][l][step of p]. */
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, width = p->in_features / b;
    const int64_t block = tiles_of(width) * (int64_t)FRAGMENT_ELEMENTS;
    for (int64_t l = 0; dst && l < b; l++)
        fragments_pack(p->rank, width, src + l * width * p->rank, 1, p->rank, dst + l * block,
                       b * block);
    return tiles_of(p->rank) * b * block;
}

/* S[l][k][r] -> [tile of r][l][k][16]. */
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t pairs = p->blocks * p->blocks, tiles = tiles_of(p->rank);
    for (int64_t i = 0; dst && i < tiles * pairs * FRAGMENT_SIDE; i++) {
        const int64_t tile = i / (pairs * FRAGMENT_SIDE), pair = i / FRAGMENT_SIDE % pairs;
        const int64_t s = tile * FRAGMENT_SIDE + i % FRAGMENT_SIDE;
        dst[i] = s < p->rank ? src[pair * p->rank + s] : (uint16_t)0;
    }
    return tiles * pairs * FRAGMENT_SIDE;
}

/* U[k][r][q] -> [k][tile of q][step of r]. */
static int64_t pack_u(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t b = p->blocks, q = p->out_features / b;
    const int64_t tile = tiles_of(p->rank) * (int64_t)FRAGMENT_ELEMENTS, block = tiles_of(q) * tile;
    for (int64_t k = 0; dst && k < b; k++)
        fragments_pack(q, p->rank, src + k * p->rank * q, 1, q, dst + k * block, tile);
    return b * block;
}

static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    if (tensor == 1) return pack_v(p, (const uint16_t *)src, (uint16_t *)dst);
    if (tensor == 2) return pack_s(p, (const uint16_t *)src, (uint16_t *)dst);
    return pack_u(p, (const uint16_t *)src, (uint16_t *)dst);
}

const variant_t blast_decode = {
    .structure = "blast",
    .name = "decode",
    .summary = "streams the weights for up to 64 tokens, two kernels chained by dependent launch",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = stream_supports<shape>,
    .intermediates = stream_intermediates<shape>,
    .cuda_core_flops = cuda_core_flops,
    .pack = pack,
    .workspace = stream_workspace<shape>,
    .launch = stream_launch_plan<shape>,
};

static const siblings_t decode_siblings = {&blast_decode, stream_launch_siblings<shape>};
REGISTER_SIBLINGS(decode_siblings)
