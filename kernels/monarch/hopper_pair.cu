/* The plans of monarch/fused that exchange T in a cluster. */
#include "kernels/monarch/hopper_pair.cuh"

#define HOPPER_PAIR(NAME, SUMMARY, ...)                                                            \
    extern const variant_t monarch_hopper_##NAME = {                                               \
        .structure = "monarch",                                                                    \
        .name = "hopper_" #NAME,                                                                   \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = pair_plan<2, __VA_ARGS__>::supports,                                           \
        .pack = pair_plan<2, __VA_ARGS__>::pack,                                                   \
        .launch = pair_plan<2, __VA_ARGS__>::launch,                                               \
    };

/* COLUMNS, LARGEST_RANK, T_SLOTS, AHEAD */
HOPPER_PAIR(pair256, "128 tokens x 2 x 256 columns, T exchanged in a cluster", 256, 64, 4, 2)
HOPPER_PAIR(pair352, "128 tokens x 2 x 352 columns, T exchanged in a cluster", 352, 48, 2, 1)
