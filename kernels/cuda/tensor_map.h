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

/* The same of four dimensions, the contiguous one first; strides in elements (the first is 1), each
 * a multiple of 16 bytes. */
status_t tensor_map_4d(CUtensorMap *map, dtype_t dtype, const void *base, const int64_t dims[4],
                       const int64_t strides[4], const int box[4], int swizzle_bytes);

/* tensor_map_2d() for elements of one byte, whatever they mean. */
status_t tensor_map_2d_bytes(CUtensorMap *map, const void *base, int64_t rows, int64_t columns,
                             int64_t row_bytes, int box_rows, int box_columns, int swizzle_bytes);

#ifdef __cplusplus
}
#endif
#endif
