/* Bandwidth ceilings of a CUDA device: DRAM, L2 and shared memory. */
#include <cuda_runtime.h>
#include <math.h>
#include <stdint.h>

#include "kernels/cuda/check.cuh"
#include "roofline/ceilings_cuda.h"

typedef enum { STREAM_READ, STREAM_WRITE, STREAM_COPY, STREAM_TRIAD } stream_method_t;

static const char *const METHODS[] = {"read", "write", "copy", "triad"};

static __device__ __forceinline__ uint32_t fold(uint4 v) {
    return v.x ^ v.y ^ v.z ^ v.w;
}

/* ---- DRAM ---- */

/* One launch: c = a, b or a + 3 b over `bytes` each; blocks 0 covers them with one tile a block. */
typedef struct {
    stream_method_t method;
    int threads, blocks, unroll, streaming;
    int64_t bytes;
    const float4 *a, *b;
    float4 *c;
} dram_t;

template <bool STREAMING> static __device__ __forceinline__ float4 load(const float4 *p) {
    return STREAMING ? __ldcs(p) : *p;
}

template <bool STREAMING> static __device__ __forceinline__ void store(float4 *p, float4 v) {
    if (STREAMING)
        __stcs(p, v);
    else
        *p = v;
}

static __device__ __forceinline__ float4 triad(float4 a, float4 b) {
    return make_float4(fmaf(3, b.x, a.x), fmaf(3, b.y, a.y), fmaf(3, b.z, a.z), fmaf(3, b.w, a.w));
}

/* A tile is UNROLL vectors a thread, all loaded before the first is used. */
template <int METHOD, int UNROLL, bool STREAMING>
__global__ void __launch_bounds__(1024)
    dram_kernel(const float4 *__restrict__ a, const float4 *__restrict__ b, float4 *__restrict__ c,
                int64_t tiles) {
    float sum = 0;
    for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const int64_t at = tile * UNROLL * blockDim.x + threadIdx.x;
        float4 x[UNROLL], y[UNROLL];
#pragma unroll
        for (int i = 0; i < UNROLL; i++) {
            const int64_t from = at + i * (int)blockDim.x;
            x[i] =
                METHOD == STREAM_WRITE ? make_float4(1, 2, 3, (float)i) : load<STREAMING>(a + from);
            if (METHOD == STREAM_TRIAD) y[i] = load<STREAMING>(b + from);
        }
#pragma unroll
        for (int i = 0; i < UNROLL; i++) {
            if (METHOD == STREAM_READ)
                sum += x[i].x + x[i].y + x[i].z + x[i].w;
            else
                store<STREAMING>(c + at + i * (int)blockDim.x,
                                 METHOD == STREAM_TRIAD ? triad(x[i], y[i]) : x[i]);
        }
    }
    if (METHOD == STREAM_READ && sum == -1.0f) c->x = sum; /* the buffers hold positive numbers */
}

typedef void (*dram_kernel_t)(const float4 *, const float4 *, float4 *, int64_t);

template <int METHOD> static dram_kernel_t dram_pick(int unroll, int streaming) {
    if (unroll == 4)
        return streaming ? dram_kernel<METHOD, 4, true> : dram_kernel<METHOD, 4, false>;
    return streaming ? dram_kernel<METHOD, 8, true> : dram_kernel<METHOD, 8, false>;
}

static status_t launch_dram(void *arg, int index, stream_t stream) {
    (void)index;
    const dram_t *d = (const dram_t *)arg;
    dram_kernel_t (*const pick[])(int, int) = {dram_pick<STREAM_READ>, dram_pick<STREAM_WRITE>,
                                               dram_pick<STREAM_COPY>, dram_pick<STREAM_TRIAD>};
    const dram_kernel_t kernel = pick[d->method](d->unroll, d->streaming);
    const int64_t tiles = d->bytes / ((int64_t)sizeof(float4) * d->threads * d->unroll);
    const int blocks = d->blocks ? d->blocks : (int)tiles;
    kernel<<<blocks, d->threads, 0, (cudaStream_t)stream>>>(d->a, d->b, d->c, tiles);
    CUDA_LAUNCHED("dram_kernel");
    return STATUS_OK;
}

