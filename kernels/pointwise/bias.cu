/* bias: y = x + bias. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { X };
enum { BIAS };

template <typename T> struct bias_t {
    rows_t<const T> x, bias;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        load_chunk(address_of(x, at), v);
        add_chunk(bias, at, v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const bias_t<T> op = {rows_of<const T>(&c->in[X]), weight_of<const T>(&c->weight[BIAS])};
    return map_output<T>(c, op, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"bias", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
