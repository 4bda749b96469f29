/*
 * Matrix-unit ceilings of a CUDA device: the fastest GEMM that cuBLASLt has, and a loop of matrix
 * instructions that touches no memory. Operands are random: zeros draw less power and run faster.
 */
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cuda/check.cuh"
#include "kernels/cuda/cublaslt.h"
#include "roofline/ceilings_cuda.h"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define BLROOF_WGMMA 1
#endif

enum { FORMATS = CUBLASLT_FP8 + 1 };

/* k is of one matrix instruction: 32 bytes of operand. relative is the rate against bf16 on every
 * chip listed in bf16_per_clock(). */
static const struct {
    const char *dtype, *unit;
    int k, least_capability;
    double relative;
} formats[FORMATS] = {{"bf16", "FLOP/s", 16, 80, 1},
                      {"fp16", "FLOP/s", 16, 80, 1},
                      {"tf32", "FLOP/s", 8, 80, 0.5},
                      {"int8", "OP/s", 32, 80, 2},
                      {"fp8", "FLOP/s", 32, 89, 2}};

/* Dense FLOPs a clock and SM, from the peaks in the A100 and H100 whitepapers. Chips 8.6 and 8.9
 * come in boards whose fp32 accumulation runs at full or half rate: not known from the number. */
static double bf16_per_clock(int compute_capability) {
    if (compute_capability == 80) return 2048;
    return compute_capability == 90 ? 4096 : NAN;
}

static double theoretical(const probe_t *probe, int format) {
    const device_info_t *info = &probe->device->info;
    return probe->sm_hz * info->cores * bf16_per_clock(info->compute_capability) *
           formats[format].relative;
}

/* ---- random operands ---- */

/* Mixes a counter into 32 random bits (the finaliser of MurmurHash3). */
static __device__ __forceinline__ uint32_t random_bits(uint32_t x) {
    x = (x ^ x >> 16) * 0x85ebca6b;
    x = (x ^ x >> 13) * 0xc2b2ae35;
    return x ^ x >> 16;
}

/* Uniform in [-1, 1) from the low 16 bits. */
static __device__ __forceinline__ float unit_value(uint32_t bits) {
    return (float)(int16_t)bits * (1.0f / 32768);
}

/* One register of random values in [-1, 1]; for int8 that stands for all its values. */
template <int FORMAT> static __device__ uint32_t random_word(uint32_t counter) {
    const uint32_t bits = random_bits(counter);
    const float low = unit_value(bits), high = unit_value(bits >> 16);
    uint32_t word = 0;
    if (FORMAT == CUBLASLT_BF16) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
        memcpy(&word, &pair, sizeof word);
    } else if (FORMAT == CUBLASLT_FP16) {
        const __half2 pair = __floats2half2_rn(low, high);
        memcpy(&word, &pair, sizeof word);
    } else if (FORMAT == CUBLASLT_TF32) {
        word = __float_as_uint(low + high * (1.0f / 65536)) & 0xffffe000; /* 10 bits of mantissa */
    } else if (FORMAT == CUBLASLT_INT8) {
        word = bits;
    } else {
        for (int i = 0; i < 4; i++) {
            const float value = unit_value(bits << 8 * (3 - i) >> 16);
            word |= (uint32_t)__nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3) << 8 * i;
        }
    }
    return word;
}

template <int FORMAT>
__global__ void __launch_bounds__(256)
    random_kernel(uint32_t *words, int64_t count, uint32_t seed) {
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step)
        words[i] = random_word<FORMAT>(seed + (uint32_t)i);
}

/* ---- matrix instructions ---- */

/* Accumulators are float, but for int8. */
template <int FORMAT> struct accumulator { typedef float type; };
template <> struct accumulator<CUBLASLT_INT8> { typedef int32_t type; };

enum { MMA_THREADS = 256, MMA_ITERATIONS = 1500, K_STEPS = 4 };

#ifdef BLROOF_WGMMA

enum { TILE_WORDS = 256 * 32 }; /* B: 256 columns of 128 bytes along k, 32 bytes a k-step */

