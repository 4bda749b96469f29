/*
 * monarch/fused_fp8: as monarch/fused, the products in fp8 (e4m3) with fp32 sums. Weights are
 * quantised offline, a scale an output channel; X by a kernel of its own, a scale a token; T with
 * the scales of its token and channel in registers. hopper_tile.cuh says how the scales leave
 * again.
 */
#include "kernels/monarch/hopper_fp8.h"

static const variant_t *const plans[] = {
    &monarch_fp8_128x256, &monarch_fp8_64x128,  &monarch_fp8_128x2x128_split2,
    &monarch_fp8_pair256, &monarch_fp8_pair352, NULL,
};

static const variant_t monarch_fused_fp8 = {
    .structure = "monarch",
    .name = "fused_fp8",
    .summary = "both products in one kernel in fp8, after one that quantises X; order (k, j)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .tolerance = MONARCH_FP8_TOLERANCE,
    .matrix_dtype = "fp8",
    .plans = plans,
};
REGISTER_VARIANT(monarch_fused_fp8)