static ceiling_t dram_row(const probe_t *probe, int method) {
    return probe_row(CEILING_DRAM, "", METHODS[method], probe->memory_bytes_s, "B/s");
}

static status_t dram_method(const probe_t *probe, stream_method_t method, int64_t bytes,
                            void *const buffers[3]) {
    static const int passes[] = {1, 1, 2, 3}; /* buffers read or written */
    static const struct {
        int threads, blocks_per_sm;
    } shapes[] = {{256, 0}, {512, 0}, {512, 4}, {1024, 2}};
    dram_t args[16];
    candidate_t candidates[16];
    for (int i = 0; i < 16; i++) {
        args[i] = {.method = method,
                   .threads = shapes[i / 4].threads,
                   .blocks = shapes[i / 4].blocks_per_sm * probe->device->info.cores,
                   .unroll = i & 1 ? 8 : 4,
                   .streaming = i >> 1 & 1,
                   .bytes = bytes,
                   .a = (const float4 *)buffers[0],
                   .b = (const float4 *)buffers[1],
                   .c = (float4 *)buffers[2]};
        candidates[i] = {launch_dram, &args[i], (double)passes[method] * (double)bytes};
    }
    return probe_best(probe, dram_row(probe, method), candidates, 16);
}

/* 64 x L2 (1 to 4 GiB), so that what a pass leaves in L2 for the next is below 2 %. */
static int64_t dram_buffer_bytes(const device_info_t *info) {
    size_t free_bytes = 0, total_bytes = 0;
    if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) return 0;
    int64_t bytes = 64 * info->cache_bytes;
    if (bytes < (int64_t)1 << 30) bytes = (int64_t)1 << 30;
    if (bytes > (int64_t)4 << 30) bytes = (int64_t)4 << 30;
    if (bytes > (int64_t)(free_bytes / 4)) bytes = (int64_t)(free_bytes / 4);
    return bytes & ~(((int64_t)1 << 20) - 1);
}

static status_t dram_all(const probe_t *probe, int64_t bytes, void *const buffers[3]) {
    status_t st = STATUS_OK;
    for (int i = 0; i < 3 && st == STATUS_OK; i++) /* bytes 3c: floats of 0.0115 */
        st = probe->device->ops->fill(probe->device, buffers[i], 0x3c, (size_t)bytes);
    for (int method = STREAM_READ; method <= STREAM_TRIAD && st == STATUS_OK; method++)
        st = dram_method(probe, (stream_method_t)method, bytes, buffers);
    return st;
}

static status_t dram_none(const probe_t *probe) {
    status_t st = STATUS_OK;
    for (int method = STREAM_READ; method <= STREAM_TRIAD && st == STATUS_OK; method++)
        st = probe_best(probe, dram_row(probe, method), NULL, 0);
    return st;
}

static status_t dram(const probe_t *probe) {
    const device_ops_t *ops = probe->device->ops;
    const int64_t bytes = dram_buffer_bytes(&probe->device->info);
    void *buffers[3] = {NULL, NULL, NULL};
    status_t st = STATUS_OK;
    for (int i = 0; i < 3 && st == STATUS_OK; i++)
        st = bytes ? ops->alloc(probe->device, (size_t)bytes, &buffers[i]) : STATUS_OOM;
    if (st == STATUS_OK)
        st = dram_all(probe, bytes, buffers);
    else if (st == STATUS_OOM)
        st = dram_none(probe);
    for (int i = 0; i < 3; i++)
        if (buffers[i]) ops->free(probe->device, buffers[i]);
    return st;
}

/* ---- L2 ---- */

