/* gelu: v = x + bias, y = GELU(v), exact or in its tanh form; the formulas are those of gelu.c. */
#include "kernels/pointwise/cuda_rows.cuh"
#include "kernels/pointwise/cuda_sigmoid.cuh"

enum { X };
enum { BIAS };
enum { TANH };

/* v/2 (1 + tanh u) = v sigmoid(2u) */
__device__ static float gelu_tanh(float v) {
    return v * sigmoid(1.5957691216f * (v + 0.044715f * v * v * v));
}

/* erf by 7.1.26 of Abramowitz and Stegun. */
__device__ static float gelu_erf(float v) {
    const float z = fabsf(v) * 0.70710678f, t = fast_inverse(1.0f + 0.3275911f * z);
    const float tail =
        ((((1.061405429f * t - 1.453152027f) * t + 1.421413741f) * t - 0.284496736f) * t +
         0.254829592f) *
        t * fast_exp(-z * z);
    /* 1 + erf(v / sqrt 2), without cancellation where it is nearly 0 */
    return 0.5f * v * (v < 0 ? tail : 2.0f - tail);
}

template <typename T, bool APPROXIMATE> struct gelu_t {
    rows_t<const T> x, bias;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        load_chunk(address_of(x, at), v);
        add_chunk(bias, at, v);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] = APPROXIMATE ? gelu_tanh(v[i]) : gelu_erf(v[i]);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const rows_t<const T> x = rows_of<const T>(&c->in[X]);
    const rows_t<const T> bias = weight_of<const T>(&c->weight[BIAS]);
    const bool by_chunks = call_chunked(c);
    if (c->number[TANH] != 0) return map_output<T>(c, gelu_t<T, true>{x, bias}, by_chunks, stream);
    return map_output<T>(c, gelu_t<T, false>{x, bias}, by_chunks, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"gelu", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
