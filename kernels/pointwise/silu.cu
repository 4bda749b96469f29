/* silu: v = x + bias, y = v sigmoid(v). */
#include "kernels/pointwise/cuda_rows.cuh"
#include "kernels/pointwise/cuda_sigmoid.cuh"

enum { X };
enum { BIAS };

template <typename T> struct silu_t {
    rows_t<const T> x, bias;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        load_chunk(address_of(x, at), v);
        add_chunk(bias, at, v);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] *= sigmoid(v[i]);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const silu_t<T> op = {rows_of<const T>(&c->in[X]), weight_of<const T>(&c->weight[BIAS])};
    return map_output<T>(c, op, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"silu", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
