#include "harness/draw.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

enum { THREADS = 256 };

__device__ static void store_rounded(float value, float *to) {
    *to = value;
}

__device__ static void store_rounded(float value, __nv_bfloat16 *to) {
    *to = __float2bfloat16_rn(value);
}

__device__ static void store_rounded(float value, __half *to) {
    *to = __float2half_rn(value);
}

/* Product and sum are rounded one by one, as the host does. */
template <typename T>
__global__ void __launch_bounds__(THREADS)
    draw_all(uint64_t key, int64_t count, float centre, float spread, T *to) {
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += step)
        store_rounded(__fadd_rn(centre, __fmul_rn(spread, values_uniform(key, i))), to + i);
}

template <typename T>
static status_t draw_dtype(const draw_t *draw, void *dst, cudaStream_t stream) {
    const int64_t wanted = ceil_div(draw->count, THREADS), most = 1 << 16;
    if (draw->count < 1) return STATUS_OK;
    draw_all<<<(unsigned)(wanted < most ? wanted : most), THREADS, 0, stream>>>(
        values_mix(draw->seed), draw->count, draw->centre, draw->spread, (T *)dst);
    CUDA_LAUNCHED("draw_all");
    return STATUS_OK;
}

status_t draw_cuda(const draw_t *draw, void *dst, stream_t stream) {
    if (draw->dtype == DTYPE_FP32) return draw_dtype<float>(draw, dst, (cudaStream_t)stream);
    return DISPATCH_DTYPE(draw, draw_dtype, draw, dst, (cudaStream_t)stream);
}
