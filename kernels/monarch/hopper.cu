/* The plans of monarch/fused that keep T in registers. */
#include "kernels/monarch/hopper_registers.cuh"

/* BYTES, TOKENS, COLUMNS, GROUP, SPLIT, MOST_JOINED, BLOCKS */
HOPPER_PLAN(128x256, "tiles of 128 tokens x 256 columns", register_plan<2, 128, 256, 1, 1, 2, 1>)
HOPPER_PLAN(64x256, "tiles of 64 tokens x 256 columns", register_plan<2, 64, 256, 1, 1, 1, 1>)
HOPPER_PLAN(64x128, "tiles of 64 tokens x 128 columns", register_plan<2, 64, 128, 1, 1, 2, 1>)
HOPPER_PLAN(64x128_two, "tiles of 64 tokens x 128 columns, two an SM",
            register_plan<2, 64, 128, 1, 1, 2, 2>)
HOPPER_PLAN(64x192_split4, "tiles of 64 tokens x 192 columns, l over 4 blocks",
            register_plan<2, 64, 192, 1, 4, 1, 1>)
HOPPER_PLAN(64x256_split2, "tiles of 64 tokens x 256 columns, l over 2 blocks",
            register_plan<2, 64, 256, 1, 2, 1, 1>)
HOPPER_PLAN(64x2x128, "tiles of 64 tokens x 2 output blocks", register_plan<2, 64, 128, 2, 1, 2, 1>)
HOPPER_PLAN(128x2x128_split2, "tiles of 128 tokens x 2 output blocks, l over 2",
            register_plan<2, 128, 128, 2, 2, 2, 1>)
