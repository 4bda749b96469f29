/* unpatchify: rows of [patch][patch][channels] (+ bias) as an image [channels][size][size]. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { X };
enum { BIAS };
enum { CHANNELS, SIZE, PATCH };

template <typename T> struct unpatchify_t {
    rows_t<const T> x, bias;
    int channels, size, patch;

    /* Neighbours of the image come from different places of a row, so N is 1. */
    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        static_assert(N == 1);
        const int image_column = at.column % size, line = at.column / size; /* of all channels */
        const int channel = line / size, image_row = line % size;
        const int inside = image_row % patch * patch + image_column % patch;
        const place_on_row_t from = {
            at.sequence, (int64_t)(image_row / patch) * (size / patch) + image_column / patch,
            inside * channels + channel};
        load_chunk(address_of(x, from), v);
        add_chunk(bias, from, v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const unpatchify_t<T> op = {rows_of<const T>(&c->in[X]), weight_of<const T>(&c->weight[BIAS]),
                                (int)c->number[CHANNELS], (int)c->number[SIZE],
                                (int)c->number[PATCH]};
    return launch_map<1, T>(c, op, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"unpatchify", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
