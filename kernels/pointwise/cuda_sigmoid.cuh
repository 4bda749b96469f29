/* The sigmoid in fp32, for CUDA kernels whose results are rounded to 16 bits. */
#ifndef BLROOF_CUDA_SIGMOID_CUH
#define BLROOF_CUDA_SIGMOID_CUH

/* Where exp(-x) is beyond fp32 it is infinite, and the sigmoid 0. */
__device__ inline float sigmoid(float x) {
    return __fdividef(1.0f, 1.0f + __expf(-x));
}

#endif
