#include "kernels/cuda/cublaslt.h"

#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/library.h"

enum {
    MAX_DEVICES = 64,
    MAX_GEMMS = 4096,
    MAX_PROBES = 16,
    MAX_PROPOSALS = 16,
    TUNE_SAMPLES = 5,
    TUNE_TURNS = 6
};
static const double TUNE_LAYER_MS = 50, TUNE_PEAK_MS = 600;

/* What decides an algorithm, in cuBLAS's column-major terms. It is hashed: no padding. */
typedef struct {
    int64_t device, in_type, out_type, compute, scale_type;
    int64_t m, n, k, batch;
    int64_t trans_a, trans_b, lda, ldb, ldc, stride_a, stride_b, stride_c;
    int64_t align_a, align_b, align_c, workspace_bytes;
} shape_t;

typedef struct {
    const void *a, *b;
    void *c, *workspace;
} operands_t;

typedef struct {
    bool used, tuned;
    shape_t shape;
    cublasLtMatmulDesc_t matmul;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
} plan_t;

#define CUBLASLT_FUNCTIONS(X)                                                                      \
    X(GetVersion)                                                                                  \
    X(Create)                                                                                      \
    X(Matmul)                                                                                      \
    X(MatmulDescCreate)                                                                            \
    X(MatmulDescDestroy)                                                                           \
    X(MatmulDescSetAttribute)                                                                      \
    X(MatrixLayoutCreate)                                                                          \
    X(MatrixLayoutDestroy)                                                                         \
    X(MatrixLayoutSetAttribute)                                                                    \
    X(MatmulPreferenceCreate)                                                                      \
    X(MatmulPreferenceDestroy)                                                                     \
    X(MatmulPreferenceSetAttribute)                                                                \
    X(MatmulAlgoGetHeuristic)

static struct {
    bool tried, ready;
    char why[256];
#define DECLARE(name) decltype(&cublasLt##name) name;
    CUBLASLT_FUNCTIONS(DECLARE)
#undef DECLARE
} lt;

static cublasLtHandle_t handles[MAX_DEVICES];
static plan_t plans[MAX_GEMMS];

