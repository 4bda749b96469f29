/*
 * What the CUDA kernels of pointwise operators share: views of rows, chunks of 16 bytes, and a
 * kernel that computes the chunks of an output one by one. Arithmetic is in fp32.
 */
#ifndef BLROOF_CUDA_ROWS_CUH
#define BLROOF_CUDA_ROWS_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"
#include "kernels/pointwise/pointwise.h"

enum { POINTWISE_DTYPES = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16) };

/* A view on the device: a row that stands for all of them is one without steps. */
template <typename T> struct rows_t {
    T *data; /* NULL where it was left out */
    int64_t sequence_step, row_step;
};

template <typename T> static inline rows_t<T> rows_of(const view_t *view) {
    return {(T *)view->data, view->rows * view->stride, view->rows == 1 ? 0 : view->stride};
}

/* Of a weight, which is shared by the sequences: one row for each row of a sequence, or for all. */
template <typename T> static inline rows_t<T> weight_of(const view_t *view) {
    return {(T *)view->data, 0, view->rows == 1 ? 0 : view->stride};
}

/* Where a chunk of an output is: its row in its sequence, and its first column. */
struct place_on_row_t {
    int64_t sequence, row;
    int column;
};

template <typename T>
__device__ inline T *address_of(const rows_t<T> &rows, const place_on_row_t &at) {
    return rows.data + at.sequence * rows.sequence_step + at.row * rows.row_step + at.column;
}

/* ---- chunks of N elements: 8, which are 16 aligned bytes, or 1 ---- */

enum { CHUNK = 8 };

template <typename T> __device__ inline float widen(T value) {
    if constexpr (__is_same(T, __nv_bfloat16))
        return __bfloat162float(value);
    else
        return __half2float(value);
}

template <typename T> __device__ inline T narrow(float value) {
    if constexpr (__is_same(T, __nv_bfloat16))
        return __float2bfloat16_rn(value);
    else
        return __float2half_rn(value);
}

template <typename T, int N> __device__ inline void load_chunk(const T *from, float (&v)[N]) {
    if constexpr (N == CHUNK) {
        const uint4 words = *(const uint4 *)from;
        const uint32_t pairs[] = {words.x, words.y, words.z, words.w};
#pragma unroll
        for (int i = 0; i < CHUNK / 2; i++) {
            const float2 pair = widen_pair<T>(pairs[i]);
            v[2 * i] = pair.x;
            v[2 * i + 1] = pair.y;
        }
    } else {
        static_assert(N == 1);
        v[0] = widen(*from);
    }
}

template <typename T, int N> __device__ inline void store_chunk(T *to, const float (&v)[N]) {
    if constexpr (N == CHUNK)
        store_vector(to, make_uint4(round_pair<T>(v[0], v[1]), round_pair<T>(v[2], v[3]),
                                    round_pair<T>(v[4], v[5]), round_pair<T>(v[6], v[7])));
    else
        *to = narrow<T>(v[0]);
}

/* v += the chunk there, if the view was given. */
template <typename T, int N>
__device__ inline void add_chunk(const rows_t<const T> &rows, const place_on_row_t &at,
                                 float (&v)[N]) {
    if (!rows.data) return;
    float added[N];
    load_chunk(address_of(rows, at), added);
#pragma unroll
    for (int i = 0; i < N; i++) v[i] += added[i];
}

/* True if every row of 16-bit elements is whole chunks at 16 aligned bytes. */
static inline bool chunked(const view_t *view) {
    return !view->data || view->whole ||
           ((uintptr_t)view->data % 16 == 0 && view->width % CHUNK == 0 &&
            view->stride % CHUNK == 0);
}

static inline bool call_chunked(const call_t *call) {
    bool all = true;
    for (int i = 0; i < MAX_VIEWS; i++) all &= chunked(&call->in[i]);
    for (int i = 0; i < MAX_PARAMETERS; i++) all &= chunked(&call->weight[i]);
    for (int i = 0; i < call->outputs; i++) all &= chunked(&call->out[i]);
    return all;
}

/* ---- division by a number known on the host, of numbers below 2^31 ---- */

struct divider_t {
    uint32_t divisor, factor, shift;
};

/* Granlund, Montgomery, "Division by Invariant Integers using Multiplication", PLDI 1994. */
static inline divider_t divider_of(uint32_t divisor) {
    uint32_t shift = 0;
    while (UINT64_C(1) << shift < divisor) shift++;
    const uint64_t excess = (UINT64_C(1) << shift) - divisor;
    return {divisor, (uint32_t)((excess << 32) / divisor + 1), shift};
}

__device__ inline uint32_t divide(uint32_t value, const divider_t &by) {
    return (__umulhi(value, by.factor) + value) >> by.shift;
}

/* ---- one chunk after the other ---- */

enum { MAP_THREADS = 256 };

struct map_shape_t {
    uint32_t chunks;
    divider_t per_row, rows;
};

template <int N>
__device__ inline place_on_row_t place_of_chunk(uint32_t chunk, const map_shape_t &shape) {
    const uint32_t row = divide(chunk, shape.per_row), sequence = divide(row, shape.rows);
    return {sequence, row - sequence * shape.rows.divisor,
            (int)(chunk - row * shape.per_row.divisor) * N};
}

/*
 * op.compute<N>(at, v) gives the N elements of a chunk; a thread has one. With two or four of them,
 * whose loads would be under way together, large tensors took 5 and 20 % longer.
 */
template <typename T, int N, typename OP>
__global__ void __launch_bounds__(MAP_THREADS)
    map_chunks(const OP op, const rows_t<T> out, const map_shape_t shape) {
    const uint32_t chunk = blockIdx.x * MAP_THREADS + threadIdx.x;
    const place_on_row_t at = place_of_chunk<N>(chunk, shape);
    float v[N];
    dependents_launch();
    dependency_wait();
    if (chunk >= shape.chunks) return;
    op.compute(at, v);
    store_chunk(address_of(out, at), v);
}

/* The chunks of `rows` x `per_row` of each of `batch` sequences. */
static inline status_t map_shape(int64_t batch, int64_t rows, int64_t per_row, map_shape_t *out) {
    const int64_t chunks = batch * rows * per_row;
    *out = {(uint32_t)chunks, divider_of((uint32_t)per_row), divider_of((uint32_t)rows)};
    if (chunks <= 1 << 30) return STATUS_OK;
    return fail(STATUS_UNSUPPORTED, "pointwise operators take up to 2^30 chunks, not %lld",
                (long long)chunks);
}

/* Launches the kernel over the first output of a call. */
template <int N, typename T, typename OP>
static status_t launch_map(const call_t *call, const OP &op, stream_t stream) {
    const view_t *out = &call->out[0];
    map_shape_t shape;
    const status_t st = map_shape(call->batch, out->rows, out->width / N, &shape);
    if (st != STATUS_OK) return st;
    return launch_overlapped(map_chunks<T, N, OP>, ceil_div(shape.chunks, MAP_THREADS), MAP_THREADS,
                             1, 0, stream, op, rows_of<T>(out), shape);
}

/* The same by chunks of 8 where the views allow it. */
template <typename T, typename OP>
static status_t map_output(const call_t *call, const OP &op, bool by_chunks, stream_t stream) {
    return by_chunks ? launch_map<CHUNK, T>(call, op, stream) : launch_map<1, T>(call, op, stream);
}

#endif
