/*
 * attention/unfused: S = Q K^T, weights P = softmax(S / sqrt(d)) in S's place, O = P V; the
 * products by cuBLASLt over many heads or sequences at once, S in the dtype. Where all of S would
 * take more than S_BYTES, it goes through memory in parts.
 */
#include "kernels/attention/attention.h"
#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/ptx.cuh"

static const int64_t S_BYTES = INT64_C(2) << 30;
enum { SOFTMAX_THREADS = 256, VECTOR = 8 };

/*
 * A cuBLASLt call takes `inner` problems at equal strides: the heads of a sequence (a group of
 * them, where they share K and V), or the sequences of a head. `outer` such calls make up the
 * whole. S holds outer_part x inner_part matrices at a time.
 */
typedef struct {
    int64_t inner, outer, inner_part, outer_part;
    bool over_heads;
    int64_t row, matrix; /* elements of S */
} matrices_t;

static matrices_t matrices_of(const problem_t *p) {
    const bool grouped = p->heads != p->kv_heads;
    matrices_t x = {.inner = grouped ? p->heads / p->kv_heads : p->heads,
                    .outer = p->batch * (grouped ? p->kv_heads : 1),
                    .over_heads = true};
    if (p->heads < x.outer) {
        x.inner = p->batch;
        x.outer = p->heads;
        x.over_heads = false;
    }
    x.row = round_up(p->context, VECTOR);
    x.matrix = p->tokens * x.row;
    const int64_t room = S_BYTES / (x.matrix * (int64_t)dtype_size(p->dtype));
    x.inner_part = room < 1 ? 1 : room < x.inner ? room : x.inner;
    x.outer_part = room < x.inner ? 1 : room / x.inner < x.outer ? room / x.inner : x.outer;
    return x;
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    const matrices_t x = matrices_of(p);
    if (!supports_portable(device, why, why_len)) return false;
    if (x.matrix < INT64_C(1) << 31) return true;
    snprintf(why, why_len, "a matrix of scores has 2^31 elements or more");
    return false;
}

/* S is written and read, and so is P. */
static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = bytes[1] = (double)dtype_size(p->dtype) * (double)p->batch * (double)p->heads *
                          (double)p->tokens * (double)p->context;
    return 2;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    const matrices_t x = matrices_of(p);
    return CUBLASLT_WORKSPACE_BYTES + buffer_bytes(p, x.inner_part * x.outer_part * x.matrix);
}

/* The sum (or the largest) over TEAM threads that share a row; all of them get it. */
template <int TEAM, bool LARGEST> static __device__ float team_reduce(float value) {
    __shared__ float of_warp[SOFTMAX_THREADS / 32];
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, value, lanes);
        value = LARGEST ? fmaxf(value, other) : value + other;
    }
    if constexpr (TEAM > 32) {
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = value;
        __syncthreads();
        value = of_warp[0];
#pragma unroll
        for (int warp = 1; warp < TEAM / 32; warp++)
            value = LARGEST ? fmaxf(value, of_warp[warp]) : value + of_warp[warp];
        __syncthreads();
    }
    return value;
}

template <typename T> static __device__ void load_scores(const T *from, float (&to)[VECTOR]) {
    const uint4 words = *(const uint4 *)from;
    const uint32_t word[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const float2 pair = widen_pair<T>(word[i]);
        to[2 * i] = pair.x;
        to[2 * i + 1] = pair.y;
    }
}

/* Each row of S to its weights; keys that a row does not see get 0. factor is log2(e) / sqrt(d). */
template <typename T, int TEAM>
static __global__ void __launch_bounds__(SOFTMAX_THREADS)
    softmax_rows(T *s, int64_t rows, int64_t tokens, int64_t context, int64_t row_elements,
                 bool causal, float factor) {
    const int64_t row = (int64_t)blockIdx.x * (SOFTMAX_THREADS / TEAM) + threadIdx.x / TEAM;
    if (row >= rows) return; /* by whole teams: a team of more than a warp is the block */
    const int64_t keys = causal ? context - tokens + row % tokens + 1 : context;
    T *const scores = s + row * row_elements;
    float largest = -INFINITY, sum = 0, x[VECTOR];
    for (int64_t j = threadIdx.x % TEAM * VECTOR; j < keys; j += TEAM * VECTOR) {
        float top = largest;
        load_scores(scores + j, x);
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            if (j + i < keys) top = fmaxf(top, x[i]);
        sum *= exp2f((largest - top) * factor);
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            if (j + i < keys) sum += exp2f((x[i] - top) * factor);
        largest = top;
    }
    const float top = team_reduce<TEAM, true>(largest);
    /* a thread without keys has sum 0 and largest -inf */
    sum = team_reduce<TEAM, false>(sum > 0 ? sum * exp2f((largest - top) * factor) : 0.0f);
    const float inverse = 1 / sum;
    for (int64_t j = threadIdx.x % TEAM * VECTOR; j < row_elements; j += TEAM * VECTOR) {
        float weight[VECTOR] = {0};
        if (j < keys) load_scores(scores + j, x);
#pragma unroll
        for (int i = 0; i < VECTOR; i++)
            if (j + i < keys) weight[i] = exp2f((x[i] - top) * factor) * inverse;
        store_vector(scores + j, make_uint4(round_pair<T>(weight[0], weight[1]),
                                            round_pair<T>(weight[2], weight[3]),
                                            round_pair<T>(weight[4], weight[5]),
                                            round_pair<T>(weight[6], weight[7])));
    }
}

