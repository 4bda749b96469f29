/* blast/fused: its plans, best guess first. */
#include "kernels/blast/decode.h"
#include "kernels/blast/portable.h"

static const variant_t *const plans[] = {
    &blast_decode,
    &blast_fused_sm80,
    NULL,
};

static const variant_t blast_fused = {
    .structure = "blast",
    .name = "fused",
    .summary = "the three stages in as few kernels as the shape allows",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(blast_fused)