enum { L2_UNROLL = 4, L2_SWEEP = 6, L2_SHAPES = 3 };
static const double L2_LAUNCH_BYTES = 4e9; /* most of a millisecond: launch cost vanishes */

/* tiles of threads x L2_UNROLL vectors are visited `visits` times by each block. */
typedef struct {
    bool copy;
    int threads, blocks, visits;
    uint32_t tiles;
    const uint4 *src;
    uint4 *dst;
    uint32_t *sink;
} l2_t;

/* .cg keeps the line out of L1; volatile keeps the load in the loop. */
static __device__ __forceinline__ uint4 load_l2(const uint4 *p) {
    uint4 v;
    asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}

static __device__ __forceinline__ void store_l2(uint4 *p, uint4 v) {
    asm volatile("st.global.cg.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(p), "r"(v.x), "r"(v.y),
                 "r"(v.z), "r"(v.w));
}

/* Blocks walk the set at different tiles: SMs that ask for one line at once might be served by a
 * single access to L2. */
template <bool COPY>
__global__ void __launch_bounds__(1024)
    l2_kernel(const uint4 *src, uint4 *dst, uint32_t tiles, int visits, uint32_t *sink) {
    const uint32_t advance = gridDim.x % tiles;
    uint32_t tile = blockIdx.x % tiles, bits = 0;
    for (int visit = 0; visit < visits; visit++) {
        const int64_t at = (int64_t)tile * L2_UNROLL * blockDim.x + threadIdx.x;
        uint4 x[L2_UNROLL];
#pragma unroll
        for (int i = 0; i < L2_UNROLL; i++) x[i] = load_l2(src + at + i * (int)blockDim.x);
#pragma unroll
        for (int i = 0; i < L2_UNROLL; i++) {
            if (COPY)
                store_l2(dst + at + i * (int)blockDim.x, x[i]);
            else
                bits ^= fold(x[i]);
        }
        tile += advance;
        if (tile >= tiles) tile -= tiles;
    }
    if (bits == 0x9e3779b9) *sink = bits;
}

static status_t launch_l2(void *arg, int index, stream_t stream) {
    (void)index;
    const l2_t *l = (const l2_t *)arg;
    const auto kernel = l->copy ? l2_kernel<true> : l2_kernel<false>;
    kernel<<<l->blocks, l->threads, 0, (cudaStream_t)stream>>>(l->src, l->dst, l->tiles, l->visits,
                                                               l->sink);
    CUDA_LAUNCHED("l2_kernel");
    return STATUS_OK;
}

/* Working sets of 1/8 to 6/8 of L2, a copy's two halves together; each with a few launch shapes. */
static status_t l2_method(const probe_t *probe, bool copy, uint4 *buffer) {
    static const struct {
        int threads, blocks_per_sm;
    } shapes[L2_SHAPES] = {{512, 1}, {1024, 1}, {512, 2}};
    const device_info_t *info = &probe->device->info;
    const int passes = copy ? 2 : 1;
    l2_t args[L2_SWEEP * L2_SHAPES];
    candidate_t candidates[L2_SWEEP * L2_SHAPES];
    int count = 0;
    for (int i = 0; i < L2_SWEEP * L2_SHAPES; i++) {
        const int threads = shapes[i % L2_SHAPES].threads;
        const int blocks = shapes[i % L2_SHAPES].blocks_per_sm * info->cores;
        const int64_t tile_bytes = (int64_t)sizeof(uint4) * threads * L2_UNROLL;
        const int64_t tiles = info->cache_bytes / 8 * (i / L2_SHAPES + 1) / passes / tile_bytes;
        if (tiles < blocks) continue;
        const int visits = (int)(L2_LAUNCH_BYTES / passes / (double)(blocks * tile_bytes)) + 1;
        args[count] = {.copy = copy,
                       .threads = threads,
                       .blocks = blocks,
                       .visits = visits,
                       .tiles = (uint32_t)tiles,
                       .src = buffer,
                       .dst = buffer + tiles * tile_bytes / (int64_t)sizeof(uint4),
                       .sink = (uint32_t *)probe->sink};
        candidates[count] = {launch_l2, &args[count],
                             (double)passes * visits * (double)(blocks * tile_bytes)};
        count++;
    }
    return probe_best(probe, probe_row(CEILING_L2, "", copy ? "copy" : "read", NAN, "B/s"),
                      candidates, count);
}

