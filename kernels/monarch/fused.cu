/*
 * monarch/fused: both products in one kernel, T, the intermediate, within a multiprocessor. Which
 * kernel: the plans, best guess first. A chain of two kernels stands beside them where T stays in
 * the L2 cache, or where a block of outputs takes several tiles, each of which computes T again.
 */
#include "kernels/monarch/decode.h"
#include "kernels/monarch/hopper.h"
#include "kernels/monarch/portable.h"
#include "kernels/monarch/stages.h"

static const variant_t *const plans[] = {
    &monarch_decode,
    &monarch_decode_chain,
    &monarch_hopper_128x256,
    &monarch_hopper_64x256,
    &monarch_hopper_64x128,
    &monarch_hopper_64x128_two,
    &monarch_hopper_64x192_split4,
    &monarch_hopper_64x256_split2,
    &monarch_hopper_64x2x128,
    &monarch_hopper_128x2x128_split2,
    &monarch_hopper_pair256,
    &monarch_hopper_pair352,
    &monarch_chain,
    &monarch_cluster_32,
    &monarch_sm80_32x128_g4,
    &monarch_sm80_64x128_g4,
    &monarch_sm80_64x704,
    &monarch_sm80_64x512,
    &monarch_sm80_128x128,
    &monarch_sm80_128x256,
    &monarch_sm80_any,
    NULL,
};

static const variant_t monarch_fused = {
    .structure = "monarch",
    .name = "fused",
    .summary =
        "both products in one kernel (or a chain with T in L2, or of q > 256); output order (k, j)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(monarch_fused)
