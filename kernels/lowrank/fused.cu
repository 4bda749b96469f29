/* lowrank/fused: the plan that fits the shape. */
#include "kernels/lowrank/decode.h"

static const variant_t *const plans[] = {&lowrank_decode, NULL};

static const variant_t lowrank_fused = {
    .structure = "lowrank",
    .name = "fused",
    .summary = "weight streaming for up to 64 tokens",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(lowrank_fused)