static void library_resolve(void) {
    void *const library = cuda_library_open("libcublasLt");
    if (!library) {
        snprintf(lt.why, sizeof lt.why,
                 "cuBLASLt is not installed: no libcublasLt.so.13 or .12 in the loader's path, "
                 "$CUDA_HOME/lib64, $CUDA_PATH/lib64 or /usr/local/cuda");
        return;
    }
    lt.ready = true;
#define RESOLVE(name)                                                                              \
    lt.name = (decltype(&cublasLt##name))dlsym(library, "cublasLt" #name);                         \
    if (!lt.name) {                                                                                \
        lt.ready = false;                                                                          \
        snprintf(lt.why, sizeof lt.why,                                                            \
                 "the cuBLASLt that was found lacks cublasLt%s: install 12 or 13", #name);         \
    }
    CUBLASLT_FUNCTIONS(RESOLVE)
#undef RESOLVE
}

static status_t library_load(void) {
    if (!lt.tried) library_resolve();
    lt.tried = true;
    return lt.ready ? STATUS_OK : fail(STATUS_ENVIRONMENT, "%s", lt.why);
}

size_t cublaslt_version(void) {
    return library_load() == STATUS_OK ? lt.GetVersion() : 0;
}

/* A refusal is a property of the shape; a failed execution is one of the device. */
static status_t cublas_fail(cublasStatus_t code, const char *call, int line) {
    static const struct {
        cublasStatus_t code;
        status_t status;
        const char *name;
    } names[] = {
        {CUBLAS_STATUS_NOT_SUPPORTED, STATUS_UNSUPPORTED, "not supported"},
        {CUBLAS_STATUS_ARCH_MISMATCH, STATUS_UNSUPPORTED, "not on this architecture"},
        {CUBLAS_STATUS_INVALID_VALUE, STATUS_UNSUPPORTED, "invalid value"},
        {CUBLAS_STATUS_ALLOC_FAILED, STATUS_OOM, "allocation failed"},
        {CUBLAS_STATUS_NOT_INITIALIZED, STATUS_DEVICE, "not initialised"},
        {CUBLAS_STATUS_EXECUTION_FAILED, STATUS_DEVICE, "execution failed"},
    };
    for (const auto &row : names)
        if (row.code == code)
            return fail(row.status, "%s:%d: %s: %s", __FILE__, line, call, row.name);
    return fail(STATUS_DEVICE, "%s:%d: %s: cuBLAS status %d", __FILE__, line, call, (int)code);
}

#define CUBLASLT(function, ...)                                                                    \
    do {                                                                                           \
        const cublasStatus_t cublas_status_ = lt.function(__VA_ARGS__);                            \
        if (cublas_status_ != CUBLAS_STATUS_SUCCESS)                                               \
            return cublas_fail(cublas_status_, "cublasLt" #function, __LINE__);                    \
    } while (0)

/* Plans: descriptors and the chosen algorithm of one shape. */

static status_t layout_open(const shape_t *s, int64_t type, int64_t rows, int64_t cols, int64_t ld,
                            int64_t stride, cublasLtMatrixLayout_t *out) {
    const int32_t batch = (int32_t)s->batch;
    CUBLASLT(MatrixLayoutCreate, out, (cudaDataType_t)type, (uint64_t)rows, (uint64_t)cols, ld);
    CUBLASLT(MatrixLayoutSetAttribute, *out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch,
             sizeof batch);
    CUBLASLT(MatrixLayoutSetAttribute, *out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride,
             sizeof stride);
    return STATUS_OK;
}

static status_t matmul_open(const shape_t *s, cublasLtMatmulDesc_t *out) {
    const cublasOperation_t trans_a = s->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t trans_b = s->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    CUBLASLT(MatmulDescCreate, out, (cublasComputeType_t)s->compute, (cudaDataType_t)s->scale_type);
    CUBLASLT(MatmulDescSetAttribute, *out, CUBLASLT_MATMUL_DESC_TRANSA, &trans_a, sizeof trans_a);
    CUBLASLT(MatmulDescSetAttribute, *out, CUBLASLT_MATMUL_DESC_TRANSB, &trans_b, sizeof trans_b);
    if (s->in_type == CUDA_R_8F_E4M3) { /* a peak is the fastest mode there is */
        const int8_t fast = 1;
        CUBLASLT(MatmulDescSetAttribute, *out, CUBLASLT_MATMUL_DESC_FAST_ACCUM, &fast, sizeof fast);
    }
    return STATUS_OK;
}

static void plan_close(plan_t *plan) {
    if (plan->a) lt.MatrixLayoutDestroy(plan->a);
    if (plan->b) lt.MatrixLayoutDestroy(plan->b);
    if (plan->c) lt.MatrixLayoutDestroy(plan->c);
    if (plan->matmul) lt.MatmulDescDestroy(plan->matmul);
    memset(plan, 0, sizeof *plan);
}

static status_t plan_open(const shape_t *s, plan_t *plan) {
    memset(plan, 0, sizeof *plan);
    plan->shape = *s;
    status_t st = matmul_open(s, &plan->matmul);
    if (st == STATUS_OK)
        st = layout_open(s, s->in_type, s->trans_a ? s->k : s->m, s->trans_a ? s->m : s->k, s->lda,
                         s->stride_a, &plan->a);
    if (st == STATUS_OK)
        st = layout_open(s, s->in_type, s->trans_b ? s->n : s->k, s->trans_b ? s->k : s->n, s->ldb,
                         s->stride_b, &plan->b);
    if (st == STATUS_OK)
        st = layout_open(s, s->out_type, s->m, s->n, s->ldc, s->stride_c, &plan->c);
    return st;
}

static status_t preference_fill(const shape_t *s, cublasLtMatmulPreference_t preference) {
    const uint64_t workspace = (uint64_t)s->workspace_bytes;
    const struct {
        cublasLtMatmulPreferenceAttributes_t attribute;
        uint32_t align;
    } aligns[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, (uint32_t)s->align_a},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, (uint32_t)s->align_b},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, (uint32_t)s->align_c},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, (uint32_t)s->align_c}};
    CUBLASLT(MatmulPreferenceSetAttribute, preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
             &workspace, sizeof workspace);
    for (const auto &row : aligns)
        CUBLASLT(MatmulPreferenceSetAttribute, preference, row.attribute, &row.align,
                 sizeof row.align);
    return STATUS_OK;
}

