/*
 * CUDA GPUs. Recordings are CUDA graphs with their own timing events inside, so that neither the
 * CPU's launch latency nor (when cold) the flush before a launch is part of a time.
 */
#include <cuda_runtime.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/device.h"
#include "harness/draw.h"
#include "harness/nvml.h"
#include "kernels/cuda/check.cuh"
#include "kernels/cuda/cublaslt.h"
#include "profiles/counters.h"
#include "roofline/ceilings_cuda.h"

enum { LEAST_CAPABILITY = 80, CUDA_NEEDED = CUDART_VERSION / 1000 * 1000 };

typedef struct {
    device_t base;
    int ordinal; /* CUDA's index */
    cudaStream_t stream;
    cudaEvent_t begin, end;
    size_t memory_bytes;
    void *flush; /* flush_bytes, 2 x L2; NULL until a cold recording needs it */
    size_t flush_bytes;
    const nvml_gpu_t *nvml;
    char dead[512]; /* what killed the context; "" while it lives */
} cuda_t;

/* spans pairs of events: one around all launches, or one around each when cold. */
struct recording {
    cudaGraphExec_t exec;
    cudaEvent_t *events;
    int launches, spans, kernels;
};

/* ---- what there is ---- */

static int capability(int ordinal) {
    int major = 0, minor = 0;
    cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, ordinal);
    cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, ordinal);
    return 10 * major + minor;
}

static void explain_no_device(cudaError_t error, char *why, size_t why_len) {
    int version = 0;
    char release[80];
    cudaDriverGetVersion(&version);
    if (version == 0)
        snprintf(why, why_len, "no NVIDIA driver is installed (libcuda.so.1 not found)");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(why, why_len, "driver %s (CUDA %d.%d) is older than CUDA %d needs: update it",
                 nvml_driver(release, sizeof release) ? release : "installed", version / 1000,
                 version % 1000 / 10, CUDA_NEEDED / 1000);
    else if (error == cudaSuccess || error == cudaErrorNoDevice)
        snprintf(why, why_len, "the NVIDIA driver finds no GPU (is CUDA_VISIBLE_DEVICES set?)");
    else
        snprintf(why, why_len, "CUDA does not start: %s", cudaGetErrorString(error));
}

/* The ordinal of usable GPU number `index`, and how many there are. */
static int usable(int index, int *count, char *why, size_t why_len) {
    int all = 0, ordinal = -1;
    const cudaError_t error = cudaGetDeviceCount(&all);
    *count = 0;
    if (error != cudaSuccess || all == 0) {
        cudaGetLastError();
        explain_no_device(error, why, why_len);
        return -1;
    }
    for (int i = 0; i < all; i++) {
        if (capability(i) < LEAST_CAPABILITY) continue;
        if (*count == index) ordinal = i;
        ++*count;
    }
    if (*count == 0)
        snprintf(why, why_len, "the GPU has compute capability %d.%d: blroof needs 8.0 or later",
                 capability(0) / 10, capability(0) % 10);
    return ordinal;
}

static int cuda_count(char *why, size_t why_len) {
    int count;
    usable(0, &count, why, why_len);
    return count;
}

/* ---- life ---- */

static void uuid_text(const cudaUUID_t *uuid, char out[48]) {
    static const int dash_before[] = {4, 6, 8, 10};
    int len = snprintf(out, 48, "GPU-");
    for (int i = 0, dash = 0; i < 16; i++) {
        if (dash < 4 && i == dash_before[dash]) {
            out[len++] = '-';
            dash++;
        }
        len += snprintf(out + len, (size_t)(48 - len), "%02x", (unsigned char)uuid->bytes[i]);
    }
}

