/* Offline re-layout of static weights, for variants' pack() functions. Host memory, any 2- or
 * 4-byte dtype. */
#ifndef BLROOF_PACK_H
#define BLROOF_PACK_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Writes the tensor src (row-major, shape dims[MAX_DIMS]) to dst with its dimensions reordered:
 * dimension i of dst is dimension order[i] of src. Returns the element count; only counts if dst is
 * NULL.
 */
int64_t pack_transpose(dtype_t dtype, const int64_t dims[MAX_DIMS], const int order[MAX_DIMS],
                       const void *src, void *dst);

#ifdef __cplusplus
}
#endif
#endif
