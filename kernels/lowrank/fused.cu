/* lowrank/fused: two products as one kernel, one stream of weights, or a chain. */
#include "kernels/lowrank/decode.h"
#include "kernels/lowrank/hopper.h"
#include "kernels/lowrank/portable.h"

static const variant_t *const plans[] = {
    &lowrank_decode,
    &lowrank_flat,
    &lowrank_hopper_64x64_64x128,
    &lowrank_hopper_64x64_128x128,
    &lowrank_hopper_64x128_64x128,
    &lowrank_hopper_64x128_128x128,
    &lowrank_hopper_128x128_128x128,
    &lowrank_cluster_32,
    &lowrank_sm80_64x128,
    &lowrank_sm80_32x128,
    NULL,
};

static const variant_t lowrank_fused = {
    .structure = "lowrank",
    .name = "fused",
    .summary = "up to 64 tokens: weights streamed once; else two chained products, or one kernel",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(lowrank_fused)
