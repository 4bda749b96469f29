/* append: copies the rows of x behind the `past` rows of the cache. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { X };

template <typename T> struct append_t {
    rows_t<const T> x;

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        load_chunk(address_of(x, at), v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const view_t *x = &c->in[X], *cache = &c->out[0];
    rows_t<T> behind = rows_of<T>(cache);
    behind.data += c->past * cache->stride;
    const append_t<T> op = {rows_of<const T>(x)};
    return map_rows(op, behind, c->batch, x->rows, x->width, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"append", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
