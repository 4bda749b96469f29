/* The host CPU as a device: OpenMP threads, one pinned to each physical core it may use. */
#include <cblas.h>
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "harness/cpu_load.h"
#include "harness/cpu_topology.h"
#include "harness/device.h"
#include "harness/timing.h"
#include "kernels/cpu_team.h"
#include "roofline/ceilings_cpu.h"

/* Share of the cores that others may take before it is said. */
static const double LOAD_LIMIT = 0.05;

enum { ALIGNMENT = 256, PAGE = 4096, HUGE_PAGE = 2 << 20 };

typedef struct {
    device_t base;
    cpu_topology_t topology;
    int threads, threads_before;
    bool pinned;
    cpu_set_t mask_before, mask_used;
    uint32_t *flush; /* what cold launches stream through, made on first use */
    size_t flush_len;
    cpu_load_t load; /* when state() was last asked */
} cpu_device_t;

struct recording {
    cpu_device_t *device;
    work_t work;
    void *arg;
    int launches, next;
    bool cold;
};

static cpu_device_t *self(device_t *device) {
    return (cpu_device_t *)device;
}

static int count_devices(char *why, size_t why_len) {
    if (why_len > 0) why[0] = '\0';
    return 1;
}

/* OMP_NUM_THREADS is the user's word; else a thread a core, within the cgroup's quota. */
static int choose_threads(const cpu_topology_t *topology) {
    if (getenv("OMP_NUM_THREADS")) return omp_get_max_threads();
    if (topology->quota > 0 && topology->quota < topology->cores) return topology->quota;
    return topology->cores;
}

/*
 * The main thread is put on its CPU but keeps all the chosen ones: OpenMP makes threads anew after
 * a smaller team (as OpenBLAS uses), and they inherit its mask. A binding that the user asked
 * OpenMP for stays.
 */
static void place_main(const cpu_device_t *d) {
    cpu_set_t first;
    if (!d->pinned) return;
    CPU_ZERO(&first);
    CPU_SET(d->topology.cpus[0], &first);
    sched_setaffinity(0, sizeof first, &first);
    sched_setaffinity(0, sizeof d->mask_used, &d->mask_used);
}

static void pin(const cpu_device_t *d) {
    if (!d->pinned) return;
    place_main(d);
#pragma omp parallel num_threads(d->threads)
    if (omp_get_thread_num() > 0) {
        cpu_set_t own;
        CPU_ZERO(&own);
        CPU_SET(d->topology.cpus[omp_get_thread_num() % d->topology.cpus_len], &own);
        sched_setaffinity(0, sizeof own, &own);
    }
}

static status_t open_cpu(int index, device_t **out) {
    if (index != 0) return fail(STATUS_USAGE, "there is one CPU device: use -d cpu");
    cpu_device_t *d = calloc(1, sizeof *d);
    if (!d) return fail(STATUS_OOM, "out of host memory for the CPU device");
    cpu_topology_read(&d->topology);
    d->threads = choose_threads(&d->topology);
    d->threads_before = omp_get_max_threads();
    d->pinned = omp_get_proc_bind() == omp_proc_bind_false &&
                sched_getaffinity(0, sizeof d->mask_before, &d->mask_before) == 0;
    const int cpus = (int)min_of(d->threads, d->topology.cpus_len);
    CPU_ZERO(&d->mask_used);
    for (int i = 0; i < cpus; i++) CPU_SET(d->topology.cpus[i], &d->mask_used);
    omp_set_num_threads(d->threads);
    openblas_set_num_threads(d->threads);
    pin(d);
    snprintf(d->base.id, sizeof d->base.id, "cpu");
    cpu_model_name(d->base.name, sizeof d->base.name);
    d->base.info = (device_info_t){.kind = DEVICE_CPU,
                                   .cores = d->threads,
                                   .cache_bytes = cpu_llc_bytes(d->topology.cpus, cpus),
                                   .private_cache_bytes = d->topology.private_bytes};
    cpu_team_set(&d->base.info);
    cpu_load_others(d->topology.cpus, cpus, &d->load);
    *out = &d->base;
    return STATUS_OK;
}

static void close_cpu(device_t *device) {
    cpu_device_t *d = self(device);
    if (d->pinned) {
#pragma omp parallel num_threads(d->threads)
        sched_setaffinity(0, sizeof d->mask_before, &d->mask_before);
    }
    omp_set_num_threads(d->threads_before);
    free(d->flush);
    free(d);
}

