/* silu_gate: y = gate sigmoid(gate) * up. */
#include "kernels/pointwise/cuda_rows.cuh"
#include "kernels/pointwise/cuda_sigmoid.cuh"

enum { GATE, UP };

template <typename T> struct silu_gate_t {
    rows_t<const T> gate, up;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        float factor[N];
        load_chunk(address_of(gate, at), v);
        load_chunk(address_of(up, at), factor);
#pragma unroll
        for (int i = 0; i < N; i++) v[i] *= sigmoid(v[i]) * factor[i];
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const silu_gate_t<T> op = {rows_of<const T>(&c->in[GATE]), rows_of<const T>(&c->in[UP])};
    return map_output<T>(c, op, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"silu_gate", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
