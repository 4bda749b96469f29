/* patches: an image [channels][size][size] as rows of [channels][patch][patch]. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { IMAGE };
enum { CHANNELS, SIZE, PATCH };

template <typename T> struct patches_t {
    rows_t<const T> image;
    int size, patch, side; /* side patches make up an edge */

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        const int row = (int)at.row, line = at.column / patch; /* of all channels */
        const int channel = line / patch;
        const int64_t y = (int64_t)(row / side) * patch + (line - channel * patch);
        const int x = row % side * patch + at.column % patch;
        const T *from = image.data + at.sequence * image.sequence_step;
        load_chunk(from + ((int64_t)channel * size + y) * size + x, v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const int size = (int)c->number[SIZE], patch = (int)c->number[PATCH];
    const patches_t<T> op = {rows_of<const T>(&c->in[IMAGE]), size, patch, size / patch};
    return map_output<T>(c, op, call_chunked(c) && patch % CHUNK == 0, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"patches", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
