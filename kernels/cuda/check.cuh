/*
 * CUDA errors as status codes, for host functions that return status_t:
 *
 *     CUDA(cudaEventRecord(start, stream));
 *     permute<<<grid, block, 0, stream>>>(...);
 *     CUDA_LAUNCHED("permute");
 *
 * Out of memory is STATUS_OOM; anything else is STATUS_DEVICE with file, line and the call.
 */
#ifndef BLROOF_CHECK_CUH
#define BLROOF_CHECK_CUH

#include <cuda_runtime.h>

#include "harness/status.h"

static inline status_t cuda_fail(cudaError_t error, const char *call, const char *file, int line) {
    const status_t status = error == cudaErrorMemoryAllocation ? STATUS_OOM : STATUS_DEVICE;
    return fail(status, "%s:%d: %s: %s", file, line, call, cudaGetErrorString(error));
}

#define CUDA(call)                                                                                 \
    do {                                                                                           \
        const cudaError_t cuda_error_ = (call);                                                    \
        if (cuda_error_ != cudaSuccess) return cuda_fail(cuda_error_, #call, __FILE__, __LINE__);  \
    } while (0)

/* Right after a kernel launch: a launch that was refused returns from the function. */
#define CUDA_LAUNCHED(name)                                                                        \
    do {                                                                                           \
        const cudaError_t cuda_error_ = cudaGetLastError();                                        \
        if (cuda_error_ != cudaSuccess)                                                            \
            return cuda_fail(cuda_error_, "launch of " name, __FILE__, __LINE__);                  \
    } while (0)

#endif
