/*
 * The CUDA kernel of rmsnorm, layernorm and modulate: s = x (+ gate * (residual + residual_bias)),
 * y = normalised(s) * scale + shift. A block has a row in its registers, so that memory is passed
 * over once, and goes on with another one whose loads are under way meanwhile; what all rows share
 * it keeps. The sum that is normalised is not rounded before.
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
    divider_t rows; /* of a sequence */
    int width;
};

enum { NORM_THREADS = 1024 };

__device__ static float warp_sum(float value) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    return value;
}

/* The sum over the block's threads, through of_warp[], which the next call may not use. */
__device__ static float block_sum(float value, float *of_warp) {
    const int warps = (int)blockDim.x / 32, lane = (int)threadIdx.x % 32;
    value = warp_sum(value);
    if (warps == 1) return value;
    if (lane == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    return warp_sum(lane < warps ? of_warp[lane] : 0);
}

/* A thread's chunks of one operand, as they are in memory; those beyond the width are not used. */
template <typename T, int N, int CHUNKS> struct chunks_t {
    uint32_t words[CHUNKS][N == CHUNK ? CHUNK / 2 : 1];

    __device__ void load(const rows_t<const T> &rows, place_on_row_t at, int width) {
#pragma unroll
        for (int k = 0; k < CHUNKS; k++, at.column += (int)blockDim.x * N) {
            if (at.column >= width) continue;
            const T *const from = address_of(rows, at);
            if constexpr (N == CHUNK) {
                const uint4 v = *(const uint4 *)from;
                words[k][0] = v.x, words[k][1] = v.y, words[k][2] = v.z, words[k][3] = v.w;
            } else {
                words[k][0] = *(const uint16_t *)from;
            }
        }
    }

    __device__ float operator()(int k, int i) const {
        const float2 pair = widen_pair<T>(words[k][i / 2]);
        return i % 2 == 0 ? pair.x : pair.y;
    }
};

/* What the rows of a sequence share. */
template <norm_kind_t KIND, typename T, int N, int CHUNKS> struct shared_chunks_t {
    chunks_t<T, N, CHUNKS> bias, gate, scale, shift;

    __device__ void load(const norm_t<T> &p, const place_on_row_t &at, int width) {
        scale.load(p.scale, at, width);
        if (KIND == NORM_RMS) return;
        shift.load(p.shift, at, width);
        if (p.residual_bias.data) bias.load(p.residual_bias, at, width);
        if (KIND == NORM_MODULATE && p.gate.data) gate.load(p.gate, at, width);
    }
};

/* What is read of one row. */
template <typename T, int N, int CHUNKS> struct row_chunks_t {
    chunks_t<T, N, CHUNKS> x, residual;

    __device__ void load(const norm_t<T> &p, const place_on_row_t &at, int width) {
        x.load(p.x, at, width);
        if (p.residual.data) residual.load(p.residual, at, width);
    }
};

/* Element i of chunk k of s. */
template <norm_kind_t KIND, typename T, int N, int CHUNKS>
__device__ static float norm_input(const norm_t<T> &p, const row_chunks_t<T, N, CHUNKS> &row,
                                   const shared_chunks_t<KIND, T, N, CHUNKS> &shared, int k,
                                   int i) {
    float added = p.residual.data ? row.residual(k, i) : 0;
    if (KIND != NORM_RMS && p.residual_bias.data) added += shared.bias(k, i);
    if (KIND == NORM_MODULATE && p.gate.data) added *= shared.gate(k, i);
    return row.x(k, i) + added;
}

template <norm_kind_t KIND, typename T, int N, int CHUNKS>
__device__ static float norm_output(const shared_chunks_t<KIND, T, N, CHUNKS> &shared, int k, int i,
                                    float normal) {
    if (KIND == NORM_RMS) return normal * shared.scale(k, i);
    const float factor = shared.scale(k, i) + (KIND == NORM_MODULATE ? 1 : 0);
    return normal * factor + shared.shift(k, i);
}

template <norm_kind_t KIND, typename T, int N, int CHUNKS>
__device__ static void
norm_store(const norm_t<T> &p, const shared_chunks_t<KIND, T, N, CHUNKS> &shared, place_on_row_t at,
           int width, float mean, float inverse, float (&s)[CHUNKS][N]) {
#pragma unroll
    for (int k = 0; k < CHUNKS; k++, at.column += (int)blockDim.x * N) {
        if (at.column >= width) continue;
        if (p.sum.data) store_chunk(address_of(p.sum, at), s[k]);
#pragma unroll
        for (int i = 0; i < N; i++) s[k][i] = norm_output(shared, k, i, (s[k][i] - mean) * inverse);
        store_chunk(address_of(p.y, at), s[k]);
    }
}

__device__ static place_on_row_t place_of_row(uint32_t row, const norm_shape_t &shape, int column) {
    const uint32_t sequence = divide(row, shape.rows);
    return {sequence, row - sequence * shape.rows.divisor, column};
}

/* Rows of one chunk a thread have half the threads at most; more blocks then find registers. */
constexpr int norm_most_threads(int chunks) {
    return chunks == 1 ? NORM_THREADS / 2 : NORM_THREADS;
}

constexpr int norm_least_blocks(norm_kind_t kind, int chunks) {
    return chunks > 1 ? 1 : kind == NORM_RMS ? 3 : 2;
}

/* Each thread has CHUNKS chunks of N elements of a row. */
template <norm_kind_t KIND, typename T, int N, int CHUNKS>
__global__ void __launch_bounds__(norm_most_threads(CHUNKS), norm_least_blocks(KIND, CHUNKS))
    norm_rows(const __grid_constant__ norm_t<T> p, const norm_shape_t shape) {
    __shared__ float of_warp[2][NORM_THREADS / 32];
    shared_chunks_t<KIND, T, N, CHUNKS> shared;
    row_chunks_t<T, N, CHUNKS> operands;
    const int first = (int)threadIdx.x * N, step = (int)blockDim.x * N;
    uint32_t row = blockIdx.x;
    place_on_row_t at = place_of_row(row, shape, first);
    if (KIND != NORM_MODULATE) shared.load(p, at, shape.width); /* no kernel ahead writes them */
    dependents_launch();
    dependency_wait();
    if (KIND == NORM_MODULATE) shared.load(p, at, shape.width);
    const bool by_row = p.scale.row_step || p.shift.row_step || p.gate.row_step;
    operands.load(p, at, shape.width);
    for (int turn = 0;;) {
        const place_on_row_t here = at;
        float s[CHUNKS][N], total = 0, squares = 0;
#pragma unroll
        for (int k = 0; k < CHUNKS; k++)
#pragma unroll
            for (int i = 0; i < N; i++) {
                if (first + k * step >= shape.width) continue;
                s[k][i] = norm_input(p, operands, shared, k, i);
                total += s[k][i];
            }
        row += gridDim.x;
        at = place_of_row(row, shape, first);
        if (row < shape.all_rows) operands.load(p, at, shape.width);
        float mean = 0;
        if (KIND != NORM_RMS) mean = block_sum(total, of_warp[turn ^= 1]) / (float)shape.width;
#pragma unroll
        for (int k = 0; k < CHUNKS; k++)
#pragma unroll
            for (int i = 0; i < N; i++)
                if (first + k * step < shape.width) squares += (s[k][i] - mean) * (s[k][i] - mean);
        const float variance = block_sum(squares, of_warp[turn ^= 1]) / (float)shape.width;
        norm_store(p, shared, here, shape.width, mean, rsqrtf(variance + p.eps), s);
        if (row >= shape.all_rows) return;
        if (KIND == NORM_MODULATE && (by_row || at.sequence != here.sequence))
            shared.load(p, at, shape.width);
    }
}

/*
 * A chunk a thread where rows are short, for a row is latency. Two of them halve the shuffles of
 * longer rows, but where scale, shift and gate take registers too they are spilled.
 */
static inline int norm_threads(norm_kind_t kind, int64_t chunks, int most) {
    enum { LONG_ROW = 256 };
    const int64_t threads = chunks <= NORM_THREADS / 2 * most ? NORM_THREADS / 2 : NORM_THREADS;
    int64_t each = ceil_div(chunks, threads);
    if (kind == NORM_RMS && each == 1 && chunks >= LONG_ROW) each = 2;
    return (int)round_up(ceil_div(chunks, each), 32);
}

/* As many blocks as there is room for at once, or a row each. */
template <norm_kind_t KIND, typename T, int N, int CHUNKS>
static status_t launch_norm_rows(const norm_t<T> &p, const norm_shape_t &shape, int threads,
                                 stream_t stream) {
    int sms, blocks;
    auto *const kernel = norm_rows<KIND, T, N, CHUNKS>;
    const status_t st = device_sm_count(&sms);
    if (st != STATUS_OK) return st;
    CUDA(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, 0));
    const int64_t room = (int64_t)sms * blocks;
    return launch_overlapped(kernel, room < shape.all_rows ? room : shape.all_rows, threads, 1, 0,
                             stream, p, shape);
}

