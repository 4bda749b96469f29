/* rmsnorm: s = x (+ residual), y = s / sqrt(mean(s^2) + eps) * weight. */
#include "kernels/pointwise/cuda_norm.cuh"

enum { X, RESIDUAL };
enum { WEIGHT };
enum { EPS };

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    norm_t<T> p = {.x = rows_of<const T>(&c->in[X]),
                   .residual = rows_of<const T>(&c->in[RESIDUAL]),
                   .scale = weight_of<const T>(&c->weight[WEIGHT]),
                   .eps = (float)c->number[EPS]};
    norm_outputs(c, &p);
    return launch_norm<NORM_RMS>(c, p, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"rmsnorm", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
