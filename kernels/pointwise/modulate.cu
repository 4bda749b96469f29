/* modulate: s = x (+ gate * (residual + residual_bias)), y = normalised(s) * (1 + scale) + shift.
 */
#include "kernels/pointwise/cuda_norm.cuh"

enum { X, SHIFT, SCALE, RESIDUAL, GATE };
enum { RESIDUAL_BIAS };
enum { EPS };

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    norm_t<T> p = {.x = rows_of<const T>(&c->in[X]),
                   .residual = rows_of<const T>(&c->in[RESIDUAL]),
                   .residual_bias = weight_of<const T>(&c->weight[RESIDUAL_BIAS]),
                   .gate = rows_of<const T>(&c->in[GATE]),
                   .scale = rows_of<const T>(&c->in[SCALE]),
                   .shift = rows_of<const T>(&c->in[SHIFT]),
                   .eps = (float)c->number[EPS]};
    norm_outputs(c, &p);
    return launch_norm<NORM_MODULATE>(c, p, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"modulate", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
