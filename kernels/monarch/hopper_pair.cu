/* The plans of monarch/fused that exchange T in a cluster. */
#include "kernels/monarch/hopper_pair.cuh"

/* BYTES, COLUMNS, LARGEST_RANK, T_SLOTS, AHEAD */
HOPPER_PLAN(pair256, "128 tokens x 2 x 256 columns, T exchanged in a cluster",
            pair_plan<2, 256, 64, 4, 2>)
HOPPER_PLAN(pair352, "128 tokens x 2 x 352 columns, T exchanged in a cluster",
            pair_plan<2, 352, 48, 2, 1>)
