/*
 * The CUDA kernel of rmsnorm, layernorm and modulate: s = x (+ gate * (residual + residual_bias)),
 * y = normalised(s) * scale + shift. A row is in the registers of one warp or one block, so that
 * memory is passed over once; the sum that is normalised is not rounded before.
 */
#ifndef BLROOF_CUDA_NORM_CUH
#define BLROOF_CUDA_NORM_CUH

#include "kernels/pointwise/cuda_rows.cuh"

/* NORM_MODULATE is NORM_LAYER with factors 1 + scale, and scale and shift are not weights. */
typedef enum { NORM_RMS, NORM_LAYER, NORM_MODULATE } norm_kind_t;

template <typename T> struct norm_t {
    rows_t<const T> x, residual, residual_bias, gate, scale, shift;
    rows_t<T> sum; /* data is NULL where it is not wanted */
    rows_t<T> y;
    float eps;
};

struct norm_shape_t {
    uint32_t all_rows;
    divider_t rows;     /* of a sequence */
    int width, threads; /* of a row: all of a block, or one of its warps */
};

enum { NORM_THREADS = 1024, NORM_FEW_ROWS = 256 };
enum { NORM_WARP_ROWS = 4, NORM_WARP_CHUNKS = 5, NORM_BLOCK_CHUNKS = 2 };

/* The sum over the threads of a row, at least a warp; a block's warps add through of_warp[]. */
__device__ static float row_sum(float value, int threads, float *of_warp) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    if (threads == 32) return value;
    const int warps = threads / 32, lane = threadIdx.x % 32;
    if (lane == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    value = lane < warps ? of_warp[lane] : 0;
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

/* s of a chunk. */
template <typename T, int N>
__device__ static void norm_input(const norm_t<T> &p, const place_on_row_t &at, float (&s)[N]) {
    if (p.residual.data) {
        load_chunk(address_of(p.residual, at), s);
        add_chunk(p.residual_bias, at, s);
        if (p.gate.data) {
            float factor[N];
            load_chunk(address_of(p.gate, at), factor);
#pragma unroll
            for (int i = 0; i < N; i++) s[i] *= factor[i];
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) s[i] = 0;
    }
    add_chunk(p.x, at, s);
}

/* What a chunk is scaled by and shifted by. */
template <norm_kind_t KIND, typename T, int N>
__device__ static void norm_factors(const norm_t<T> &p, const place_on_row_t &at, float (&scale)[N],
                                    float (&shift)[N]) {
    load_chunk(address_of(p.scale, at), scale);
    if (KIND != NORM_RMS) load_chunk(address_of(p.shift, at), shift);
#pragma unroll
    for (int i = 0; i < N; i++) {
        if (KIND == NORM_MODULATE) scale[i] += 1;
        if (KIND == NORM_RMS) shift[i] = 0;
    }
}

/* Each thread of a row has CHUNKS chunks of N elements; only a warp's has NORM_WARP_CHUNKS. */
template <norm_kind_t KIND, typename T, int N, int CHUNKS>
__global__ void __launch_bounds__(CHUNKS == NORM_WARP_CHUNKS ? 32 * NORM_WARP_ROWS : NORM_THREADS)
    norm_rows(const norm_t<T> p, const norm_shape_t shape) {
    __shared__ float of_warp[2][NORM_THREADS / 32];
    const bool warps = shape.threads == 32;
    const uint32_t row = warps ? blockIdx.x * NORM_WARP_ROWS + threadIdx.x / 32 : blockIdx.x;
    const uint32_t sequence = divide(row, shape.rows);
    place_on_row_t at = {sequence, row - sequence * shape.rows.divisor, 0};
    const int step = shape.threads * N;
    const int first = (int)(warps ? threadIdx.x % 32 : threadIdx.x) * N;
    /* No kernel ahead writes weights, so a single row need not wait for them a second time. */
    constexpr bool EARLY = CHUNKS == 1 && KIND != NORM_MODULATE;
    float s[CHUNKS][N], scale[N], shift[N], total = 0, squares = 0;
    at.column = first;
    if (EARLY && first < shape.width) norm_factors<KIND>(p, at, scale, shift);
    dependents_launch();
    dependency_wait();
    if (row >= shape.all_rows) return; /* a whole warp of the last block */
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
        at.column = first + k * step;
        if (at.column < shape.width) norm_input(p, at, s[k]);
    }
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
#pragma unroll
        for (int i = 0; i < N; i++)
            if (first + k * step < shape.width) total += s[k][i];
    const float mean =
        KIND == NORM_RMS ? 0 : row_sum(total, shape.threads, of_warp[0]) / (float)shape.width;
#pragma unroll
    for (int k = 0; k < CHUNKS; k++)
#pragma unroll
        for (int i = 0; i < N; i++)
            if (first + k * step < shape.width) squares += (s[k][i] - mean) * (s[k][i] - mean);
    const float inverse =
        rsqrtf(row_sum(squares, shape.threads, of_warp[1]) / (float)shape.width + p.eps);
#pragma unroll
    for (int k = 0; k < CHUNKS; k++) {
        at.column = first + k * step;
        if (at.column >= shape.width) continue;
        if (p.sum.data) store_chunk(address_of(p.sum, at), s[k]);
        if (!EARLY) norm_factors<KIND>(p, at, scale, shift);
#pragma unroll
        for (int i = 0; i < N; i++) s[k][i] = (s[k][i] - mean) * inverse * scale[i] + shift[i];
        store_chunk(address_of(p.y, at), s[k]);
    }
}