static status_t l2(const probe_t *probe) {
    const device_ops_t *ops = probe->device->ops;
    const size_t bytes = (size_t)probe->device->info.cache_bytes;
    void *buffer = NULL;
    status_t st = ops->alloc(probe->device, bytes, &buffer);
    if (st == STATUS_OK) st = ops->fill(probe->device, buffer, 0x3c, bytes);
    if (st == STATUS_OK) st = l2_method(probe, false, (uint4 *)buffer);
    if (st == STATUS_OK) st = l2_method(probe, true, (uint4 *)buffer);
    if (buffer) ops->free(probe->device, buffer);
    return st;
}

/* ---- L1: shared memory, which is the same storage ---- */

enum { L1_THREADS = 512, L1_UNROLL = 4, L1_ITERATIONS = 5000 };

typedef struct {
    int blocks;
    uint32_t *sink;
} l1_t;

/* Each quarter warp reads 128 consecutive bytes: no bank conflicts. */
__global__ void __launch_bounds__(L1_THREADS) l1_kernel(int iterations, uint32_t *sink) {
    __shared__ uint4 data[L1_THREADS * L1_UNROLL];
    for (int i = 0; i < L1_UNROLL; i++)
        data[i * L1_THREADS + threadIdx.x] = make_uint4(threadIdx.x, i, 3, 5);
    __syncthreads();
    const uint32_t base = (uint32_t)__cvta_generic_to_shared(&data[threadIdx.x]);
    uint32_t bits = 0;
#pragma unroll 2
    for (int n = 0; n < iterations; n++) {
        uint4 x[L1_UNROLL];
#pragma unroll
        for (int i = 0; i < L1_UNROLL; i++)
            asm volatile("ld.volatile.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                         : "=r"(x[i].x), "=r"(x[i].y), "=r"(x[i].z), "=r"(x[i].w)
                         : "r"(base + i * L1_THREADS * (uint32_t)sizeof(uint4)));
#pragma unroll
        for (int i = 0; i < L1_UNROLL; i++) bits ^= fold(x[i]);
    }
    if (bits == 0x9e3779b9) *sink = bits;
}

static status_t launch_l1(void *arg, int index, stream_t stream) {
    (void)index;
    const l1_t *l = (const l1_t *)arg;
    l1_kernel<<<l->blocks, L1_THREADS, 0, (cudaStream_t)stream>>>(L1_ITERATIONS, l->sink);
    CUDA_LAUNCHED("l1_kernel");
    return STATUS_OK;
}

static status_t l1(const probe_t *probe) {
    const int sms = probe->device->info.cores;
    const double block_bytes = (double)sizeof(uint4) * (L1_THREADS * L1_UNROLL * L1_ITERATIONS);
    l1_t args[2] = {{sms, (uint32_t *)probe->sink}, {2 * sms, (uint32_t *)probe->sink}};
    candidate_t candidates[2];
    for (int i = 0; i < 2; i++) candidates[i] = {launch_l1, &args[i], args[i].blocks * block_bytes};
    /* 32 banks of 4 bytes a clock and SM: CUDA C++ Programming Guide, "Shared memory". */
    return probe_best(probe,
                      probe_row(CEILING_L1, "", "shared_read", probe->sm_hz * sms * 128, "B/s"),
                      candidates, 2);
}

status_t ceilings_cuda_memory(const probe_t *probe) {
    status_t st = dram(probe);
    if (st == STATUS_OK) st = l2(probe);
    if (st == STATUS_OK) st = l1(probe);
    return st;
}
