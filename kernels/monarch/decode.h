/* The plans of monarch/fused for 1 to 64 tokens. */
#ifndef BLROOF_MONARCH_DECODE_H
#define BLROOF_MONARCH_DECODE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const variant_t monarch_decode;       /* one kernel, a cluster for each output block */
extern const variant_t monarch_decode_chain; /* two kernels, any device */

#ifdef __cplusplus
}
#endif
#endif