/* Usable proposals of the heuristic, its favourite first; *count is at least 1 on success. */
static status_t proposals_get(const plan_t *plan, cublasLtMatmulHeuristicResult_t *results,
                              int *count) {
    const shape_t *s = &plan->shape;
    cublasLtMatmulPreference_t preference = NULL;
    cublasStatus_t code = CUBLAS_STATUS_SUCCESS;
    int returned = 0;
    CUBLASLT(MatmulPreferenceCreate, &preference);
    const status_t st = preference_fill(s, preference);
    if (st == STATUS_OK)
        code =
            lt.MatmulAlgoGetHeuristic(handles[s->device], plan->matmul, plan->a, plan->b, plan->c,
                                      plan->c, preference, MAX_PROPOSALS, results, &returned);
    lt.MatmulPreferenceDestroy(preference);
    if (st != STATUS_OK) return st;
    *count = 0;
    for (int i = 0; code == CUBLAS_STATUS_SUCCESS && i < returned; i++)
        if (results[i].state == CUBLAS_STATUS_SUCCESS &&
            results[i].workspaceSize <= (size_t)s->workspace_bytes)
            results[(*count)++] = results[i];
    if (*count > 0) return STATUS_OK;
    return fail(STATUS_UNSUPPORTED,
                "cuBLASLt has no algorithm for m %lld n %lld k %lld ld %lld %lld %lld",
                (long long)s->n, (long long)s->m, (long long)s->k, (long long)s->ldb,
                (long long)s->lda, (long long)s->ldc);
}

static cublasStatus_t plan_enqueue(const plan_t *plan, const cublasLtMatmulAlgo_t *algo,
                                   const operands_t *o, cudaStream_t stream) {
    static const float one = 1, zero = 0;
    static const int32_t one_int = 1, zero_int = 0;
    const bool integer = plan->shape.scale_type == CUDA_R_32I;
    return lt.Matmul(handles[plan->shape.device], plan->matmul,
                     integer ? (const void *)&one_int : &one, o->a, plan->a, o->b, plan->b,
                     integer ? (const void *)&zero_int : &zero, o->c, plan->c, o->c, plan->c, algo,
                     o->workspace, (size_t)plan->shape.workspace_bytes, stream);
}

/* Tuning: each proposal as a graph of launches, so that launch gaps do not hide the kernel. */

typedef struct {
    cudaStream_t stream;
    cudaEvent_t start, stop;
    int launches;
} tuner_t;

static status_t tuner_open(const shape_t *s, tuner_t *tuner) {
    const double flops = 2.0 * (double)s->m * (double)s->n * (double)s->k * (double)s->batch;
    const double guess_us = 2 + flops / 400e6; /* only balances effort: 400 TFLOP/s */
    tuner->launches = (int)fmin(8, fmax(1, 40 / guess_us));
    CUDA(cudaStreamCreateWithFlags(&tuner->stream, cudaStreamNonBlocking));
    CUDA(cudaEventCreate(&tuner->start));
    CUDA(cudaEventCreate(&tuner->stop));
    return STATUS_OK;
}

