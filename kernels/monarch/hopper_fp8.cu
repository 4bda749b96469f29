/* The plans of monarch/fused_fp8 that keep T in registers. */
#include "kernels/monarch/hopper_fp8.h"
#include "kernels/monarch/hopper_registers.cuh"

/* BYTES, TOKENS, COLUMNS, GROUP, SPLIT, MOST_JOINED, BLOCKS */
FP8_PLAN(128x256, "tiles of 128 tokens x 256 columns", register_plan<1, 128, 256, 1, 1, 2, 1>)
FP8_PLAN(64x128, "tiles of 64 tokens x 128 columns", register_plan<1, 64, 128, 1, 1, 2, 1>)
FP8_PLAN(128x2x128_split2, "tiles of 128 tokens x 2 output blocks, l over 2",
         register_plan<1, 128, 128, 2, 2, 2, 1>)
