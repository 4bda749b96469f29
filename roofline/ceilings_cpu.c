#include "roofline/ceilings_cpu.h"

#include <cblas.h>
#include <math.h>
#include <sched.h>
#include <string.h>

#include "harness/cpu_topology.h"
#include "harness/stats.h"
#include "harness/timing.h"
#include "roofline/cpu_loops.h"

enum { SAMPLES = 31, LEAST_SAMPLES = 7, MAX_SETS = 3 };
static const double SAMPLE_S = 0.003, EXPERIMENT_S = 0.5;

typedef struct {
    device_t *device;
    const cpu_loops_t *loops;
    ceiling_emit_t emit;
    void *ctx;
    int threads;
} bench_t;

/* Something repeatable: times `passes` of it and returns the seconds. */
typedef double (*timed_t)(const void *arg, int64_t passes);

static volatile float sink;

/* Rates of `work` units a pass: enough passes for SAMPLE_S, samples until EXPERIMENT_S is over. */
static summary_t rate(timed_t timed, const void *arg, double work) {
    double samples[SAMPLES];
    int count = 0;
    double once = timed(arg, 1); /* the least of a few: a disturbed one would mean too few passes */
    for (int i = 0; i < LEAST_SAMPLES; i++) once = fmin(once, fmax(timed(arg, 1), 1e-9));
    const int64_t passes = (int64_t)fmax(1, ceil(SAMPLE_S / once));
    (void)timed(arg, passes);
    const double start = now_s();
    while (count < SAMPLES && (count < LEAST_SAMPLES || now_s() - start < EXPERIMENT_S))
        samples[count++] = work * (double)passes / timed(arg, passes);
    return stats_summary(samples, count);
}

static status_t emit_rate(const bench_t *x, ceiling_kind_t kind, const char *dtype,
                          const char *method, summary_t s, const char *unit, double theoretical) {
    device_state_t state;
    if (interrupted()) return fail(STATUS_INTERRUPTED, "interrupted while measuring ceilings");
    status_t st = x->device->ops->state(x->device, &state);
    if (st != STATUS_OK) return st;
    return x->emit(x->ctx, &(ceiling_t){kind, dtype, method, s.median, s.ci_low, s.ci_high,
                                        theoretical, unit, state.sm_clock_mhz});
}

typedef enum { METHOD_READ, METHOD_COPY, METHOD_TRIAD, METHOD_COUNT } method_t;
static const char *const METHOD_NAMES[] = {"read", "copy", "triad"};

typedef struct {
    const cpu_loops_t *loops;
    method_t method;
    float *arrays[METHOD_COUNT];
    int64_t len; /* floats of an array that each thread goes through */
    int threads;
    bool stream;
} traffic_t;

static double traffic_s(const void *arg, int64_t passes) {
    const traffic_t *x = arg;
    const double start = now_s();
#pragma omp parallel for schedule(static) num_threads(x->threads)
    for (int i = 0; i < x->threads; i++) {
        float *to = x->arrays[0] + i * x->len, *a = x->arrays[1] + i * x->len,
              *b = x->arrays[2] + i * x->len;
        for (int64_t pass = 0; pass < passes; pass++)
            if (x->method == METHOD_READ)
                sink = x->loops->read(to, x->len, x->stream);
            else if (x->method == METHOD_COPY)
                x->loops->copy(to, a, x->len, x->stream);
            else
                x->loops->triad(to, a, b, x->len, x->stream);
    }
    return now_s() - start;
}

/* Bandwidth of one method over `bytes` of arrays in all. */
static status_t traffic(const bench_t *x, method_t method, double bytes, bool stream,
                        summary_t *out) {
    const int arrays = (int)method + 1;
    const double floats = bytes / (double)sizeof(float) / arrays / x->threads;
    traffic_t t = {.loops = x->loops,
                   .method = method,
                   .len = (int64_t)fmax(1, floats / LOOP_FLOATS) * LOOP_FLOATS,
                   .threads = x->threads,
                   .stream = stream};
    const size_t size = (size_t)(t.len * t.threads) * sizeof(float);
    status_t st = STATUS_OK;
    for (int i = 0; i < METHOD_COUNT; i++) t.arrays[i] = NULL;
    for (int i = 0; i < arrays; i++) {
        void *memory;
        TRY(x->device->ops->alloc(x->device, size, &memory));
        t.arrays[i] = memory;
        TRY(x->device->ops->fill(x->device, memory, 0, size));
    }
    for (int i = arrays; i < METHOD_COUNT; i++) t.arrays[i] = t.arrays[0];
    *out = rate(traffic_s, &t, (double)size * arrays);
cleanup:
    for (int i = 0; i < arrays; i++) x->device->ops->free(x->device, t.arrays[i]);
    return st;
}

