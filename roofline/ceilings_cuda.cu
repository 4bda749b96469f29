/* Ceilings of a CUDA device: the search, CUDA cores, launch latency; the rest is in the files
 * beside this one. Times are those of CUDA graphs on a warmed-up GPU. */
#include "roofline/ceilings_cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "harness/stats.h"
#include "harness/timing.h"
#include "kernels/cuda/check.cuh"

/* The search is rough; the winner gets the warm-up and the interval of any timed point. */
static const double SEARCH_S = 0.015, MEASURE_S = 0.3;
enum { FMA_THREADS = 256, FMA_CHAINS = 16, FMA_STEPS = 8, FMA_ITERATIONS = 1000 };
enum { LAUNCHES = 1000, LAUNCH_SAMPLES = 40, SINK_BYTES = 256 };

/* ---- search ---- */

/* Only a dead device or Ctrl-C ends the measurement; anything else rules out one candidate. */
static bool is_fatal(const probe_t *probe, status_t st) {
    if (st != STATUS_DEVICE) return st == STATUS_INTERRUPTED;
    return probe->device->ops->fill(probe->device, probe->sink, 0, SINK_BYTES) != STATUS_OK;
}

/* The first launch loads code and lets libraries choose an algorithm: it is outside any graph. */
static status_t measure(const probe_t *probe, const candidate_t *candidate, double budget_s,
                        timing_t *timing) {
    status_t st = probe->device->ops->run(probe->device, candidate->work, candidate->arg, 0);
    if (st == STATUS_OK)
        st = timing_run(probe->device, candidate->work, candidate->arg, 1, CACHE_HOT, budget_s,
                        timing);
    if (st == STATUS_OK && interrupted()) {
        timing_free(timing);
        st = fail(STATUS_INTERRUPTED, "interrupted while measuring ceilings");
    }
    return st;
}

ceiling_t probe_row(ceiling_kind_t kind, const char *dtype, const char *method, double theoretical,
                    const char *unit) {
    return {kind, dtype, method, NAN, NAN, NAN, theoretical, unit, NAN};
}

status_t probe_best(const probe_t *probe, ceiling_t row, const candidate_t *candidates, int count) {
    const candidate_t *best = NULL;
    double best_rate = 0;
    timing_t timing;
    for (int i = 0; i < count; i++) {
        const status_t st = measure(probe, &candidates[i], SEARCH_S, &timing);
        if (is_fatal(probe, st)) return st;
        if (st != STATUS_OK) continue;
        const double rate = candidates[i].amount / timing.summary.median;
        timing_free(&timing);
        if (rate <= best_rate) continue;
        best = &candidates[i];
        best_rate = rate;
    }
    if (!best) return probe->emit(probe->ctx, &row);
    const status_t st = measure(probe, best, MEASURE_S, &timing);
    if (is_fatal(probe, st)) return st;
    if (st != STATUS_OK) return probe->emit(probe->ctx, &row);
    row.value = best->amount / (timing.summary.median * 1e-6);
    row.ci_low = best->amount / (timing.summary.ci_high * 1e-6);
    row.ci_high = best->amount / (timing.summary.ci_low * 1e-6);
    row.sm_clock_mhz = timing.state.sm_clock_mhz;
    timing_free(&timing);
    return probe->emit(probe->ctx, &row);
}

/* ---- CUDA cores ---- */

typedef struct {
    dtype_t dtype;
    int blocks;
    void *sink;
} fma_t;

static __device__ void set(float *out, float value) {
    *out = value;
}
static __device__ void set(__half2 *out, float value) {
    *out = __floats2half2_rn(value, -value);
}
static __device__ void set(__nv_bfloat162 *out, float value) {
    *out = __floats2bfloat162_rn(value, -value);
}
static __device__ float multiply_add(float x, float a, float b) {
    return fmaf(x, a, b);
}
static __device__ __half2 multiply_add(__half2 x, __half2 a, __half2 b) {
    return __hfma2(x, a, b);
}
static __device__ __nv_bfloat162 multiply_add(__nv_bfloat162 x, __nv_bfloat162 a,
                                              __nv_bfloat162 b) {
    return __hfma2(x, a, b);
}

