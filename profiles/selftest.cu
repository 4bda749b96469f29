/* Work whose traffic or FLOPs are known exactly, counted and compared. */
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/cublaslt.h"
#include "profiles/cupti.h"

enum { THREADS = 256, FMA_BLOCKS = 512, FMA_CHAINS = 8, FMA_STEPS = 1000 };
enum { GEMM_M = 1024, GEMM_N = 4096, GEMM_K = 4096 };
static const size_t COPY_BYTES = (size_t)1 << 30, LEAST_COPY_BYTES = (size_t)1 << 26;

typedef struct {
    void *a, *b, *c; /* device memory; what a test does not use is NULL */
    void *workspace;
    size_t bytes;
} buffers_t;

/* ---- the work ---- */

static __global__ void copy_kernel(const uint4 *__restrict__ src, uint4 *__restrict__ dst,
                                   size_t count) {
    const size_t i = (size_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < count) dst[i] = src[i];
}

static status_t launch_copy(void *arg, int index, stream_t stream) {
    (void)index;
    const buffers_t *x = (const buffers_t *)arg;
    const size_t count = x->bytes / sizeof(uint4);
    copy_kernel<<<(unsigned)((count + THREADS - 1) / THREADS), THREADS, 0, (cudaStream_t)stream>>>(
        (const uint4 *)x->a, (uint4 *)x->b, count);
    CUDA_LAUNCHED("copy_kernel");
    return STATUS_OK;
}

/* No other floating-point instruction: chains start from converted integers, and the results are
 * combined as bits. */
static __global__ void __launch_bounds__(THREADS) exact_fma_kernel(int steps, uint32_t *sink) {
    float x[FMA_CHAINS];
    uint32_t bits = 0;
    for (int i = 0; i < FMA_CHAINS; i++) x[i] = (float)(threadIdx.x + i);
    for (int step = 0; step < steps; step++)
#pragma unroll
        for (int i = 0; i < FMA_CHAINS; i++)
            asm volatile("fma.rn.f32 %0, %0, %0, %0;" : "+f"(x[i]));
    for (int i = 0; i < FMA_CHAINS; i++) bits ^= __float_as_uint(x[i]);
    if (bits == 0x9e3779b9) *sink = bits;
}

static status_t launch_fma(void *arg, int index, stream_t stream) {
    (void)index;
    const buffers_t *x = (const buffers_t *)arg;
    exact_fma_kernel<<<FMA_BLOCKS, THREADS, 0, (cudaStream_t)stream>>>(FMA_STEPS, (uint32_t *)x->a);
    CUDA_LAUNCHED("exact_fma_kernel");
    return STATUS_OK;
}

static status_t launch_gemm(void *arg, int index, stream_t stream) {
    (void)index;
    const buffers_t *x = (const buffers_t *)arg;
    const cublaslt_gemm_t gemm = {.dtype = DTYPE_BF16,
                                  .m = GEMM_M,
                                  .n = GEMM_N,
                                  .k = GEMM_K,
                                  .batch = 1,
                                  .a = {.ld = GEMM_K, .stride = 0, .transposed = false},
                                  .b = {.ld = GEMM_K, .stride = 0, .transposed = true},
                                  .c = {.ld = GEMM_N, .stride = 0, .transposed = false}};
    return cublaslt_gemm(&gemm, x->a, x->b, x->c, x->workspace, stream);
}

/* ---- the tests ---- */

static void judge(const counters_t *counters, selftest_row_t *row) {
    row->deviation_pct = 100 * (row->counted / row->expected - 1);
    row->pass = fabs(row->deviation_pct) <= row->tolerance_pct;
    if (counters->status != COUNTERS_OK)
        snprintf(row->reason, sizeof row->reason, "%s", counters->reason);
    else if (isnan(row->counted))
        snprintf(row->reason, sizeof row->reason, "this chip's counter group has no such counter");
    else if (!row->pass)
        snprintf(row->reason, sizeof row->reason, "counted %.6g, expected %.6g %s", row->counted,
                 row->expected, row->unit);
}

