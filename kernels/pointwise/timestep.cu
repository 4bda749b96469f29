/* timestep: y = [cos(t f_i), sin(t f_i)]; frequencies are in fp32. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { T_INPUT };
enum { FREQUENCIES };

struct timestep_t {
    rows_t<const int32_t> t;
    const float *frequencies;
    int half;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        static_assert(N == 1);
        const int32_t step = t.data[at.sequence * t.sequence_step + at.row * t.row_step];
        const bool sine = at.column >= half;
        const float angle = (float)step * frequencies[at.column - (sine ? half : 0)];
        v[0] = sine ? sinf(angle) : cosf(angle);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const timestep_t op = {rows_of<const int32_t>(&c->in[T_INPUT]),
                           (const float *)c->weight[FREQUENCIES].data, (int)(c->out[0].width / 2)};
    return launch_map<1, T>(c, op, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"timestep", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
