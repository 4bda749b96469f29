/*
 * monarch/fused: both products in one kernel; T, the intermediate, never leaves the chip. Which
 * kernel: the plans, best guess first.
 */
#include "kernels/monarch/hopper.h"

static const variant_t *const plans[] = {
    &monarch_hopper_128x256,
    &monarch_hopper_128x128,
    &monarch_hopper_64x256,
    &monarch_hopper_64x128,
    &monarch_hopper_64x192_split4,
    &monarch_hopper_64x256_split2,
    &monarch_hopper_64x2x128,
    &monarch_hopper_128x2x128_split2,
    &monarch_hopper_pair256,
    &monarch_hopper_pair352,
    &monarch_hopper_pair256b,
    &monarch_hopper_pair256c,
    NULL,
};

static const variant_t monarch_fused = {
    .structure = "monarch",
    .name = "fused",
    .summary = "both products in one kernel, T stays on the chip; output order (k, j)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(monarch_fused)