static void tuner_close(tuner_t *tuner) {
    if (tuner->stop) cudaEventDestroy(tuner->stop);
    if (tuner->start) cudaEventDestroy(tuner->start);
    if (tuner->stream) cudaStreamDestroy(tuner->stream);
}

/* *out stays NULL if the algorithm refuses the shape. */
static status_t tuner_record(const tuner_t *tuner, const plan_t *plan,
                             const cublasLtMatmulAlgo_t *algo, const operands_t *o,
                             cudaGraphExec_t *out) {
    cudaGraph_t graph = NULL;
    bool refused = plan_enqueue(plan, algo, o, tuner->stream) != CUBLAS_STATUS_SUCCESS;
    CUDA(cudaStreamSynchronize(tuner->stream));
    if (refused) return STATUS_OK;
    CUDA(cudaStreamBeginCapture(tuner->stream, cudaStreamCaptureModeRelaxed));
    for (int i = 0; i < tuner->launches && !refused; i++)
        refused = plan_enqueue(plan, algo, o, tuner->stream) != CUBLAS_STATUS_SUCCESS;
    CUDA(cudaStreamEndCapture(tuner->stream, &graph));
    const cudaError_t error = refused ? cudaSuccess : cudaGraphInstantiateWithFlags(out, graph, 0);
    cudaGraphDestroy(graph);
    CUDA(error);
    return STATUS_OK;
}

/* The shorter of *best_ms and the median of a few replays. */
static status_t tuner_replay(const tuner_t *tuner, cudaGraphExec_t graph, float *best_ms) {
    float sorted[TUNE_SAMPLES];
    for (int i = 0; i < TUNE_SAMPLES; i++) {
        float ms = 0;
        int at = i;
        CUDA(cudaEventRecord(tuner->start, tuner->stream));
        CUDA(cudaGraphLaunch(graph, tuner->stream));
        CUDA(cudaEventRecord(tuner->stop, tuner->stream));
        CUDA(cudaEventSynchronize(tuner->stop));
        CUDA(cudaEventElapsedTime(&ms, tuner->start, tuner->stop));
        for (; at > 0 && sorted[at - 1] > ms; at--) sorted[at] = sorted[at - 1];
        sorted[at] = ms;
    }
    *best_ms = fminf(*best_ms, sorted[TUNE_SAMPLES / 2]);
    return STATUS_OK;
}

static double now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

typedef struct {
    cudaGraphExec_t graph; /* NULL if the algorithm refuses the shape */
    float ms;
} candidate_t;

static float fastest(const candidate_t *candidates, int count) {
    float ms = INFINITY;
    for (int i = 0; i < count; i++) ms = fminf(ms, candidates[i].ms);
    return ms;
}

/* One look at each proposal; then, in turns, closer looks at those that may be the fastest. */
static status_t candidates_time(const plan_t *plan,
                                const cublasLtMatmulHeuristicResult_t *proposals, int count,
                                const tuner_t *tuner, const operands_t *o, double budget_ms,
                                candidate_t *candidates) {
    const double begin_ms = now_ms();
    status_t st = STATUS_OK;
    for (int i = 0; st == STATUS_OK && i < count; i++) {
        if (fastest(candidates, i) < INFINITY && now_ms() - begin_ms > budget_ms) break;
        st = tuner_record(tuner, plan, &proposals[i].algo, o, &candidates[i].graph);
        if (st == STATUS_OK && candidates[i].graph)
            st = tuner_replay(tuner, candidates[i].graph, &candidates[i].ms);
    }
    for (int turn = 0; turn < TUNE_TURNS; turn++) {
        const float limit = 1.05f * fastest(candidates, count);
        for (int i = 0; st == STATUS_OK && i < count; i++)
            if (candidates[i].graph && candidates[i].ms <= limit)
                st = tuner_replay(tuner, candidates[i].graph, &candidates[i].ms);
    }
    return st;
}

