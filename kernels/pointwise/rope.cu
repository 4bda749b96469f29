/* rope: rotates queries and keys by their positions, both in one launch; frequencies are in fp32.
 */
#include "kernels/pointwise/cuda_rows.cuh"

enum { Q, K };
enum { FREQUENCIES };
enum { THETA, HEAD };

enum { THREADS = 256, PAIRS = 2 };

/* A pair is a chunk of a head's first half and that chunk of its second half. */
template <typename T> struct rope_t {
    rows_t<const T> in[2];
    rows_t<T> out[2];
    const float *frequencies;
    divider_t rows, splits, per_head; /* blocks that share a row; pairs of a head */
    int half, q_pairs, pairs;         /* pairs of all queries, and of queries and keys */
    int64_t past;
};

/* v[] of the chunk that belongs to the angles from `angle` on, and w[], half a head behind it. */
template <int N>
__device__ static void rotate(const float *cosine, const float *sine, float (&v)[N],
                              float (&w)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) {
        const float a = v[i], b = w[i];
        v[i] = a * cosine[i] - b * sine[i];
        w[i] = b * cosine[i] + a * sine[i];
    }
}

/* A block has PAIRS pairs a thread of one row, whose angles it keeps in shared memory. */
template <typename T, int N>
__global__ void __launch_bounds__(THREADS) rope_rows(const __grid_constant__ rope_t<T> p) {
    extern __shared__ float cosines[];
    float *const sines = cosines + p.half;
    const uint32_t flat = divide(blockIdx.x, p.splits), sequence = divide(flat, p.rows);
    place_on_row_t at = {sequence, flat - sequence * p.rows.divisor, 0};
    for (int i = threadIdx.x; i < p.half; i += THREADS)
        sincosf((float)(p.past + at.row) * p.frequencies[i], sines + i, cosines + i);
    __syncthreads();
    dependents_launch();
    dependency_wait();
    const int split = (int)(blockIdx.x - flat * p.splits.divisor);
    const int first = split * PAIRS * THREADS + (int)threadIdx.x;
    float v[PAIRS][N], w[PAIRS][N];
    int which[PAIRS], angle[PAIRS], column[PAIRS];
#pragma unroll
    for (int k = 0; k < PAIRS; k++) {
        const int pair = first + k * THREADS, inside = pair < p.q_pairs ? pair : pair - p.q_pairs;
        const int head = (int)divide((uint32_t)inside, p.per_head);
        which[k] = pair < p.q_pairs ? Q : K;
        angle[k] = (inside - head * (int)p.per_head.divisor) * N;
        column[k] = head * 2 * p.half + angle[k];
        if (pair >= p.pairs) continue;
        at.column = column[k];
        const T *const from = address_of(which[k] == Q ? p.in[Q] : p.in[K], at);
        load_chunk(from, v[k]);
        load_chunk(from + p.half, w[k]);
    }
#pragma unroll
    for (int k = 0; k < PAIRS; k++) {
        if (first + k * THREADS >= p.pairs) continue;
        rotate(cosines + angle[k], sines + angle[k], v[k], w[k]);
        at.column = column[k];
        T *const to = address_of(which[k] == Q ? p.out[Q] : p.out[K], at);
        store_chunk(to, v[k]);
        store_chunk(to + p.half, w[k]);
    }
}

template <typename T, int N> static status_t launch_chunks(const call_t *c, stream_t stream) {
    const int64_t head = (int64_t)c->number[HEAD], rows = c->in[Q].rows;
    const int64_t q_pairs = c->in[Q].width / 2 / N, pairs = q_pairs + c->in[K].width / 2 / N;
    const int64_t splits = ceil_div(pairs, PAIRS * THREADS), grid = c->batch * rows * splits;
    if (head > 8192 || pairs > 1 << 30 || grid > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "rope takes heads up to 8192 and 2^31 blocks of pairs");
    const rope_t<T> p = {.in = {rows_of<const T>(&c->in[Q]), rows_of<const T>(&c->in[K])},
                         .out = {rows_of<T>(&c->out[Q]), rows_of<T>(&c->out[K])},
                         .frequencies = (const float *)c->weight[FREQUENCIES].data,
                         .rows = divider_of((uint32_t)rows),
                         .splits = divider_of((uint32_t)splits),
                         .per_head = divider_of((uint32_t)(head / 2 / N)),
                         .half = (int)(head / 2),
                         .q_pairs = (int)q_pairs,
                         .pairs = (int)pairs,
                         .past = c->past};
    return launch_overlapped(rope_rows<T, N>, grid, THREADS, 1, (size_t)head * sizeof(float),
                             stream, p);
}

template <typename T> static status_t launch_dtype(const call_t *c, stream_t stream) {
    const bool by_chunks = call_chunked(c) && (int64_t)c->number[HEAD] / 2 % CHUNK == 0;
    return by_chunks ? launch_chunks<T, CHUNK>(c, stream) : launch_chunks<T, 1>(c, stream);
}

static status_t launch(const call_t *c, stream_t stream) {
    return DISPATCH_DTYPE(c, launch_dtype, c, stream);
}

static const pointwise_kernel_t cuda = {"rope", DEVICE_CUDA, POINTWISE_DTYPES, launch};
REGISTER_POINTWISE_KERNEL(cuda)
