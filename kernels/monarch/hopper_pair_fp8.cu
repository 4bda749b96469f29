/* The plans of monarch/fused_fp8 that exchange T in a cluster. */
#include "kernels/monarch/hopper_fp8.h"
#include "kernels/monarch/hopper_pair.cuh"

/* BYTES, COLUMNS, LARGEST_RANK, T_SLOTS, AHEAD */
FP8_PLAN(pair256, "128 tokens x 2 x 256 columns, T exchanged in a cluster",
         pair_plan<1, 256, 64, 6, 4>)
FP8_PLAN(pair352, "128 tokens x 2 x 352 columns, T exchanged in a cluster",
         pair_plan<1, 352, 32, 8, 6>)
