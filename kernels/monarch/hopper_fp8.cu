/* The plans of monarch/fused_fp8 that keep T in registers. */
#include "kernels/monarch/hopper_fp8.h"
#include "kernels/monarch/hopper_registers.cuh"

#define FP8_PLAN(NAME, SUMMARY, ...)                                                               \
    extern const variant_t monarch_fp8_##NAME = {                                                  \
        .structure = "monarch",                                                                    \
        .name = "fp8_" #NAME,                                                                      \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .tolerance = MONARCH_FP8_TOLERANCE,                                                        \
        .supports = register_plan<1, __VA_ARGS__>::supports,                                       \
        .intermediates = monarch_fp8_intermediates,                                                \
        .pack = register_plan<1, __VA_ARGS__>::pack,                                               \
        .workspace = monarch_fp8_workspace,                                                        \
        .launch = register_plan<1, __VA_ARGS__>::launch,                                           \
    };

/* TOKENS, COLUMNS, GROUP, SPLIT, MOST_JOINED, BLOCKS */
FP8_PLAN(128x256, "tiles of 128 tokens x 256 columns", 128, 256, 1, 1, 2, 1)
FP8_PLAN(64x128, "tiles of 64 tokens x 128 columns", 64, 128, 1, 1, 2, 1)
FP8_PLAN(128x2x128_split2, "tiles of 128 tokens x 2 output blocks, l over 2", 128, 128, 2, 2, 2, 1)