static status_t cuda_start(cuda_t *d, int index) {
    cudaDeviceProp prop;
    char pci[32];
    CUDA(cudaSetDevice(d->ordinal));
    CUDA(cudaGetDeviceProperties(&prop, d->ordinal));
    CUDA(cudaDeviceGetPCIBusId(pci, sizeof pci, d->ordinal));
    CUDA(cudaStreamCreateWithFlags(&d->stream, cudaStreamNonBlocking));
    CUDA(cudaEventCreate(&d->begin));
    CUDA(cudaEventCreate(&d->end));
    uuid_text(&prop.uuid, d->base.uuid);
    d->nvml = nvml_find(pci, d->base.uuid);
    d->memory_bytes = prop.totalGlobalMem;
    d->flush_bytes = 2 * (size_t)prop.l2CacheSize;
    snprintf(d->base.id, sizeof d->base.id, "cuda:%d", index);
    snprintf(d->base.name, sizeof d->base.name, "%.127s", prop.name);
    d->base.info.kind = DEVICE_CUDA;
    d->base.info.cores = prop.multiProcessorCount;
    d->base.info.compute_capability = 10 * prop.major + prop.minor;
    d->base.info.cache_bytes = prop.l2CacheSize;
    d->base.info.smem_bytes = (int64_t)prop.sharedMemPerBlockOptin;
    return STATUS_OK;
}

static void cuda_close(device_t *device) {
    cuda_t *d = (cuda_t *)device;
    if (!d) return;
    cudaSetDevice(d->ordinal);
    if (d->flush) cudaFree(d->flush);
    if (d->end) cudaEventDestroy(d->end);
    if (d->begin) cudaEventDestroy(d->begin);
    if (d->stream) cudaStreamDestroy(d->stream);
    cudaGetLastError();
    free(d);
}

static status_t cuda_open(int index, device_t **out) {
    char why[WHY_LEN];
    int count;
    const int ordinal = usable(index, &count, why, sizeof why);
    if (count == 0) return fail(STATUS_ENVIRONMENT, "no cuda device: %s", why);
    if (ordinal < 0)
        return fail(STATUS_USAGE, "there is no device cuda:%d: this machine has %d", index, count);
    cuda_t *d = (cuda_t *)calloc(1, sizeof *d);
    if (!d) return fail(STATUS_OOM, "out of host memory");
    d->ordinal = ordinal;
    const status_t st = cuda_start(d, index);
    if (st != STATUS_OK) {
        cuda_close(&d->base);
        return st;
    }
    *out = &d->base;
    return STATUS_OK;
}

/* Every operation starts with enter() and ends with leave(): a dead context answers nothing. */
static status_t enter(cuda_t *d) {
    if (d->dead[0])
        return fail(STATUS_DEVICE, "%s cannot be used any more in this process since: %s",
                    d->base.id, d->dead);
    CUDA(cudaSetDevice(d->ordinal));
    return STATUS_OK;
}

/* An error that outlives cudaGetLastError() is sticky: the context is dead. */
static status_t leave(cuda_t *d, status_t st) {
    if (st == STATUS_OK) return st;
    cudaGetLastError();
    if (st == STATUS_DEVICE && cudaDeviceSynchronize() != cudaSuccess && !d->dead[0])
        snprintf(d->dead, sizeof d->dead, "%s", last_error());
    return st;
}

/* ---- memory ---- */

static status_t do_alloc(cuda_t *d, size_t bytes, void **out) {
    size_t free_bytes = 0, total_bytes = 0;
    const cudaError_t error =
        bytes > d->memory_bytes ? cudaErrorMemoryAllocation : cudaMalloc(out, bytes ? bytes : 1);
    if (error != cudaErrorMemoryAllocation) {
        CUDA(error);
        return STATUS_OK;
    }
    cudaGetLastError();
    *out = NULL;
    CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
    return fail(STATUS_OOM, "%.3f GB do not fit on %s: %.3f of its %.3f GB are free",
                (double)bytes * 1e-9, d->base.id, (double)free_bytes * 1e-9,
                (double)total_bytes * 1e-9);
}

static status_t cuda_alloc(device_t *device, size_t bytes, void **out) {
    cuda_t *d = (cuda_t *)device;
    *out = NULL;
    status_t st = enter(d);
    if (st == STATUS_OK) st = leave(d, do_alloc(d, bytes, out));
    return st;
}

static void cuda_free(device_t *device, void *memory) {
    if (enter((cuda_t *)device) == STATUS_OK) cudaFree(memory);
}

