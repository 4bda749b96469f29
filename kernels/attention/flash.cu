/*
 * attention/flash: one kernel, no matrix of scores in memory. A block owns some queries of a head
 * and walks the keys; scores and weights stay in registers, with a running maximum and sum.
 */
#include "kernels/attention/flash.h"

static const variant_t *const plans[] = {&flash_vector,      &flash_decode_4,
                                         &flash_decode_8,    &flash_128_128x176,
                                         &flash_128_128x128, &flash_128_64x96,
                                         &flash_72_192x128,  &flash_72_64x96,
                                         &flash_64_192x128,  &flash_64_192x112,
                                         &flash_64_64x128,   &flash_split,
                                         &flash_portable,    nullptr};

static const variant_t attention_flash = {
    .structure = "attention",
    .name = "flash",
    .summary = "one kernel: scores in registers, online softmax",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .plans = plans,
};
REGISTER_VARIANT(attention_flash)