#define REGISTERS_128                                                                              \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, "   \
    "%127"

#define OUTPUTS_8(C, i)                                                                            \
    C(d[i]), C(d[i + 1]), C(d[i + 2]), C(d[i + 3]), C(d[i + 4]), C(d[i + 5]), C(d[i + 6]),         \
        C(d[i + 7])
#define OUTPUTS_32(C, i)                                                                           \
    OUTPUTS_8(C, i), OUTPUTS_8(C, i + 8), OUTPUTS_8(C, i + 16), OUTPUTS_8(C, i + 24)
#define OUTPUTS_128(C) OUTPUTS_32(C, 0), OUTPUTS_32(C, 32), OUTPUTS_32(C, 64), OUTPUTS_32(C, 96)

/* d (64 x 256) += a (64 x k, registers) * b (k x 256, shared memory). */
#define WGMMA(OPCODE, CONSTRAINT, MODIFIERS)                                                       \
    asm volatile("wgmma.mma_async.sync.aligned.m64n256" OPCODE " {" REGISTERS_128                  \
                 "}, {%128, %129, %130, %131}, %132, 1" MODIFIERS ";"                              \
                 : OUTPUTS_128(CONSTRAINT)                                                         \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b))

template <int FORMAT>
static __device__ __forceinline__ void multiply(typename accumulator<FORMAT>::type (&d)[128],
                                                const uint32_t (&a)[4], uint64_t b) {
    if constexpr (FORMAT == CUBLASLT_BF16)
        WGMMA("k16.f32.bf16.bf16", "+f", ", 1, 1, 0");
    else if constexpr (FORMAT == CUBLASLT_FP16)
        WGMMA("k16.f32.f16.f16", "+f", ", 1, 1, 0");
    else if constexpr (FORMAT == CUBLASLT_TF32)
        WGMMA("k8.f32.tf32.tf32", "+f", ", 1, 1");
    else if constexpr (FORMAT == CUBLASLT_INT8)
        WGMMA("k32.s32.s8.s8", "+r", "");
    else
        WGMMA("k32.f32.e4m3.e4m3", "+f", ", 1, 1");
}

/* k-major, 128-byte swizzle: groups of 8 columns are 1024 bytes apart (PTX ISA, "Matrix
 * descriptor"). The values are random, so their order inside the tile is of no matter. */
static __device__ __forceinline__ uint64_t tile_descriptor(const void *tile) {
    const uint64_t start = (uint64_t)(__cvta_generic_to_shared(tile) & 0x3ffff) >> 4;
    return start | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}

#else