static status_t do_used(double *bytes) {
    size_t free_bytes = 0, total_bytes = 0;
    CUDA(cudaMemGetInfo(&free_bytes, &total_bytes));
    *bytes = (double)(total_bytes - free_bytes);
    return STATUS_OK;
}

static status_t cuda_used(device_t *device, double *bytes) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_used(bytes)) : st;
}

static status_t do_copy(cuda_t *d, void *dst, const void *src, size_t bytes, cudaMemcpyKind kind) {
    CUDA(cudaMemcpyAsync(dst, src, bytes, kind, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
    return STATUS_OK;
}

static status_t copy_kind(device_t *device, void *dst, const void *src, size_t bytes,
                          cudaMemcpyKind kind) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_copy(d, dst, src, bytes, kind)) : st;
}

static status_t cuda_upload(device_t *device, void *dst, const void *src, size_t bytes) {
    return copy_kind(device, dst, src, bytes, cudaMemcpyHostToDevice);
}

static status_t cuda_download(device_t *device, void *dst, const void *src, size_t bytes) {
    return copy_kind(device, dst, src, bytes, cudaMemcpyDeviceToHost);
}

static status_t cuda_copy(device_t *device, void *dst, const void *src, size_t bytes) {
    return copy_kind(device, dst, src, bytes, cudaMemcpyDeviceToDevice);
}

static status_t do_fill(cuda_t *d, void *dst, int byte, size_t bytes) {
    CUDA(cudaMemsetAsync(dst, byte, bytes, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
    return STATUS_OK;
}

static status_t cuda_fill(device_t *device, void *dst, int byte, size_t bytes) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_fill(d, dst, byte, bytes)) : st;
}

static status_t do_draw(cuda_t *d, const draw_t *draw, void *dst) {
    const status_t st = draw_cuda(draw, dst, d->stream);
    if (st == STATUS_OK) CUDA(cudaStreamSynchronize(d->stream));
    return st;
}

static status_t cuda_draw(device_t *device, const draw_t *draw, void *dst) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_draw(d, draw, dst)) : st;
}

/* ---- running and timing ---- */

static status_t do_run(cuda_t *d, work_t work, void *arg, int index) {
    const status_t st = work(arg, index, d->stream);
    const cudaError_t error = cudaStreamSynchronize(d->stream);
    if (st != STATUS_OK) return st;
    if (error != cudaSuccess)
        return fail(STATUS_DEVICE, "the kernel failed on %s: %s", d->base.id,
                    cudaGetErrorString(error));
    return STATUS_OK;
}

static status_t cuda_run(device_t *device, work_t work, void *arg, int index) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_run(d, work, arg, index)) : st;
}

static void cuda_discard(recording_t *r) {
    if (!r) return;
    for (int i = 0; r->events && i < 2 * r->spans; i++)
        if (r->events[i]) cudaEventDestroy(r->events[i]);
    if (r->exec) cudaGraphExecDestroy(r->exec);
    cudaGetLastError();
    free(r->events);
    free(r);
}

static status_t prepare(cuda_t *d, int launches, bool cold, recording_t *r) {
    r->launches = launches;
    r->spans = cold ? launches : 1;
    r->events = (cudaEvent_t *)calloc(2 * (size_t)r->spans, sizeof *r->events);
    if (!r->events) return fail(STATUS_OOM, "out of host memory");
    for (int i = 0; i < 2 * r->spans; i++) CUDA(cudaEventCreate(&r->events[i]));
    return cold && !d->flush ? do_alloc(d, d->flush_bytes, &d->flush) : STATUS_OK;
}

/* External events become nodes of the graph and are recorded again at each replay. */
static status_t enqueue(cuda_t *d, work_t work, void *arg, bool cold, const recording_t *r) {
    for (int i = 0; i < r->launches; i++) {
        const int span = cold ? i : 0;
        const bool first = cold || i == 0, last = cold || i + 1 == r->launches;
        if (cold) CUDA(cudaMemsetAsync(d->flush, 0, d->flush_bytes, d->stream));
        if (first)
            CUDA(cudaEventRecordWithFlags(r->events[2 * span], d->stream, cudaEventRecordExternal));
        const status_t st = work(arg, i, d->stream);
        if (st != STATUS_OK) return st;
        if (last)
            CUDA(cudaEventRecordWithFlags(r->events[2 * span + 1], d->stream,
                                          cudaEventRecordExternal));
    }
    return STATUS_OK;
}

