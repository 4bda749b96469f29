/* monarch/fused: the plan that fits the shape. */
#include "kernels/monarch/decode.h"

static const variant_t *const plans[] = {&monarch_decode, &monarch_decode_chain, NULL};

static const variant_t monarch_fused = {
    .structure = "monarch",
    .name = "fused",
    .summary = "weight streaming for up to 64 tokens",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(monarch_fused)