/* Of those within 1 % of the fastest the heuristic's favourite, so that noise does not choose. */
static status_t plan_tune(plan_t *plan, const cublasLtMatmulHeuristicResult_t *proposals, int count,
                          const tuner_t *tuner, const operands_t *o, double budget_ms) {
    candidate_t candidates[MAX_PROPOSALS];
    for (candidate_t &candidate : candidates) candidate = {NULL, INFINITY};
    const status_t st = candidates_time(plan, proposals, count, tuner, o, budget_ms, candidates);
    const float limit = 1.01f * fastest(candidates, count);
    for (const candidate_t &candidate : candidates)
        if (candidate.graph) cudaGraphExecDestroy(candidate.graph);
    if (st != STATUS_OK) return st;
    plan->tuned = true;
    for (int i = 0; i < count; i++) {
        if (!candidates[i].graph || !(candidates[i].ms <= limit)) continue;
        plan->algo = proposals[i].algo;
        return STATUS_OK;
    }
    return fail(STATUS_UNSUPPORTED, "cuBLASLt refused each of its %d algorithms for the shape",
                count);
}

static status_t plan_choose(plan_t *plan, const operands_t *o, cudaStream_t stream,
                            double budget_ms) {
    cublasLtMatmulHeuristicResult_t proposals[MAX_PROPOSALS];
    cudaStreamCaptureStatus capturing;
    tuner_t tuner = {};
    int count = 0;
    CUDA(cudaStreamIsCapturing(stream, &capturing));
    status_t st = proposals_get(plan, proposals, &count);
    if (st != STATUS_OK) return st;
    plan->algo = proposals[0].algo;
    if (capturing != cudaStreamCaptureStatusNone) return STATUS_OK;
    CUDA(cudaStreamSynchronize(stream)); /* the operands are ready before another stream reads */
    st = tuner_open(&plan->shape, &tuner);
    if (st == STATUS_OK) st = plan_tune(plan, proposals, count, &tuner, o, budget_ms);
    tuner_close(&tuner);
    return st;
}

/* The slot of a shape: its own, a free one, or its home, evicted, when all probed are taken. */
static plan_t *plan_slot(const shape_t *s) {
    uint64_t hash = 14695981039346656037u;
    int64_t words[sizeof *s / sizeof(int64_t)];
    memcpy(words, s, sizeof words);
    for (int64_t word : words) {
        hash = (hash ^ (uint64_t)word) * 1099511628211u;
        hash ^= hash >> 29;
    }
    for (uint64_t i = 0; i < MAX_PROBES; i++) {
        plan_t *const plan = &plans[(hash + i) % MAX_GEMMS];
        if (!plan->used || !memcmp(&plan->shape, s, sizeof *s)) return plan;
    }
    plan_t *const home = &plans[hash % MAX_GEMMS];
    plan_close(home);
    return home;
}

/* Largest power of two, 256 at most, that divides the address and the distance of its matrices. */
static int64_t alignment(const void *pointer, int64_t stride_bytes) {
    const uint64_t bits = (uint64_t)(uintptr_t)pointer | (uint64_t)stride_bytes | 256;
    return (int64_t)(bits & (~bits + 1));
}

static status_t shape_run(shape_t *s, const operands_t *o, cudaStream_t stream, double budget_ms) {
    int device = 0;
    status_t st = library_load();
    if (st != STATUS_OK) return st;
    CUDA(cudaGetDevice(&device));
    if (device >= MAX_DEVICES)
        return fail(STATUS_ENVIRONMENT, "device %d: only the first %d can be used", device,
                    MAX_DEVICES);
    s->device = device;
    if (!handles[device]) CUBLASLT(Create, &handles[device]);
    plan_t *const plan = plan_slot(s);
    if (!plan->used) st = plan_open(s, plan);
    if (st == STATUS_OK && !plan->tuned) st = plan_choose(plan, o, stream, budget_ms);
    if (st != STATUS_OK) {
        plan_close(plan);
        return st;
    }
    plan->used = true;
    const cublasStatus_t code = plan_enqueue(plan, &plan->algo, o, stream);
    return code == CUBLAS_STATUS_SUCCESS ? STATUS_OK
                                         : cublas_fail(code, "cublasLtMatmul", __LINE__);
}