/* Independent chains x = x a + b in registers. a near -1 keeps every x changing from step to step:
 * values that have settled would draw less power than real work. */
template <typename T>
__global__ void __launch_bounds__(FMA_THREADS) fma_kernel(int iterations, uint32_t *sink) {
    T x[FMA_CHAINS], a, b;
    const float unit = (float)(blockIdx.x * FMA_THREADS + threadIdx.x) /
                       (float)(gridDim.x * FMA_THREADS); /* 0 to 1 */
    set(&a, -1.0f + 0.001f * unit);
    set(&b, 0.5f + 0.4f * unit);
    for (int i = 0; i < FMA_CHAINS; i++) set(&x[i], unit - (float)i / FMA_CHAINS);
    for (int n = 0; n < iterations; n++) {
#pragma unroll
        for (int step = 0; step < FMA_STEPS; step++)
#pragma unroll
            for (int i = 0; i < FMA_CHAINS; i++) x[i] = multiply_add(x[i], a, b);
    }
    uint32_t bits = 0;
    for (int i = 0; i < FMA_CHAINS; i++) {
        uint32_t word;
        static_assert(sizeof word == sizeof x[i], "one word a chain");
        memcpy(&word, &x[i], sizeof word);
        bits ^= word;
    }
    if (bits == 0x9e3779b9) *sink = bits; /* keeps the chains alive */
}

static status_t launch_fma(void *arg, int index, stream_t stream) {
    (void)index;
    const fma_t *f = (const fma_t *)arg;
    uint32_t *sink = (uint32_t *)f->sink;
    const cudaStream_t s = (cudaStream_t)stream;
    if (f->dtype == DTYPE_FP32)
        fma_kernel<float><<<f->blocks, FMA_THREADS, 0, s>>>(FMA_ITERATIONS, sink);
    else if (f->dtype == DTYPE_FP16)
        fma_kernel<__half2><<<f->blocks, FMA_THREADS, 0, s>>>(FMA_ITERATIONS, sink);
    else
        fma_kernel<__nv_bfloat162><<<f->blocks, FMA_THREADS, 0, s>>>(FMA_ITERATIONS, sink);
    CUDA_LAUNCHED("fma_kernel");
    return STATUS_OK;
}

/* FLOPs a clock and SM: CUDA C++ Programming Guide, "Throughput of native arithmetic
 * instructions", and the A100 and H100 whitepapers' peaks; NAN for chips not listed. */
static double fma_per_clock(int compute_capability, dtype_t dtype) {
    static const struct {
        int compute_capability;
        double flops[DTYPE_COUNT]; /* fp32, bf16, fp16 */
    } table[] = {
        {80, {128, 256, 512}}, {86, {256, 256, 256}}, {89, {256, 256, 256}}, {90, {256, 512, 512}}};
    for (const auto &row : table)
        if (row.compute_capability == compute_capability) return row.flops[dtype];
    return NAN;
}

static status_t cuda_core(const probe_t *probe) {
    static const dtype_t dtypes[] = {DTYPE_FP32, DTYPE_FP16, DTYPE_BF16};
    const device_info_t *info = &probe->device->info;
    status_t st = STATUS_OK;
    for (int i = 0; i < 3 && st == STATUS_OK; i++) {
        const dtype_t dtype = dtypes[i];
        fma_t args[2];
        candidate_t candidates[2];
        for (int c = 0; c < 2; c++) {
            args[c] = {dtype, info->cores * (c ? 8 : 4), probe->sink};
            const double flops_per_step = dtype == DTYPE_FP32 ? 2 : 4;
            const double steps = FMA_THREADS * FMA_CHAINS * FMA_STEPS * FMA_ITERATIONS;
            candidates[c] = {launch_fma, &args[c], args[c].blocks * steps * flops_per_step};
        }
        const ceiling_t row = probe_row(
            CEILING_CUDA_CORE, dtype_name(dtype), "fma_loop",
            probe->sm_hz * info->cores * fma_per_clock(info->compute_capability, dtype), "FLOP/s");
        st = probe_best(probe, row, candidates, 2);
    }
    return st;
}

