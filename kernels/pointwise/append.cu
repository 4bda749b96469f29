/* append: copies the rows of the inputs behind the `past` rows of their caches, in one launch. */
#include "kernels/pointwise/cuda_rows.cuh"

/* Both inputs are alike; the chunks of the second follow those of the first. */
template <typename T> struct append_t {
    rows_t<const T> in[2];
    rows_t<T> behind[2];
    map_shape_t shape; /* of one input */
    uint32_t chunks;   /* of all */
};

template <typename T, int N>
__global__ void __launch_bounds__(MAP_THREADS) copy_rows(const append_t<T> p) {
    const uint32_t chunk = blockIdx.x * MAP_THREADS + threadIdx.x;
    const bool second = chunk >= p.shape.chunks;
    const place_on_row_t at = place_of_chunk<N>(second ? chunk - p.shape.chunks : chunk, p.shape);
    dependents_launch();
    dependency_wait();
    if (chunk >= p.chunks) return;
    float v[N];
    load_chunk(address_of(second ? p.in[1] : p.in[0], at), v);
    store_chunk(address_of(second ? p.behind[1] : p.behind[0], at), v);
}

template <typename T, int N> static status_t launch_chunks(const call_t *c, stream_t stream) {
    append_t<T> p = {};
    const view_t *x = &c->in[0];
    const status_t st = map_shape(c->batch, x->rows, x->width / N, &p.shape);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < c->outputs; i++) {
        p.in[i] = rows_of<const T>(&c->in[i]);
        p.behind[i] = rows_of<T>(&c->out[i]);
        p.behind[i].data += c->past * c->out[i].stride;
    }
    p.chunks = p.shape.chunks * (uint32_t)c->outputs;
    return launch_overlapped(copy_rows<T, N>, ceil_div(p.chunks, MAP_THREADS), MAP_THREADS, 1, 0,
                             stream, p);
}

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    return call_chunked(c) ? launch_chunks<T, CHUNK>(c, stream) : launch_chunks<T, 1>(c, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"append", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