/* d (16 x 8) += a (16 x k) * b (k x 8) in one warp's registers. */
#define MMA(OPCODE, CONSTRAINT)                                                                    \
    asm volatile("mma.sync.aligned." OPCODE                                                        \
                 " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                \
                 : CONSTRAINT(d[0]), CONSTRAINT(d[1]), CONSTRAINT(d[2]), CONSTRAINT(d[3])          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))

template <int FORMAT>
static __device__ __forceinline__ void multiply(typename accumulator<FORMAT>::type (&d)[4],
                                                const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    if constexpr (FORMAT == CUBLASLT_BF16)
        MMA("m16n8k16.row.col.f32.bf16.bf16.f32", "+f");
    else if constexpr (FORMAT == CUBLASLT_FP16)
        MMA("m16n8k16.row.col.f32.f16.f16.f32", "+f");
    else if constexpr (FORMAT == CUBLASLT_TF32)
        MMA("m16n8k8.row.col.f32.tf32.tf32.f32", "+f");
    else if constexpr (FORMAT == CUBLASLT_INT8)
        MMA("m16n8k32.row.col.s32.s8.s8.s32", "+r");
#if __CUDA_ARCH__ >= 890
    else
        MMA("m16n8k32.row.col.f32.e4m3.e4m3.f32", "+f");
#endif
}

#endif

/*
 * One iteration of a block is 8 warps' worth of 64 x 256 x 4 k (two warpgroups of 64 rows) on
 * either path, so that the host need not know which one the driver picked.
 */
template <int FORMAT>
__global__ void __launch_bounds__(MMA_THREADS, 1) mma_kernel(int iterations, uint32_t *sink) {
    typedef typename accumulator<FORMAT>::type acc_t;
    const uint32_t seed = (blockIdx.x * MMA_THREADS + threadIdx.x) * 64;
    uint32_t a[K_STEPS][4];
    for (int k = 0; k < K_STEPS; k++)
        for (int i = 0; i < 4; i++) a[k][i] = random_word<FORMAT>(seed + 4 * k + i);
#ifdef BLROOF_WGMMA
    __shared__ __align__(1024) uint32_t tile[TILE_WORDS];
    for (int i = threadIdx.x; i < TILE_WORDS; i += MMA_THREADS)
        tile[i] = random_word<FORMAT>(~seed - i);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    __syncthreads();
    for (int k = 0; k < K_STEPS; k++) /* pinned: none is computed among the instructions */
        for (int i = 0; i < 4; i++) asm volatile("" : "+r"(a[k][i]));
    const uint64_t b = tile_descriptor(tile);
    acc_t d[128] = {};
    for (int n = 0; n < iterations; n++) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int k = 0; k < K_STEPS; k++) multiply<FORMAT>(d, a[k], b + 2 * k);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    }
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    acc_t sum = 0;
    for (int i = 0; i < 128; i++) sum += d[i];
#else
    uint32_t b[K_STEPS][2];
    for (int k = 0; k < K_STEPS; k++)
        for (int i = 0; i < 2; i++) b[k][i] = random_word<FORMAT>(seed + 32 + 2 * k + i);
    acc_t d[K_STEPS][K_STEPS][4] = {};
    for (int n = 0; n < 8 * iterations; n++) {
#pragma unroll
        for (int i = 0; i < K_STEPS; i++)
#pragma unroll
            for (int j = 0; j < K_STEPS; j++) multiply<FORMAT>(d[i][j], a[i], b[j]);
    }
    acc_t sum = 0;
    for (int i = 0; i < K_STEPS; i++)
        for (int j = 0; j < 4 * K_STEPS; j++) sum += d[i][j / 4][j % 4];
#endif
    if (sum == (acc_t)12345679) *sink = 1; /* keeps the products alive */
}

typedef struct {
    int format, blocks;
    uint32_t *sink;
} mma_t;

static status_t launch_mma(void *arg, int index, stream_t stream) {
    (void)index;
    const mma_t *m = (const mma_t *)arg;
    static void (*const kernels[FORMATS])(int, uint32_t *) = {
        mma_kernel<CUBLASLT_BF16>, mma_kernel<CUBLASLT_FP16>, mma_kernel<CUBLASLT_TF32>,
        mma_kernel<CUBLASLT_INT8>, mma_kernel<CUBLASLT_FP8>};
    kernels[m->format]<<<m->blocks, MMA_THREADS, 0, (cudaStream_t)stream>>>(MMA_ITERATIONS,
                                                                            m->sink);
    CUDA_LAUNCHED("mma_kernel");
    return STATUS_OK;
}

static status_t mma_loop(const probe_t *probe, int format) {
    mma_t m = {format, probe->device->info.cores, (uint32_t *)probe->sink};
    const double step_ops = 2.0 * 2 * 64 * 256 * formats[format].k;
    const double steps = K_STEPS * MMA_ITERATIONS;
    const candidate_t candidate = {launch_mma, &m, m.blocks * steps * step_ops};
    return probe_best(probe,
                      probe_row(CEILING_TENSOR, formats[format].dtype, "mma_loop",
                                theoretical(probe, format), formats[format].unit),
                      &candidate, 1);
}

/* ---- cuBLASLt ---- */

static const int64_t GEMM_SIZES[] = {4096, 8192, 16384};
enum { GEMM_COUNT = sizeof GEMM_SIZES / sizeof *GEMM_SIZES };

