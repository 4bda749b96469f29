/* add: y = x + gate * (residual + bias), each element read once. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { X, RESIDUAL, GATE };
enum { BIAS };

template <typename T> struct add_t {
    rows_t<const T> x, residual, gate, bias;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        load_chunk(address_of(residual, at), v);
        add_chunk(bias, at, v);
        if (gate.data) {
            float factor[N];
            load_chunk(address_of(gate, at), factor);
#pragma unroll
            for (int i = 0; i < N; i++) v[i] *= factor[i];
        }
        add_chunk(x, at, v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const add_t<T> op = {rows_of<const T>(&c->in[X]), rows_of<const T>(&c->in[RESIDUAL]),
                         rows_of<const T>(&c->in[GATE]), weight_of<const T>(&c->weight[BIAS])};
    return map_output<T>(c, op, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"add", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
