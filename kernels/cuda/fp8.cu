/* A row a thread block, which keeps the row in registers between the search for its largest
 * magnitude and the division by it. */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/fp8.cuh"
#include "kernels/cuda/launch.cuh"

enum {
    VECTOR = 8,
    HELD = 4,
    MOST_THREADS = FP8_ROW_MOST / VECTOR / HELD,
    WARP = 32,
    LINE_VECTORS = 8
};

/* The larger magnitude; NaN if one is, so that a NaN spoils its row instead of being lost. */
__device__ inline float larger(float magnitude, float value) {
    float out;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(out) : "f"(magnitude), "f"(fabsf(value)));
    return out;
}

struct largest_t {
    __device__ static float combine(float a, float b) {
        return larger(a, b);
    }
};

struct sum_t {
    __device__ static float combine(float a, float b) {
        return a + b;
    }
};

/* Of all threads of the block, in the same order always; `warps` is room for a value a warp. */
template <typename F> __device__ inline float over_block(float value, float *warps) {
#pragma unroll
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
        value = F::combine(value, __shfl_xor_sync(~0u, value, lanes));
    if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = value;
    __syncthreads();
    value = threadIdx.x % WARP < blockDim.x / WARP ? warps[threadIdx.x % WARP] : 0;
#pragma unroll
    for (int lanes = WARP / 2; lanes > 0; lanes /= 2)
        value = F::combine(value, __shfl_xor_sync(~0u, value, lanes));
    return value;
}

/* L2 is where all kernels see the same memory: X may be fetched so far before the kernel ahead has
 * ended. */
template <typename T> __device__ inline void prefetch_row(const T *row, int in_features) {
    for (int i = 0; i < HELD; i++) {
        const int at = (i * (int)blockDim.x + (int)threadIdx.x) * VECTOR;
        if (at < in_features && threadIdx.x % LINE_VECTORS == 0)
            asm volatile("prefetch.global.L2 [%0];" ::"l"(row + at));
    }
}

/* NORM: the scale follows from the row's norm, not from its largest magnitude. */
template <typename T, bool NORM>
__global__ void __launch_bounds__(MOST_THREADS)
    quantise_rows(const T *x, uint8_t *codes, float *scales, int in_features, int64_t row_bytes) {
#if __CUDA_ARCH__ >= 900
    __shared__ float warps[MOST_THREADS / WARP];
    const T *const row = x + (int64_t)blockIdx.x * in_features;
    uint4 held[HELD] = {};
    float bound = 0;
    dependents_launch();
    if constexpr (NORM) prefetch_row(row, in_features);
    dependency_wait();
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int at = (i * (int)blockDim.x + (int)threadIdx.x) * VECTOR;
        if (at < in_features) held[i] = *(const uint4 *)(row + at);
    }
#pragma unroll
    for (int i = 0; i < HELD; i++)
        for (const uint32_t pair : {held[i].x, held[i].y, held[i].z, held[i].w}) {
            const float2 two = widen_pair<T>(pair);
            bound = NORM ? fmaf(two.x, two.x, fmaf(two.y, two.y, bound))
                         : larger(larger(bound, two.x), two.y);
        }
    bound = NORM ? sqrtf(over_block<sum_t>(bound, warps)) : over_block<largest_t>(bound, warps);
    const float inverse = FP8_MAX / fmaxf(bound, 1e-30f); /* finite */
    if (threadIdx.x == 0) scales[blockIdx.x] = bound * (1 / FP8_MAX);
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        const int at = (i * (int)blockDim.x + (int)threadIdx.x) * VECTOR;
        /* Widened again: kept since above, the values would take twice the registers. */
        if constexpr (NORM)
            asm volatile("" : "+r"(held[i].x), "+r"(held[i].y), "+r"(held[i].z), "+r"(held[i].w));
        const float2 a = widen_pair<T>(held[i].x), b = widen_pair<T>(held[i].y);
        const float2 c = widen_pair<T>(held[i].z), d = widen_pair<T>(held[i].w);
        if (at < in_features)
            *(uint2 *)(codes + blockIdx.x * row_bytes + at) =
                make_uint2(fp8_quad(a.x * inverse, a.y * inverse, b.x * inverse, b.y * inverse),
                           fp8_quad(c.x * inverse, c.y * inverse, d.x * inverse, d.y * inverse));
    }
#else
    __trap();
#endif
}

template <typename T, bool NORM>
static status_t quantise(const problem_t *p, const void *x, fp8_rows_t to, stream_t stream) {
    const int threads = (int)round_up(ceil_div(p->in_features, VECTOR * HELD), WARP);
    return launch_overlapped(quantise_rows<T, NORM>, p->tokens, threads, 1, 0, stream, (const T *)x,
                             to.codes, to.scales, (int)p->in_features, to.row_bytes);
}

template <bool NORM>
static status_t quantise(const problem_t *p, const void *x, fp8_rows_t to, stream_t stream) {
    return p->dtype == DTYPE_BF16 ? quantise<__nv_bfloat16, NORM>(p, x, to, stream)
                                  : quantise<__half, NORM>(p, x, to, stream);
}

status_t fp8_quantise_rows(const problem_t *p, const void *x, fp8_rows_t to, stream_t stream) {
    return quantise<false>(p, x, to, stream);
}

status_t fp8_quantise_rows_by_norm(const problem_t *p, const void *x, fp8_rows_t to,
                                   stream_t stream) {
    return quantise<true>(p, x, to, stream);
}
