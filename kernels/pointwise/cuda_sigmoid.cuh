/* exp and sigmoid in fp32, for CUDA kernels whose results are rounded to 16 bits: the intrinsics
 * would spend more instructions on denormals than on the rest. */
#ifndef BLROOF_CUDA_SIGMOID_CUH
#define BLROOF_CUDA_SIGMOID_CUH

/* exp(x) to 2^-22 times |x|; below fp32's range 0, above it infinite. */
__device__ inline float fast_exp(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.44269504f));
    return y;
}

/* 1 / x to 2^-23; of infinity 0. */
__device__ inline float fast_inverse(float x) {
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ inline float sigmoid(float x) {
    return fast_inverse(1.0f + fast_exp(-x));
}

#endif
