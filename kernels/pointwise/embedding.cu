/* embedding: y = table[id] + positions[past + row] + types[0]. */
#include "kernels/pointwise/cuda_rows.cuh"

enum { IDS };
enum { TABLE, POSITIONS, TYPES };

template <typename T> struct embedding_t {
    rows_t<const int32_t> ids;
    const T *table;
    int64_t table_step;
    rows_t<const T> positions, types; /* positions from the first one on that is wanted */

    template <int N> __device__ void compute(const place_on_row_t &at, float (&v)[N]) const {
        const int64_t id = ids.data[at.sequence * ids.sequence_step + at.row * ids.row_step];
        load_chunk(table + id * table_step + at.column, v);
        add_chunk(positions, at, v);
        add_chunk(types, at, v);
    }
};

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const view_t *table = &c->weight[TABLE], *types = &c->weight[TYPES];
    embedding_t<T> op = {rows_of<const int32_t>(&c->in[IDS]),
                         (const T *)table->data,
                         table->stride,
                         weight_of<const T>(&c->weight[POSITIONS]),
                         {(const T *)types->data, 0, 0}};
    if (op.positions.data) op.positions.data += c->past * op.positions.row_step;
    return map_output<T>(c, op, call_chunked(c), stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"embedding", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
