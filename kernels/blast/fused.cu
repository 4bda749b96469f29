/*
 * blast/fused: two kernels in a chain with programmatic dependent launch. Y stays on the chip; Z, a
 * chunk of tokens at a time, in the L2 cache. Small layers: one kernel, all on the chip. Few
 * tokens: the three kernels of blast/three_bmm, where Y and Z fit that cache. Which: the plans,
 * best guess first.
 */
#include "kernels/blast/decode.h"
#include "kernels/blast/hopper.h"
#include "kernels/blast/portable.h"
#include "kernels/blast/stages.h"

static const variant_t *const plans[] = {
    &blast_decode,
    &blast_hopper_cluster6x2,
    &blast_hopper_cluster6x1,
    &blast_hopper_cluster12x1,
    &blast_hopper_128x256,
    &blast_hopper_128x192,
    &blast_hopper_96x256,
    &blast_hopper_96x232,
    &blast_hopper_96x128,
    &blast_hopper_64x256,
    &blast_hopper_32x128,
    &blast_hopper_32x64,
    &blast_chain,
    &blast_fused_sm80,
    NULL,
};

static const variant_t blast_fused = {
    .structure = "blast",
    .name = "fused",
    .summary =
        "a kernel for stages 1 and 2, one behind it, Z in L2 (small layers one, few tokens three)",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(blast_fused)