static status_t count_kernels(cudaGraph_t graph, int *kernels) {
    size_t count = 0;
    CUDA(cudaGraphGetNodes(graph, NULL, &count));
    cudaGraphNode_t *nodes = (cudaGraphNode_t *)malloc((count ? count : 1) * sizeof *nodes);
    if (!nodes) return fail(STATUS_OOM, "out of host memory");
    cudaError_t error = cudaGraphGetNodes(graph, nodes, &count);
    *kernels = 0;
    for (size_t i = 0; error == cudaSuccess && i < count; i++) {
        cudaGraphNodeType type;
        error = cudaGraphNodeGetType(nodes[i], &type);
        if (error == cudaSuccess && type == cudaGraphNodeTypeKernel) ++*kernels;
    }
    free(nodes);
    CUDA(error);
    return STATUS_OK;
}

static status_t instantiate(cuda_t *d, cudaGraph_t graph, recording_t *r) {
    const status_t st = count_kernels(graph, &r->kernels);
    if (st != STATUS_OK) return st;
    CUDA(cudaGraphInstantiate(&r->exec, graph, 0));
    CUDA(cudaGraphUpload(r->exec, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
    return STATUS_OK;
}

static status_t do_record(cuda_t *d, work_t work, void *arg, int launches, bool cold,
                          recording_t *r) {
    cudaGraph_t graph = NULL;
    status_t st = prepare(d, launches, cold, r);
    if (st != STATUS_OK) return st;
    CUDA(cudaStreamBeginCapture(d->stream, cudaStreamCaptureModeThreadLocal));
    st = enqueue(d, work, arg, cold, r);
    const cudaError_t error = cudaStreamEndCapture(d->stream, &graph);
    if (st == STATUS_OK && error != cudaSuccess)
        st = fail(STATUS_DEVICE, "the work cannot be captured into a CUDA graph: %s",
                  cudaGetErrorString(error));
    if (st == STATUS_OK) st = instantiate(d, graph, r);
    if (graph) cudaGraphDestroy(graph);
    return st;
}

static status_t cuda_record(device_t *device, work_t work, void *arg, int launches, bool cold,
                            recording_t **out) {
    cuda_t *d = (cuda_t *)device;
    *out = NULL;
    status_t st = enter(d);
    if (st != STATUS_OK) return st;
    recording_t *r = (recording_t *)calloc(1, sizeof *r);
    if (!r) return fail(STATUS_OOM, "out of host memory");
    st = leave(d, do_record(d, work, arg, launches, cold, r));
    if (st == STATUS_OK)
        *out = r;
    else
        cuda_discard(r);
    return st;
}

static status_t do_replay(cuda_t *d, recording_t *r, double *us) {
    CUDA(cudaGraphLaunch(r->exec, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
    double ms = 0;
    for (int i = 0; i < r->spans; i++) {
        float span_ms;
        CUDA(cudaEventElapsedTime(&span_ms, r->events[2 * i], r->events[2 * i + 1]));
        ms += span_ms;
    }
    *us = ms * 1e3 / r->launches;
    return STATUS_OK;
}

static status_t cuda_replay(device_t *device, recording_t *r, double *us) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_replay(d, r, us)) : st;
}

static int cuda_kernels(const recording_t *r) {
    return r->kernels / r->launches;
}

static status_t do_stream(cuda_t *d, work_t work, void *arg, int launches, double *us) {
    float ms;
    CUDA(cudaEventRecord(d->begin, d->stream));
    for (int i = 0; i < launches; i++) {
        const status_t st = work(arg, i, d->stream);
        if (st != STATUS_OK) return st;
    }
    CUDA(cudaEventRecord(d->end, d->stream));
    CUDA(cudaStreamSynchronize(d->stream));
    CUDA(cudaEventElapsedTime(&ms, d->begin, d->end));
    *us = ms * 1e3 / launches;
    return STATUS_OK;
}

static status_t cuda_stream_us(device_t *device, work_t work, void *arg, int launches, double *us) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, do_stream(d, work, arg, launches, us)) : st;
}