/* What cannot run is a row that says why; only a dead device ends the test. */
static status_t count(counters_t *counters, work_t work, buffers_t *x, selftest_row_t *row,
                      const double *from, counts_t *counts) {
    const status_t st = counters_measure(counters, work, x, 1, counts);
    if (st == STATUS_DEVICE) return st;
    row->counted = *from;
    judge(counters, row);
    if (st != STATUS_OK) snprintf(row->reason, sizeof row->reason, "%s", last_error());
    return STATUS_OK;
}

static status_t alloc(device_t *device, size_t bytes, void **out) {
    const status_t st = device->ops->alloc(device, bytes, out);
    return st == STATUS_OK ? device->ops->fill(device, *out, 0x3c, bytes) : st;
}

static void release(device_t *device, buffers_t *x) {
    void *const all[] = {x->a, x->b, x->c, x->workspace};
    for (void *memory : all)
        if (memory) device->ops->free(device, memory);
    *x = {};
}

static status_t test_copy(counters_t *counters, selftest_row_t *row) {
    buffers_t x = {};
    counts_t counts;
    status_t st = STATUS_OOM;
    for (size_t bytes = COPY_BYTES; st == STATUS_OOM && bytes >= LEAST_COPY_BYTES; bytes /= 2) {
        x.bytes = bytes;
        st = alloc(counters->device, bytes, &x.a);
        if (st == STATUS_OK) st = alloc(counters->device, bytes, &x.b);
        if (st != STATUS_OK) release(counters->device, &x);
    }
    row->expected = (double)x.bytes;
    if (st == STATUS_OK)
        st = count(counters, launch_copy, &x, row, &counts.dram_read_bytes, &counts);
    release(counters->device, &x);
    return st;
}

static status_t test_gemm(counters_t *counters, selftest_row_t *row) {
    device_t *device = counters->device;
    buffers_t x = {};
    counts_t counts;
    status_t st = alloc(device, (size_t)GEMM_M * GEMM_K * 2, &x.a);
    if (st == STATUS_OK) st = alloc(device, (size_t)GEMM_K * GEMM_N * 2, &x.b);
    if (st == STATUS_OK) st = alloc(device, (size_t)GEMM_M * GEMM_N * 2, &x.c);
    if (st == STATUS_OK) st = alloc(device, CUBLASLT_WORKSPACE_BYTES, &x.workspace);
    row->expected = 2 * (double)GEMM_M * (double)GEMM_N * (double)GEMM_K;
    if (st == STATUS_OK) st = count(counters, launch_gemm, &x, row, &counts.tensor_flops, &counts);
    release(device, &x);
    return st;
}

static status_t test_fma(counters_t *counters, selftest_row_t *row) {
    buffers_t x = {};
    counts_t counts;
    status_t st = alloc(counters->device, sizeof(uint32_t), &x.a);
    row->expected =
        2 * (double)FMA_BLOCKS * (double)THREADS * (double)FMA_CHAINS * (double)FMA_STEPS;
    if (st == STATUS_OK)
        st = count(counters, launch_fma, &x, row, &counts.cuda_core_flops, &counts);
    release(counters->device, &x);
    return st;
}

status_t cupti_selftest(counters_t *counters, selftest_report_t report, void *ctx) {
    static const struct {
        const char *name, *unit;
        double tolerance_pct;
        status_t (*run)(counters_t *counters, selftest_row_t *row);
    } tests[] = {{"copy: DRAM reads", "B", 1, test_copy},
                 {"cuBLASLt bf16 GEMM: tensor FLOPs", "FLOP", 0, test_gemm},
                 {"FMA loop: CUDA-core FLOPs", "FLOP", 0, test_fma}};
    for (const auto &test : tests) {
        selftest_row_t row = {test.name, test.unit, NAN, NAN, NAN, test.tolerance_pct, false, ""};
        status_t st = test.run(counters, &row);
        if (st == STATUS_DEVICE) return st;
        if (st != STATUS_OK) snprintf(row.reason, sizeof row.reason, "%s", last_error());
        st = report(ctx, &row);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}
