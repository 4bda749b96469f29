/* patch_embedding: y = x + bias + positions, behind a row of class + positions[0] if there is one.
 */
#include "kernels/pointwise/cuda_rows.cuh"

enum { X };
enum { POSITIONS, BIAS, CLASS };

template <typename T> struct patch_embedding_t {
    rows_t<const T> x, positions, bias, first;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        if (first.data && at.row == 0) {
            load_chunk(address_of(first, at), v);
        } else {
            place_on_row_t from = at;
            from.row -= first.data ? 1 : 0;
            load_chunk(address_of(x, from), v);
            add_chunk(bias, at, v);
        }
        add_chunk(positions, at, v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const patch_embedding_t<T> op = {
        rows_of<const T>(&c->in[X]), weight_of<const T>(&c->weight[POSITIONS]),
        weight_of<const T>(&c->weight[BIAS]), weight_of<const T>(&c->weight[CLASS])};
    return map_output<T>(c, op, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"patch_embedding", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