template <norm_kind_t KIND, int N, typename T>
static status_t launch_norm_chunks(const call_t *c, const norm_t<T> &p, stream_t stream) {
    constexpr int MOST = N == CHUNK ? 3 : 8; /* a thread's chunks that registers hold */
    const int64_t rows = c->out[0].rows, width = c->out[0].width, all_rows = c->batch * rows;
    if (width > MOST * N * NORM_THREADS || all_rows > 1 << 30)
        return fail(STATUS_UNSUPPORTED, "norms take 2^30 rows of up to %d elements, not %lld",
                    MOST * N * NORM_THREADS, (long long)width);
    const norm_shape_t shape = {(uint32_t)all_rows, divider_of((uint32_t)rows), (int)width};
    const int threads = norm_threads(KIND, width / N, MOST);
    const int64_t each = ceil_div(width / N, threads);
    if (each == 1) return launch_norm_rows<KIND, T, N, 1>(p, shape, threads, stream);
    if (each == 2) return launch_norm_rows<KIND, T, N, 2>(p, shape, threads, stream);
    return launch_norm_rows<KIND, T, N, MOST>(p, shape, threads, stream);
}

template <norm_kind_t KIND, typename T>
static status_t launch_norm(const call_t *c, const norm_t<T> &p, stream_t stream) {
    return call_chunked(c) ? launch_norm_chunks<KIND, CHUNK>(c, p, stream)
                           : launch_norm_chunks<KIND, 1>(c, p, stream);
}

/* The outputs of a call: the sum is the first of two. */
template <typename T> static void norm_outputs(const call_t *c, norm_t<T> *p) {
    p->y = rows_of<T>(&c->out[c->outputs - 1]);
    if (c->outputs == 2) p->sum = rows_of<T>(&c->out[0]);
}

#endif
