/* The Hopper (sm_90a) plans of blast/fused, best guess first. */
#ifndef BLROOF_BLAST_HOPPER_H
#define BLROOF_BLAST_HOPPER_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t blast_hopper_128x256, blast_hopper_128x192, blast_hopper_96x256,
    blast_hopper_96x232, blast_hopper_96x128, blast_hopper_64x256, blast_hopper_32x128,
    blast_hopper_32x64, blast_hopper_cluster6x2, blast_hopper_cluster12x1, blast_hopper_cluster6x1;

#ifdef __cplusplus
}
#endif
#endif
