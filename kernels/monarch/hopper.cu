/* The plans of monarch/fused that keep T in registers. */
#include "kernels/monarch/hopper_registers.cuh"

#define HOPPER_PLAN(NAME, SUMMARY, ...)                                                            \
    extern const variant_t monarch_hopper_##NAME = {                                               \
        .structure = "monarch",                                                                    \
        .name = "hopper_" #NAME,                                                                   \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = register_plan<2, __VA_ARGS__>::supports,                                       \
        .pack = register_plan<2, __VA_ARGS__>::pack,                                               \
        .launch = register_plan<2, __VA_ARGS__>::launch,                                           \
    };

/* TOKENS, COLUMNS, GROUP, SPLIT, MOST_JOINED, BLOCKS */
HOPPER_PLAN(128x256, "tiles of 128 tokens x 256 columns", 128, 256, 1, 1, 2, 1)
HOPPER_PLAN(64x256, "tiles of 64 tokens x 256 columns", 64, 256, 1, 1, 1, 1)
HOPPER_PLAN(64x128, "tiles of 64 tokens x 128 columns", 64, 128, 1, 1, 2, 1)
HOPPER_PLAN(64x128_two, "tiles of 64 tokens x 128 columns, two an SM", 64, 128, 1, 1, 2, 2)
HOPPER_PLAN(64x192_split4, "tiles of 64 tokens x 192 columns, l over 4 blocks", 64, 192, 1, 4, 1, 1)
HOPPER_PLAN(64x256_split2, "tiles of 64 tokens x 256 columns, l over 2 blocks", 64, 256, 1, 2, 1, 1)
HOPPER_PLAN(64x2x128, "tiles of 64 tokens x 2 output blocks", 64, 128, 2, 1, 2, 1)
HOPPER_PLAN(128x2x128_split2, "tiles of 128 tokens x 2 output blocks, l over 2", 128, 128, 2, 2, 2,
            1)
