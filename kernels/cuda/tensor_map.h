/* Host side of tma_load_2d() (tma.cuh): a row-major matrix as the copy engine wants it described.
 * The description holds the pointer, so it is made for each launch; that takes under 1 us. */
#ifndef BLROOF_TENSOR_MAP_H
#define BLROOF_TENSOR_MAP_H

#include <cuda.h>

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * base is 16-byte aligned and row_elements * size a multiple of 16. Boxes are box_rows (up to 256)
 * x box_columns; swizzle_bytes (32, 64, 128, or 0 for none) is at least the bytes of a box's row
 * and scatters its 16-byte chunks as the wgmma descriptor of the same swizzle expects (wgmma.cuh).
 * Reads beyond rows or columns give zeros.
 */
status_t tensor_map_2d(CUtensorMap *map, dtype_t dtype, const void *base, int64_t rows,
                       int64_t columns, int64_t row_elements, int box_rows, int box_columns,
                       int swizzle_bytes);

#ifdef __cplusplus
}
#endif
#endif
