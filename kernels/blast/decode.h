/* The plan of blast/fused for 1 to 64 tokens. */
#ifndef BLROOF_BLAST_DECODE_H
#define BLROOF_BLAST_DECODE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t blast_decode; /* Z_k = sum_l s_lk * (X_l V_l) and O_k = Z_k U_k, chained */

#ifdef __cplusplus
}
#endif
#endif