static status_t cuda_profile(device_t *device, work_t work, void *arg, int steps, int passes,
                             double *us) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, counters_profile(device, work, arg, steps, passes, us)) : st;
}

static status_t cuda_ceilings(device_t *device, ceiling_emit_t emit, void *ctx) {
    cuda_t *d = (cuda_t *)device;
    const status_t st = enter(d);
    return st == STATUS_OK ? leave(d, ceilings_cuda(device, emit, ctx)) : st;
}

/* ---- facts ---- */

static status_t cuda_state(device_t *device, device_state_t *out) {
    *out = nvml_state(((cuda_t *)device)->nvml);
    return STATUS_OK;
}

static void version_fact(fact_t fact, void *ctx, const char *key, int major, int minor, int patch) {
    char text[48];
    if (major == 0) return;
    if (patch < 0)
        snprintf(text, sizeof text, "%d.%d", major, minor);
    else
        snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    fact(ctx, key, text);
}

static void count_fact(fact_t fact, void *ctx, const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    fact(ctx, key, text);
}

static void version_facts(fact_t fact, void *ctx) {
    char release[80];
    int driver = 0, runtime = 0;
    const int cublaslt = (int)cublaslt_version();
    cudaDriverGetVersion(&driver);
    cudaRuntimeGetVersion(&runtime);
    if (nvml_driver(release, sizeof release)) fact(ctx, "driver", release);
    version_fact(fact, ctx, "cuda_driver", driver / 1000, driver % 1000 / 10, -1);
    version_fact(fact, ctx, "cuda_runtime", runtime / 1000, runtime % 1000 / 10, -1);
    version_fact(fact, ctx, "cublaslt", cublaslt / 10000, cublaslt / 100 % 100, cublaslt % 100);
}

static void cuda_facts(device_t *device, fact_t fact, void *ctx) {
    cuda_t *d = (cuda_t *)device;
    const device_info_t *info = &device->info;
    cudaDeviceProp prop;
    char pci[32];
    fact(ctx, "gpu_uuid", device->uuid);
    if (enter(d) == STATUS_OK && cudaGetDeviceProperties(&prop, d->ordinal) == cudaSuccess)
        fact(ctx, "gpu_ecc", prop.ECCEnabled ? "on" : "off");
    if (cudaDeviceGetPCIBusId(pci, sizeof pci, d->ordinal) == cudaSuccess)
        fact(ctx, "gpu_pci", pci);
    version_fact(fact, ctx, "gpu_compute_capability", info->compute_capability / 10,
                 info->compute_capability % 10, -1);
    count_fact(fact, ctx, "gpu_sms", info->cores);
    count_fact(fact, ctx, "gpu_l2_bytes", info->cache_bytes);
    count_fact(fact, ctx, "gpu_smem_bytes", info->smem_bytes);
    count_fact(fact, ctx, "gpu_memory_bytes", (int64_t)d->memory_bytes);
    nvml_facts(d->nvml, fact, ctx);
    version_facts(fact, ctx);
}

static const device_ops_t cuda_ops = {
    .kind = DEVICE_CUDA,
    .fixed_sequence = true,
    .count = cuda_count,
    .open = cuda_open,
    .close = cuda_close,
    .facts = cuda_facts,
    .state = cuda_state,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .upload = cuda_upload,
    .download = cuda_download,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .draw = cuda_draw,
    .run = cuda_run,
    .record = cuda_record,
    .replay = cuda_replay,
    .kernels = cuda_kernels,
    .discard = cuda_discard,
    .stream_us = cuda_stream_us,
    .profile = cuda_profile,
    .used = cuda_used,
    .ceilings = cuda_ceilings,
};

REGISTER_DEVICE(cuda_ops)