/* Row-major C = A B is column-major C^T = B^T A^T: the operands change places. */
status_t cublaslt_gemm(const cublaslt_gemm_t *g, const void *a, const void *b, void *c,
                       void *workspace, stream_t stream) {
    const int64_t size = (int64_t)dtype_size(g->dtype);
    const cudaDataType_t type = g->dtype == DTYPE_BF16 ? CUDA_R_16BF : CUDA_R_16F;
    if (g->dtype != DTYPE_BF16 && g->dtype != DTYPE_FP16)
        return fail(STATUS_UNSUPPORTED, "cublaslt_gemm computes in bf16 or fp16, not %s",
                    dtype_name(g->dtype));
    shape_t s = {
        .device = 0,
        .in_type = type,
        .out_type = type,
        .compute = CUBLAS_COMPUTE_32F,
        .scale_type = CUDA_R_32F,
        .m = g->n,
        .n = g->m,
        .k = g->k,
        .batch = g->batch,
        .trans_a = g->b.transposed,
        .trans_b = g->a.transposed,
        .lda = g->b.ld,
        .ldb = g->a.ld,
        .ldc = g->c.ld,
        .stride_a = g->b.stride,
        .stride_b = g->a.stride,
        .stride_c = g->c.stride,
        .align_a = alignment(b, g->b.stride * size),
        .align_b = alignment(a, g->a.stride * size),
        .align_c = alignment(c, g->c.stride * size),
        .workspace_bytes = (int64_t)CUBLASLT_WORKSPACE_BYTES,
    };
    const operands_t o = {.a = b, .b = a, .c = c, .workspace = workspace};
    return shape_run(&s, &o, (cudaStream_t)stream, TUNE_LAYER_MS);
}

static const struct {
    cudaDataType_t in_type, out_type, scale_type;
    cublasComputeType_t compute;
    size_t in_size, out_size;
} peaks[] = {
    {CUDA_R_16BF, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2, 2},
    {CUDA_R_16F, CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2, 2},
    {CUDA_R_32F, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 4, 4},
    {CUDA_R_8I, CUDA_R_32I, CUDA_R_32I, CUBLAS_COMPUTE_32I, 1, 4},
    {CUDA_R_8F_E4M3, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1, 2},
};

size_t cublaslt_peak_operand_size(cublaslt_peak_t kind) {
    return peaks[kind].in_size;
}

size_t cublaslt_peak_result_size(cublaslt_peak_t kind) {
    return peaks[kind].out_size;
}

status_t cublaslt_peak_gemm(cublaslt_peak_t kind, int64_t n, const void *a, const void *b, void *c,
                            void *workspace, size_t workspace_bytes, stream_t stream) {
    shape_t s = {
        .device = 0,
        .in_type = peaks[kind].in_type,
        .out_type = peaks[kind].out_type,
        .compute = peaks[kind].compute,
        .scale_type = peaks[kind].scale_type,
        .m = n,
        .n = n,
        .k = n,
        .batch = 1,
        .trans_a = 1,
        .trans_b = 0,
        .lda = n,
        .ldb = n,
        .ldc = n,
        .stride_a = 0,
        .stride_b = 0,
        .stride_c = 0,
        .align_a = alignment(b, 0),
        .align_b = alignment(a, 0),
        .align_c = alignment(c, 0),
        .workspace_bytes = (int64_t)workspace_bytes,
    };
    const operands_t o = {.a = b, .b = a, .c = c, .workspace = workspace};
    return shape_run(&s, &o, (cudaStream_t)stream, TUNE_PEAK_MS);
}
