/* The plans of monarch/fused_fp8 that exchange T in a cluster. */
#include "kernels/monarch/hopper_fp8.h"
#include "kernels/monarch/hopper_pair.cuh"

#define FP8_PAIR(NAME, SUMMARY, ...)                                                               \
    extern const variant_t monarch_fp8_##NAME = {                                                  \
        .structure = "monarch",                                                                    \
        .name = "fp8_" #NAME,                                                                      \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .tolerance = MONARCH_FP8_TOLERANCE,                                                        \
        .supports = pair_plan<1, __VA_ARGS__>::supports,                                           \
        .intermediates = monarch_fp8_intermediates,                                                \
        .pack = pair_plan<1, __VA_ARGS__>::pack,                                                   \
        .workspace = monarch_fp8_workspace,                                                        \
        .launch = pair_plan<1, __VA_ARGS__>::launch,                                               \
    };

/* COLUMNS, LARGEST_RANK, T_SLOTS, AHEAD */
FP8_PAIR(pair256, "128 tokens x 2 x 256 columns, T exchanged in a cluster", 256, 64, 6, 4)
FP8_PAIR(pair352, "128 tokens x 2 x 352 columns, T exchanged in a cluster", 352, 32, 8, 6)