template <typename T>
static status_t softmax(const problem_t *p, const matrices_t *x, void *s, int64_t matrices,
                        cudaStream_t stream) {
    const int64_t rows = matrices * p->tokens;
    const float factor = 1.44269504f / sqrtf((float)attention_head_dim(p));
    if (p->context <= 1024)
        softmax_rows<T, 32>
            <<<(unsigned)ceil_div(rows, SOFTMAX_THREADS / 32), SOFTMAX_THREADS, 0, stream>>>(
                (T *)s, rows, p->tokens, p->context, x->row, p->causal, factor);
    else
        softmax_rows<T, SOFTMAX_THREADS><<<(unsigned)rows, SOFTMAX_THREADS, 0, stream>>>(
            (T *)s, rows, p->tokens, p->context, x->row, p->causal, factor);
    CUDA_LAUNCHED("softmax_rows");
    return STATUS_OK;
}

/* Where the problems of a call lie: elements to the first one and from one to the next. */
typedef struct {
    int64_t q, kv, q_step, kv_step;
} place_t;

static place_t place_of(const problem_t *p, const matrices_t *x, int64_t outer, int64_t inner) {
    const int64_t d = attention_head_dim(p), group = p->heads / p->kv_heads;
    const int64_t q_batch = p->tokens * attention_q_stride(p);
    const int64_t kv_batch = attention_kv_batch_stride(p);
    const bool grouped = group > 1 && x->over_heads;
    const int64_t batch = !x->over_heads ? inner : grouped ? outer / p->kv_heads : outer;
    const int64_t head = !x->over_heads ? outer
                         : grouped      ? outer % p->kv_heads * group + inner
                                        : inner;
    return {batch * q_batch + head * d, batch * kv_batch + head / group * d,
            x->over_heads ? d : q_batch, x->over_heads ? (grouped ? 0 : d) : kv_batch};
}

/* O = P V is contiguous where Q need not be. */
static int64_t output_offset(const problem_t *p, int64_t q_offset) {
    const int64_t stride = attention_q_stride(p);
    return q_offset / stride * p->out_features + q_offset % stride;
}

static status_t products(const problem_t *p, const matrices_t *x, void *const *tensors, bool first,
                         int64_t outer, int64_t inner, int64_t count, void *s, void *workspace,
                         stream_t stream) {
    const int64_t d = attention_head_dim(p), kv_stride = attention_kv_stride(p);
    const size_t size = dtype_size(p->dtype);
    const place_t at = place_of(p, x, outer, inner);
    const cublaslt_operand_t scores = {.ld = x->row, .stride = x->matrix, .transposed = false};
    cublaslt_gemm_t gemm = {.dtype = p->dtype, .m = p->tokens, .n = p->context, .k = d};
    gemm.batch = count;
    const char *const kv = (const char *)tensors[first ? 1 : 2] + at.kv * (int64_t)size;
    if (first) {
        gemm.a = {.ld = attention_q_stride(p), .stride = at.q_step, .transposed = false};
        gemm.b = {.ld = kv_stride, .stride = at.kv_step, .transposed = true};
        gemm.c = scores;
        return cublaslt_gemm(&gemm, (const char *)tensors[0] + at.q * (int64_t)size, kv, s,
                             workspace, stream);
    }
    gemm.n = d;
    gemm.k = p->context;
    gemm.a = scores;
    gemm.b = {.ld = kv_stride, .stride = at.kv_step, .transposed = false};
    gemm.c = {.ld = p->out_features,
              .stride = x->over_heads ? d : p->tokens * p->out_features,
              .transposed = false};
    char *const o = (char *)tensors[3] + output_offset(p, at.q) * (int64_t)size;
    return cublaslt_gemm(&gemm, s, kv, o, workspace, stream);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const matrices_t x = matrices_of(p);
    char *const s = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    const int64_t matrix_bytes = x.matrix * (int64_t)dtype_size(p->dtype);
    for (int64_t o = 0; o < x.outer; o += x.outer_part)
        for (int64_t i = 0; i < x.inner; i += x.inner_part) {
            const int64_t outers = x.outer - o < x.outer_part ? x.outer - o : x.outer_part;
            const int64_t inners = x.inner - i < x.inner_part ? x.inner - i : x.inner_part;
            status_t st = STATUS_OK;
            for (int64_t k = 0; st == STATUS_OK && k < outers; k++)
                st = products(p, &x, tensors, true, o + k, i, inners, s + k * inners * matrix_bytes,
                              workspace, stream);
            if (st == STATUS_OK)
                st = DISPATCH_DTYPE(p, softmax, p, &x, s, outers * inners, (cudaStream_t)stream);
            for (int64_t k = 0; st == STATUS_OK && k < outers; k++)
                st = products(p, &x, tensors, false, o + k, i, inners,
                              s + k * inners * matrix_bytes, workspace, stream);
            if (st != STATUS_OK) return st;
        }
    return STATUS_OK;
}

static const variant_t attention_unfused = {
    .structure = "attention",
    .name = "unfused",
    .summary = "cuBLASLt, softmax, cuBLASLt; the scores go through memory",
    .device = DEVICE_CUDA,
    .baseline = true,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .cuda_core_flops = NULL,
    .pack = NULL,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(attention_unfused)
