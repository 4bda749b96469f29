/* What host launchers share: sizes, SM count, large shared memory, the dtype switch. */
#ifndef BLROOF_LAUNCH_CUH
#define BLROOF_LAUNCH_CUH

#include <stdio.h>

#include "kernels/cuda/check.cuh"
#include "kernels/operator.h"

enum { PORTABLE_CAPABILITY = 80, HOPPER_CAPABILITY = 90 };

static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static inline int64_t round_up(int64_t value, int64_t multiple) {
    return ceil_div(value, multiple) * multiple;
}

/* A grid's y and z end at 65535: kernels loop over what is left. */
static inline unsigned grid_yz(int64_t wanted) {
    return (unsigned)(wanted < 65535 ? wanted : 65535);
}

/* Buffers of a workspace start at multiples of 256 bytes. */
static inline size_t buffer_bytes(const problem_t *problem, int64_t elements) {
    return (size_t)round_up(elements * (int64_t)dtype_size(problem->dtype), 256);
}

static inline bool supports_portable(const device_info_t *device, char *why, size_t why_len) {
    if (device->compute_capability >= PORTABLE_CAPABILITY) return true;
    snprintf(why, why_len, "needs compute capability 8.0, the device has %d.%d",
             device->compute_capability / 10, device->compute_capability % 10);
    return false;
}

/* Code for sm_90a runs on 9.0 alone. */
static inline bool supports_hopper(const device_info_t *device, char *why, size_t why_len) {
    if (device->compute_capability == HOPPER_CAPABILITY) return true;
    snprintf(why, why_len, "needs compute capability 9.0, the device has %d.%d",
             device->compute_capability / 10, device->compute_capability % 10);
    return false;
}

static inline status_t device_sm_count(int *out) {
    int device = 0;
    CUDA(cudaGetDevice(&device));
    CUDA(cudaDeviceGetAttribute(out, cudaDevAttrMultiProcessorCount, device));
    return STATUS_OK;
}

/* Allows a kernel `bytes` of dynamic shared memory; *done remembers the devices it was said to. */
static inline status_t smem_opt_in(const void *kernel, size_t bytes, uint64_t *done) {
    int device = 0;
    CUDA(cudaGetDevice(&device));
    if (device < 64 && *done >> device & 1) return STATUS_OK;
    CUDA(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
    if (device < 64) *done |= UINT64_C(1) << device;
    return STATUS_OK;
}

/*
 * Launches a kernel in clusters of `cluster` blocks (1: none) with programmatic dependent launch
 * where the device has it (compute capability 9.0): it may start before the kernel ahead has ended,
 * so it says dependency_wait().
 */
template <typename... PARAMETERS, typename... ARGUMENTS>
static status_t launch_overlapped(void (*kernel)(PARAMETERS...), int64_t grid, int threads,
                                  int cluster, size_t smem, void *stream, ARGUMENTS... arguments) {
    int device = 0, capability = 0;
    CUDA(cudaGetDevice(&device));
    CUDA(cudaDeviceGetAttribute(&capability, cudaDevAttrComputeCapabilityMajor, device));
    if (grid > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "%lld tiles are more than one launch can hold",
                    (long long)grid);
    cudaLaunchAttribute attributes[2] = {};
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim = {(unsigned)cluster, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = (unsigned)grid;
    config.blockDim = (unsigned)threads;
    config.dynamicSmemBytes = smem;
    config.stream = (cudaStream_t)stream;
    config.attrs = attributes;
    config.numAttrs = capability < 9 ? 0 : cluster > 1 ? 2 : 1;
    CUDA(cudaLaunchKernelEx(&config, kernel, arguments...));
    return STATUS_OK;
}

/* Waits until the kernels ahead have ended and their writes are seen. Anything they wrote may be
 * read, and anything they read may be overwritten, only after this. */
__device__ inline void dependency_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/*
 * Lets the next kernel start its blocks when all of this one's have said so or ended. First thing,
 * where its weights should be on their way long before (decoding: 8 % of a pass); after
 * dependency_wait() where the kernel is short and its loads are not the limit, for every launch
 * that waits on the chip slows the chain (kernels/blast/NOTES.md, 3 to 20 % of a small layer).
 */
__device__ inline void dependents_launch() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* function<dtype>(...) for the 16-bit dtype of a problem. */
#define DISPATCH_DTYPE(problem, function, ...)                                                     \
    ((problem)->dtype == DTYPE_BF16 ? function<__nv_bfloat16>(__VA_ARGS__)                         \
                                    : function<__half>(__VA_ARGS__))

#endif
