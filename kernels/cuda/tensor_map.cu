/* The driver's encoder is found at run time, so that the program starts without a driver. */
#include <cudaTypedefs.h>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/tensor_map.h"

static status_t find_encoder(PFN_cuTensorMapEncodeTiled_v12000 *out) {
    static PFN_cuTensorMapEncodeTiled_v12000 encoder;
    if (!encoder) {
        void *found = NULL;
        cudaDriverEntryPointQueryResult result;
        CUDA(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000,
                                              cudaEnableDefault, &result));
        if (!found) return fail(STATUS_DEVICE, "the driver has no cuTensorMapEncodeTiled");
        encoder = (PFN_cuTensorMapEncodeTiled_v12000)found;
    }
    *out = encoder;
    return STATUS_OK;
}

static CUtensorMapSwizzle swizzle_of(int bytes) {
    return bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
           : bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
           : bytes == 32 ? CU_TENSOR_MAP_SWIZZLE_32B
                         : CU_TENSOR_MAP_SWIZZLE_NONE;
}

static CUtensorMapDataType type_of(dtype_t dtype) {
    return dtype == DTYPE_BF16   ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
           : dtype == DTYPE_FP16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                 : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

static status_t encode(CUtensorMap *map, CUtensorMapDataType type, const void *base, int rank,
                       const cuuint64_t *dims, const cuuint64_t *strides, const cuuint32_t *box,
                       int swizzle_bytes) {
    PFN_cuTensorMapEncodeTiled_v12000 encoder = NULL;
    const status_t st = find_encoder(&encoder);
    if (st != STATUS_OK) return st;
    const cuuint32_t steps[4] = {1, 1, 1, 1};
    const CUresult result =
        encoder(map, type, (cuuint32_t)rank, (void *)base, dims, strides, box, steps,
                CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(swizzle_bytes),
                CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return STATUS_OK;
    return fail(STATUS_DEVICE, "cuTensorMapEncodeTiled: error %d", (int)result);
}

static status_t encode_2d(CUtensorMap *map, CUtensorMapDataType type, const void *base,
                          int64_t rows, int64_t columns, int64_t row_bytes, int box_rows,
                          int box_columns, int swizzle_bytes) {
    const cuuint64_t dims[2] = {(cuuint64_t)columns, (cuuint64_t)rows};
    const cuuint64_t stride[1] = {(cuuint64_t)row_bytes};
    const cuuint32_t box[2] = {(cuuint32_t)box_columns, (cuuint32_t)box_rows};
    return encode(map, type, base, 2, dims, stride, box, swizzle_bytes);
}

status_t tensor_map_2d(CUtensorMap *map, dtype_t dtype, const void *base, int64_t rows,
                       int64_t columns, int64_t row_elements, int box_rows, int box_columns,
                       int swizzle_bytes) {
    return encode_2d(map, type_of(dtype), base, rows, columns,
                     row_elements * (int64_t)dtype_size(dtype), box_rows, box_columns,
                     swizzle_bytes);
}

status_t tensor_map_2d_bytes(CUtensorMap *map, const void *base, int64_t rows, int64_t columns,
                             int64_t row_bytes, int box_rows, int box_columns, int swizzle_bytes) {
    return encode_2d(map, CU_TENSOR_MAP_DATA_TYPE_UINT8, base, rows, columns, row_bytes, box_rows,
                     box_columns, swizzle_bytes);
}

status_t tensor_map_4d(CUtensorMap *map, dtype_t dtype, const void *base, const int64_t dims[4],
                       const int64_t strides[4], const int box[4], int swizzle_bytes) {
    cuuint64_t sizes[4], bytes[3];
    cuuint32_t boxes[4];
    for (int i = 0; i < 4; i++) {
        sizes[i] = (cuuint64_t)dims[i];
        boxes[i] = (cuuint32_t)box[i];
        if (i > 0) bytes[i - 1] = (cuuint64_t)strides[i] * dtype_size(dtype);
    }
    return encode(map, type_of(dtype), base, 4, sizes, bytes, boxes, swizzle_bytes);
}
