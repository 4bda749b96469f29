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

status_t tensor_map_2d(CUtensorMap *map, dtype_t dtype, const void *base, int64_t rows,
                       int64_t columns, int64_t row_elements, int box_rows, int box_columns,
                       int swizzle_bytes) {
    PFN_cuTensorMapEncodeTiled_v12000 encode = NULL;
    const status_t st = find_encoder(&encode);
    if (st != STATUS_OK) return st;
    const CUtensorMapDataType type = dtype == DTYPE_BF16   ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16
                                     : dtype == DTYPE_FP16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16
                                                           : CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
    const cuuint64_t dims[2] = {(cuuint64_t)columns, (cuuint64_t)rows};
    const cuuint64_t stride[1] = {(cuuint64_t)row_elements * dtype_size(dtype)};
    const cuuint32_t box[2] = {(cuuint32_t)box_columns, (cuuint32_t)box_rows};
    const cuuint32_t steps[2] = {1, 1};
    const CUresult result =
        encode(map, type, 2, (void *)base, dims, stride, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
               swizzle_of(swizzle_bytes), CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (result == CUDA_SUCCESS) return STATUS_OK;
    return fail(STATUS_DEVICE, "cuTensorMapEncodeTiled: error %d", (int)result);
}