/* The best working set of each method, which must not be beaten by any point. */
static status_t emit_bandwidth(const bench_t *x, ceiling_kind_t kind, const double *sets,
                               int sets_len, int methods) {
    for (int method = 0; method < methods; method++) {
        summary_t best = {.median = -1};
        for (int i = 0; i < sets_len; i++) {
            summary_t s;
            status_t st = traffic(x, (method_t)method, sets[i], kind == CEILING_DRAM, &s);
            if (st != STATUS_OK) return st;
            if (s.median > best.median) best = s;
        }
        status_t st = emit_rate(x, kind, "", METHOD_NAMES[method], best, "B/s", NAN);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static status_t bandwidths(const bench_t *x, const cpu_topology_t *topology) {
    const double llc = (double)x->device->info.cache_bytes,
                 l2 = (double)x->device->info.private_cache_bytes * x->threads,
                 l1 = (double)topology->l1d_bytes * x->threads,
                 memory = (double)cpu_memory_available();
    const double dram = fmin(4 * llc, memory / 4);
    const double low = fmin(2 * l2, 0.7 * (l2 + llc)), high = fmax(low, llc / 2);
    const double dram_sets[] = {dram, fmin(2 * dram, memory / 4)},
                 llc_sets[MAX_SETS] = {low, sqrt(low * high), high}, l1_sets[] = {l1 / 4, l1 / 2};
    status_t st = emit_bandwidth(x, CEILING_DRAM, dram_sets, 2, METHOD_COUNT);
    if (st == STATUS_OK) st = emit_bandwidth(x, CEILING_L2, llc_sets, MAX_SETS, METHOD_COUNT);
    if (st == STATUS_OK) st = emit_bandwidth(x, CEILING_L1, l1_sets, 2, 1);
    return st;
}

static double fma_s(const void *arg, int64_t passes) {
    const bench_t *x = arg;
    const double start = now_s();
#pragma omp parallel num_threads(x->threads)
    sink = x->loops->fma(passes);
    return now_s() - start;
}

/* Two 256-bit FMAs a cycle since Haswell and Zen 2; for other vectors it depends on the model. */
static double fma_peak(const bench_t *x, const cpu_topology_t *topology) {
    if (strcmp(cpu_isa_name(), "avx2+fma") != 0) return NAN;
    return x->threads * 2.0 * 8 * 2 * 1e6 * cpu_clock_max_mhz(topology->cpus[0]);
}

typedef struct {
    int n;
    float *a, *b, *c;
} gemm_t;

static double gemm_s(const void *arg, int64_t passes) {
    const gemm_t *g = arg;
    const double start = now_s();
    for (int64_t i = 0; i < passes; i++)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, g->n, g->n, g->n, 1, g->a, g->n,
                    g->b, g->n, 0, g->c, g->n);
    return now_s() - start;
}

static double gemm_flops(int n) {
    return 2.0 * n * n * n;
}

static status_t gemm(const bench_t *x, const cpu_topology_t *topology, double fma_flops) {
    static const int SIZES[] = {512, 1024, 2048, 4096};
    const size_t bytes = sizeof(float) * 4096 * 4096;
    summary_t best = {.median = -1};
    void *memory[3] = {NULL, NULL, NULL};
    status_t st = STATUS_OK;
    for (int i = 0; i < 3; i++) {
        TRY(x->device->ops->alloc(x->device, bytes, &memory[i]));
        float *values = memory[i];
        for (size_t j = 0; j < bytes / sizeof *values; j++)
            values[j] = (float)((j * 2654435761U >> 8) % 1024) / 512 - 1;
    }
    for (int i = 0; i < 4; i++) {
        const gemm_t g = {SIZES[i], memory[0], memory[1], memory[2]};
        /* Sizes that would take long are for machines with more cores. */
        if (i > 0 && gemm_flops(g.n) / fma_flops > 3 * EXPERIMENT_S / LEAST_SAMPLES) break;
        const summary_t s = rate(gemm_s, &g, gemm_flops(g.n));
        if (s.median > best.median) best = s;
    }
    st = emit_rate(x, CEILING_CUDA_CORE, "fp32", "sgemm", best, "FLOP/s", fma_peak(x, topology));
cleanup:
    for (int i = 0; i < 3; i++) x->device->ops->free(x->device, memory[i]);
    return st;
}

static status_t fma_rate(const bench_t *x, const cpu_topology_t *topology, double *flops) {
    const summary_t s = rate(fma_s, x, x->loops->fma_flops * x->threads);
    *flops = s.median;
    return emit_rate(x, CEILING_CUDA_CORE, "fp32", "fma_loop", s, "FLOP/s", fma_peak(x, topology));
}

static double regions_s(const void *arg, int64_t passes) {
    const bench_t *x = arg;
    const double start = now_s();
    for (int64_t i = 0; i < passes; i++) {
#pragma omp parallel num_threads(x->threads)
        __asm__ volatile("" ::: "memory");
    }
    return now_s() - start;
}

static status_t launch_latency(const bench_t *x) {
    const summary_t s = rate(regions_s, x, 1);
    const summary_t seconds = {
        .median = 1 / s.median, .ci_low = 1 / s.ci_high, .ci_high = 1 / s.ci_low};
    return emit_rate(x, CEILING_LAUNCH, "", "openmp_region", seconds, "s", NAN);
}

status_t ceilings_cpu(device_t *device, ceiling_emit_t emit, void *ctx) {
    const bench_t x = {device, cpu_loops(), emit, ctx, device->info.cores};
    cpu_topology_t topology;
    cpu_set_t before, first;
    cpu_topology_read(&topology);
    const bool moved = sched_getaffinity(0, sizeof before, &before) == 0;
    CPU_ZERO(&first);
    CPU_SET(topology.cpus[0], &first);
    /* These keep one team, so that the main thread may be bound too; OpenBLAS does not. */
    if (moved) sched_setaffinity(0, sizeof first, &first);
    double fma_flops = NAN;
    status_t st = bandwidths(&x, &topology);
    if (st == STATUS_OK) st = launch_latency(&x);
    if (st == STATUS_OK) st = fma_rate(&x, &topology, &fma_flops);
    if (moved) sched_setaffinity(0, sizeof before, &before);
    return st == STATUS_OK ? gemm(&x, &topology, fma_flops) : st;
}