typedef struct {
    cublaslt_peak_t format;
    int64_t n;
    void *const *buffers; /* A, B, C, workspace */
} gemm_t;

static status_t launch_gemm(void *arg, int index, stream_t stream) {
    (void)index;
    const gemm_t *g = (const gemm_t *)arg;
    return cublaslt_peak_gemm(g->format, g->n, g->buffers[0], g->buffers[1], g->buffers[2],
                              g->buffers[3], CUBLASLT_WORKSPACE_BYTES, stream);
}

static status_t fill_random(int format, void *words, size_t bytes, uint32_t seed) {
    static void (*const kernels[FORMATS])(uint32_t *, int64_t, uint32_t) = {
        random_kernel<CUBLASLT_BF16>, random_kernel<CUBLASLT_FP16>, random_kernel<CUBLASLT_TF32>,
        random_kernel<CUBLASLT_INT8>, random_kernel<CUBLASLT_FP8>};
    kernels[format]<<<1024, 256>>>((uint32_t *)words, (int64_t)(bytes / sizeof(uint32_t)), seed);
    CUDA_LAUNCHED("random_kernel");
    CUDA(cudaDeviceSynchronize());
    return STATUS_OK;
}

static void close_buffers(const probe_t *probe, void *buffers[4]) {
    for (int i = 0; i < 4; i++) {
        if (buffers[i]) probe->device->ops->free(probe->device, buffers[i]);
        buffers[i] = NULL;
    }
}

/* A and B random, C and workspace as they are; none is left allocated on failure. */
static status_t open_buffers(const probe_t *probe, int format, int64_t n, void *buffers[4]) {
    const cublaslt_peak_t peak = (cublaslt_peak_t)format;
    const size_t elements = (size_t)(n * n), in_bytes = elements * cublaslt_peak_operand_size(peak);
    const size_t bytes[4] = {in_bytes, in_bytes, elements * cublaslt_peak_result_size(peak),
                             CUBLASLT_WORKSPACE_BYTES};
    status_t st = STATUS_OK;
    for (int i = 0; i < 4 && st == STATUS_OK; i++)
        st = probe->device->ops->alloc(probe->device, bytes[i], &buffers[i]);
    for (uint32_t i = 0; i < 2 && st == STATUS_OK; i++)
        st = fill_random(format, buffers[i], bytes[i], 0x10000000u * (i + 1));
    if (st != STATUS_OK) close_buffers(probe, buffers);
    return st;
}

/* The sizes share the largest's buffers; sizes that do not fit are left out. */
static status_t gemm(const probe_t *probe, int format) {
    void *buffers[4] = {NULL, NULL, NULL, NULL};
    gemm_t args[GEMM_COUNT];
    candidate_t candidates[GEMM_COUNT];
    int count = GEMM_COUNT;
    status_t st = open_buffers(probe, format, GEMM_SIZES[count - 1], buffers);
    while (st == STATUS_OOM && --count > 0)
        st = open_buffers(probe, format, GEMM_SIZES[count - 1], buffers);
    if (st != STATUS_OK && st != STATUS_OOM) return st;
    for (int i = 0; i < count; i++) {
        const double n = (double)GEMM_SIZES[i];
        args[i] = {(cublaslt_peak_t)format, GEMM_SIZES[i], buffers};
        candidates[i] = {launch_gemm, &args[i], 2 * n * n * n};
    }
    st = probe_best(probe,
                    probe_row(CEILING_TENSOR, formats[format].dtype, "cublaslt_gemm",
                              theoretical(probe, format), formats[format].unit),
                    candidates, count);
    close_buffers(probe, buffers);
    return st;
}

status_t ceilings_cuda_tensor(const probe_t *probe) {
    status_t st = STATUS_OK;
    for (int format = 0; format < FORMATS && st == STATUS_OK; format++) {
        if (probe->device->info.compute_capability < formats[format].least_capability) continue;
        st = gemm(probe, format);
        if (st == STATUS_OK) st = mma_loop(probe, format);
    }
    return st;
}