static void fact_int(fact_t fact, void *ctx, const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    fact(ctx, key, text);
}

/* An OpenBLAS older than the CPU runs its oldest kernels: a poor baseline, which the user can mend.
 */
static void openblas_core(fact_t fact, void *ctx) {
    const char *core = openblas_get_corename();
    char text[128];
    if (strcmp(core, "Prescott") && strcmp(core, "Generic")) {
        fact(ctx, "openblas_core", core);
        return;
    }
    snprintf(text, sizeof text, "%s: too old for %s, set OPENBLAS_CORETYPE=%s", core,
             cpu_isa_name(), strcmp(cpu_isa_name(), "avx512f") ? "HASWELL" : "SKYLAKEX");
    fact(ctx, "openblas_core", strstr(cpu_isa_name(), "avx") ? text : core);
}

static void facts(device_t *device, fact_t fact, void *ctx) {
    const cpu_device_t *d = self(device);
    static const char *const parallel[] = {"sequential", "pthreads", "openmp"};
    const int kind = openblas_get_parallel();
    char governor[64];
    fact_int(fact, ctx, "cpu_cores", d->topology.cores);
    fact_int(fact, ctx, "cpu_threads", d->threads);
    fact(ctx, "cpu_pinned", d->pinned ? "yes" : "by OMP_PROC_BIND");
    fact_int(fact, ctx, "cpu_sockets", d->topology.sockets);
    fact_int(fact, ctx, "cpu_numa_nodes", cpu_numa_nodes());
    fact(ctx, "cpu_isa", cpu_isa_name());
    fact_int(fact, ctx, "cpu_l1d_bytes", d->topology.l1d_bytes);
    fact_int(fact, ctx, "cpu_l2_bytes", d->topology.private_bytes);
    fact_int(fact, ctx, "cpu_llc_bytes", device->info.cache_bytes);
    fact_int(fact, ctx, "memory_bytes", cpu_memory_bytes());
    fact(ctx, "openblas", openblas_get_config());
    openblas_core(fact, ctx);
    fact(ctx, "openblas_parallel", kind >= 0 && kind < 3 ? parallel[kind] : "unknown");
    cpu_governor(d->topology.cpus[0], governor, sizeof governor);
    if (governor[0]) fact(ctx, "cpu_governor", governor);
}

static status_t state(device_t *device, device_state_t *out) {
    cpu_device_t *d = self(device);
    const int cpus = (int)min_of(d->threads, d->topology.cpus_len);
    *out = (device_state_t){cpu_clock_mhz(d->topology.cpus, cpus), NAN, cpu_temperature_c(), ""};
    const double others = cpu_load_others(d->topology.cpus, cpus, &d->load);
    if (!isnan(others))
        snprintf(out->throttle, sizeof out->throttle, others > LOAD_LIMIT ? "other_load" : "none");
    return STATUS_OK;
}

/* Pages are touched at once, by the threads that will use them: placed on their NUMA node, and
 * counted as used before the next allocation asks how much is left. */
static status_t alloc_cpu(device_t *device, size_t bytes, void **out) {
    (void)device;
    const int64_t available = cpu_memory_available();
    *out = NULL;
    if ((double)bytes > 0.95 * (double)available)
        return fail(STATUS_OOM, "%.3g GB do not fit: %.3g GB of host memory are available",
                    (double)bytes / 1e9, (double)available / 1e9);
    const size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    if (posix_memalign(out, alignment, bytes > 0 ? bytes : 1) != 0) {
        *out = NULL;
        return fail(STATUS_OOM, "%.3g GB of host memory cannot be allocated", (double)bytes / 1e9);
    }
    if (alignment == HUGE_PAGE) madvise(*out, bytes, MADV_HUGEPAGE);
    char *at = *out;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < bytes; i += PAGE) at[i] = 0;
    return STATUS_OK;
}

static void free_cpu(device_t *device, void *memory) {
    (void)device;
    free(memory);
}

enum { COPY_CHUNK = 1 << 20 };

static status_t copy(device_t *device, void *dst, const void *src, size_t bytes) {
    (void)device;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < bytes; i += COPY_CHUNK)
        memcpy((char *)dst + i, (const char *)src + i,
               bytes - i < COPY_CHUNK ? bytes - i : COPY_CHUNK);
    return STATUS_OK;
}

