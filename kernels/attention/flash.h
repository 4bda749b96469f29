/* The plans of attention/flash, each in a file of its own. */
#ifndef BLROOF_ATTENTION_FLASH_H
#define BLROOF_ATTENTION_FLASH_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* flash_hopper.cu: names are head dim (its limit), queries x keys of a tile. */
extern const variant_t flash_128_128x176, flash_128_128x128, flash_128_64x96;
extern const variant_t flash_72_192x128, flash_72_64x96;
extern const variant_t flash_64_192x128, flash_64_192x112, flash_64_64x128;
/* flash_decode.cu: warps of a block. */
extern const variant_t flash_decode_4, flash_decode_8;
/* flash_vector.cu: one query. */
extern const variant_t flash_vector;
/* flash_portable.cu */
extern const variant_t flash_portable, flash_split;

#ifdef __cplusplus
}
#endif
#endif
