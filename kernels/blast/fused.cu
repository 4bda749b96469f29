/* blast/fused: the plan that fits the shape. */
#include "kernels/blast/decode.h"

static const variant_t *const plans[] = {&blast_decode, NULL};

static const variant_t blast_fused = {
    .structure = "blast",
    .name = "fused",
    .summary = "weight streaming for up to 64 tokens",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(blast_fused)