static status_t draw(device_t *device, const draw_t *numbers, void *dst) {
    (void)device;
    draw_values(numbers, dst);
    return STATUS_OK;
}

static status_t fill(device_t *device, void *dst, int byte, size_t bytes) {
    (void)device;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < bytes; i += COPY_CHUNK)
        memset((char *)dst + i, byte, bytes - i < COPY_CHUNK ? bytes - i : COPY_CHUNK);
    return STATUS_OK;
}

static status_t run(device_t *device, work_t work, void *arg, int index) {
    (void)device;
    return work(arg, index, NULL);
}

/* Only reads: dirty lines would be written back in the time of the launch that follows. */
static void flush_caches(const cpu_device_t *d) {
    uint32_t sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : sum) num_threads(d->threads)
    for (size_t i = 0; i < d->flush_len; i += 16) sum += d->flush[i];
    static volatile uint32_t sink;
    sink = sum;
    (void)sink;
}

static status_t make_flush(cpu_device_t *d) {
    if (d->flush) return STATUS_OK;
    const int64_t llc = d->base.info.cache_bytes,
                  all_private = d->threads * d->base.info.private_cache_bytes;
    const size_t bytes = 2 * (size_t)(llc > all_private ? llc : all_private);
    void *memory;
    status_t st = alloc_cpu(&d->base, bytes, &memory);
    if (st != STATUS_OK) return st;
    d->flush = memory;
    d->flush_len = bytes / sizeof *d->flush;
    return STATUS_OK;
}

static status_t record(device_t *device, work_t work, void *arg, int launches, bool cold,
                       recording_t **out) {
    *out = NULL;
    if (launches < 1) return fail(STATUS_USAGE, "a recording needs at least one launch");
    if (cold) {
        status_t st = make_flush(self(device));
        if (st != STATUS_OK) return st;
    }
    recording_t *r = malloc(sizeof *r);
    if (!r) return fail(STATUS_OOM, "out of host memory for a recording");
    *r = (recording_t){self(device), work, arg, launches, 0, cold};
    pin(r->device);
    *out = r;
    return STATUS_OK;
}

static status_t replay(device_t *device, recording_t *r, double *us) {
    double seconds = 0;
    place_main(self(device));
    for (int done = 0; done < r->launches;) {
        if (r->cold) flush_caches(r->device);
        const int run_len = r->cold ? 1 : r->launches;
        const double start = now_s();
        for (int i = 0; i < run_len; i++) {
            status_t st = r->work(r->arg, r->next, NULL);
            if (st != STATUS_OK) return st;
            r->next = r->next == INT32_MAX ? 0 : r->next + 1;
        }
        seconds += now_s() - start;
        done += run_len;
    }
    *us = seconds * 1e6 / r->launches;
    return STATUS_OK;
}

static int kernels(const recording_t *recording) {
    (void)recording;
    return 1;
}

static void discard(recording_t *recording) {
    free(recording);
}

/* Launches are calls on a CPU: there are no gaps that a recording would hide. */
static status_t stream_us(device_t *device, work_t work, void *arg, int launches, double *us) {
    recording_t *recording = NULL;
    status_t st = record(device, work, arg, launches, false, &recording);
    if (!recording) return st;
    st = replay(device, recording, us);
    discard(recording);
    return st;
}

/* A clock is read between the calls, which costs tens of nanoseconds. */
static status_t profile(device_t *device, work_t work, void *arg, int steps, int passes,
                        double *us) {
    place_main(self(device));
    double before = now_s();
    for (int i = 0; i < passes * steps; i++) {
        const status_t st = work(arg, i % steps, NULL);
        if (st != STATUS_OK) return st;
        const double now = now_s();
        us[i] = (now - before) * 1e6;
        before = now;
    }
    return STATUS_OK;
}

static const device_ops_t cpu = {
    .kind = DEVICE_CPU,
    .fixed_sequence = false,
    .count = count_devices,
    .open = open_cpu,
    .close = close_cpu,
    .facts = facts,
    .state = state,
    .alloc = alloc_cpu,
    .free = free_cpu,
    .upload = copy,
    .download = copy,
    .copy = copy,
    .fill = fill,
    .draw = draw,
    .run = run,
    .record = record,
    .replay = replay,
    .kernels = kernels,
    .discard = discard,
    .stream_us = stream_us,
    .profile = profile,
    .ceilings = ceilings_cpu,
};
REGISTER_DEVICE(cpu)