/* ---- launch latency ---- */

__global__ void empty_kernel() {}

static status_t launch_empty(void *arg, int index, stream_t stream) {
    (void)arg;
    (void)index;
    empty_kernel<<<1, 1, 0, (cudaStream_t)stream>>>();
    CUDA_LAUNCHED("empty_kernel");
    return STATUS_OK;
}

static status_t sample_launches(device_t *device, recording_t *recording, double us[]) {
    status_t st = STATUS_OK;
    for (int i = 0; i < LAUNCH_SAMPLES && st == STATUS_OK; i++)
        st = recording ? device->ops->replay(device, recording, &us[i])
                       : device->ops->stream_us(device, launch_empty, NULL, LAUNCHES, &us[i]);
    return st;
}

/* A chain of kernels that each wait for the one before: a graph's, or the stream's own. */
static status_t launch_latency(const probe_t *probe, bool graph) {
    device_t *device = probe->device;
    double us[LAUNCH_SAMPLES];
    device_state_t state = {NAN, NAN, NAN, ""};
    recording_t *recording = NULL;
    status_t st = device->ops->run(device, launch_empty, NULL, 0);
    if (st == STATUS_OK && graph)
        st = device->ops->record(device, launch_empty, NULL, LAUNCHES, false, &recording);
    for (int round = 0; round < 2 && st == STATUS_OK; round++) /* the first one warms up */
        st = sample_launches(device, recording, us);
    if (st == STATUS_OK) st = device->ops->state(device, &state);
    if (recording) device->ops->discard(recording);
    if (st != STATUS_OK) return st;
    const summary_t s = stats_summary(us, LAUNCH_SAMPLES);
    ceiling_t row = probe_row(CEILING_LAUNCH, "", graph ? "graph" : "stream", NAN, "s");
    row.value = s.median * 1e-6;
    row.ci_low = s.ci_low * 1e-6;
    row.ci_high = s.ci_high * 1e-6;
    row.sm_clock_mhz = state.sm_clock_mhz;
    return probe->emit(probe->ctx, &row);
}

/* ---- all of them ---- */

static double attribute(cudaDeviceAttr name) {
    int device = 0, value = 0;
    if (cudaGetDevice(&device) != cudaSuccess) return NAN;
    if (cudaDeviceGetAttribute(&value, name, device) != cudaSuccess || value <= 0) return NAN;
    return value;
}

static status_t measure_all(const probe_t *probe) {
    status_t st = ceilings_cuda_memory(probe);
    if (st == STATUS_OK) st = ceilings_cuda_tensor(probe);
    if (st == STATUS_OK) st = cuda_core(probe);
    if (st == STATUS_OK) st = launch_latency(probe, false);
    if (st == STATUS_OK) st = launch_latency(probe, true);
    return st;
}

status_t ceilings_cuda(device_t *device, ceiling_emit_t emit, void *ctx) {
    /* The driver's attributes: clocks in kHz, the bus in bits, two transfers a memory clock. */
    probe_t probe = {.device = device,
                     .emit = emit,
                     .ctx = ctx,
                     .sm_hz = attribute(cudaDevAttrClockRate) * 1e3,
                     .memory_bytes_s = attribute(cudaDevAttrMemoryClockRate) * 1e3 * 2 *
                                       attribute(cudaDevAttrGlobalMemoryBusWidth) / 8,
                     .sink = NULL};
    status_t st = device->ops->alloc(device, SINK_BYTES, &probe.sink);
    if (st == STATUS_OK) st = measure_all(&probe);
    device->ops->free(device, probe.sink);
    return st;
}
