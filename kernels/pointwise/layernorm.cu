/* layernorm: s = x (+ residual + residual_bias), y = (s - mean) / sqrt(variance + eps) * weight +
 * bias. */
#include "kernels/pointwise/cuda_norm.cuh"

enum { X, RESIDUAL };
enum { WEIGHT, BIAS, RESIDUAL_BIAS };
enum { EPS };

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    norm_t<T> p = {.x = rows_of<const T>(&c->in[X]),
                   .residual = rows_of<const T>(&c->in[RESIDUAL]),
                   .residual_bias = weight_of<const T>(&c->weight[RESIDUAL_BIAS]),
                   .scale = weight_of<const T>(&c->weight[WEIGHT]),
                   .shift = weight_of<const T>(&c->weight[BIAS]),
                   .eps = (float)c->number[EPS]};
    norm_outputs(c, &p);
    return launch_norm<NORM_LAYER>(c, p, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"layernorm", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
