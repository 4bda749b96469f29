/*
 * blast/fused_fp8: as blast/fused, with X, V, Z and U in fp8 (e4m3) and fp32 sums; Y and S in bf16.
 * Weights are quantised offline, X by a kernel of its own. hopper_fp8.h says where the scales are.
 */
#include "kernels/blast/hopper_fp8.h"

static const variant_t *const plans[] = {
    &blast_fp8_128x256, &blast_fp8_128x192, &blast_fp8_96x256,
    &blast_fp8_96x232,  &blast_fp8_96x128,  &blast_fp8_64x256,
    &blast_fp8_32x128,  &blast_fp8_32x64,   NULL,
};

static const variant_t blast_fused_fp8 = {
    .structure = "blast",
    .name = "fused_fp8",
    .summary = "X quantised, stages 1 and 2 in one kernel, 3 behind it, in fp8; Z in L2",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .tolerance = BLAST_FP8_TOLERANCE,
    .matrix_dtype = "fp8",
    .plans = plans,
};
REGISTER_VARIANT(blast_fused_fp8)