/*
 * Rows of a warp need no barrier, and blocks of a few warps leave enough of them to fill the GPU;
 * few rows are latency alone, and each gets as many threads as it has chunks.
 */
static inline int norm_threads(int64_t rows, int64_t chunks) {
    const bool in_warp = chunks <= 32 * NORM_WARP_CHUNKS;
    int most = in_warp ? NORM_WARP_CHUNKS : NORM_BLOCK_CHUNKS;
    if (rows <= NORM_FEW_ROWS) most = 1;
    const int64_t threads = round_up(ceil_div(chunks, most), 32);
    return threads < NORM_THREADS ? (int)threads : NORM_THREADS;
}

template <norm_kind_t KIND, typename T, int N>
static status_t launch_norm_chunks(const call_t *c, const norm_t<T> &p, stream_t stream) {
    constexpr int MOST = N == CHUNK ? 3 : 8; /* a thread's chunks that registers hold */
    const int64_t rows = c->out[0].rows, width = c->out[0].width, all_rows = c->batch * rows;
    if (width > MOST * N * NORM_THREADS || all_rows > INT32_MAX - NORM_WARP_ROWS)
        return fail(STATUS_UNSUPPORTED, "norms take 2^31 rows of up to %d elements, not %lld",
                    MOST * N * NORM_THREADS, (long long)width);
    const int threads = norm_threads(all_rows, width / N);
    const int64_t each = ceil_div(width / N, threads);
    const int block_rows = threads == 32 ? NORM_WARP_ROWS : 1;
    const norm_shape_t shape = {(uint32_t)all_rows, divider_of((uint32_t)rows), (int)width,
                                threads};
    auto *const kernel = each <= 1       ? norm_rows<KIND, T, N, 1>
                         : each <= 2     ? norm_rows<KIND, T, N, 2>
                         : each <= 3     ? norm_rows<KIND, T, N, 3>
                         : threads == 32 ? norm_rows<KIND, T, N, NORM_WARP_CHUNKS>
                                         : norm_rows<KIND, T, N, MOST>;
    return launch_overlapped(kernel, ceil_div(all_rows, block_rows), block_rows * threads, 1, 0,
                             stream, p, shape);
}

template <norm_kind_t KIND, typename T>
static status_t launch_norm(const call_t *c, const norm_t<T> &p, stream_t stream) {
    return call_chunked(c) ? launch_norm_chunks<KIND, T, CHUNK>(c, p, stream)
                           : launch_norm_chunks<KIND, T, 1>(c, p, stream);
}

/* The outputs of a call: the sum is the first of two. */
template <typename T> static void norm_outputs(const call_t *c, norm_t<T> *p) {
    p->y = rows_of<T>(&c->out[c->outputs - 1]);
    if (c->outputs == 2) p->sum = rows_of<T>(&c->out[0]);
}

#endif
