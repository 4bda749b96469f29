/* Host side of weight streaming: what cuts depend on, and the launch (see stream.cuh). */
#ifndef BLROOF_STREAM_LAUNCH_CUH
#define BLROOF_STREAM_LAUNCH_CUH

#include "kernels/cuda/stream.cuh"

enum { STREAM_LAYERS = 3 }; /* the most of one shape that are one kernel */

/* What of a device decides shapes; supports() and launch() must come to the same ones. */
typedef struct {
    int sms, capability;
    int64_t smem_bytes; /* most a CTA may have */
} stream_device_t;

static inline stream_device_t stream_device_of(const device_info_t *info) {
    return {info->cores, info->compute_capability, info->smem_bytes};
}

static inline status_t stream_device_current(stream_device_t *out) {
    int device = 0, major = 0, minor = 0, bytes = 0;
    CUDA(cudaGetDevice(&device));
    CUDA(cudaDeviceGetAttribute(&out->sms, cudaDevAttrMultiProcessorCount, device));
    CUDA(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
    CUDA(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
    CUDA(cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
    out->capability = 10 * major + minor;
    out->smem_bytes = bytes;
    return STATUS_OK;
}

/* The NT of stream_multiply(). */
static inline int stream_columns(int64_t tokens) {
    return tokens <= 8 ? 1 : tokens <= 16 ? 2 : tokens <= 32 ? 4 : 8;
}

/*
 * How many clusters to launch for `count`: as many as there are SMs for, the rest idle until the
 * kernel may begin. Each kernel then has one CTA on every SM and leaves its place there to the same
 * one of a later kernel. Otherwise two CTAs of a kernel would meet on one SM, which all wait for.
 */
static inline unsigned stream_places(int count, int cluster, const stream_device_t *device) {
    const int most = cluster <= 2 ? device->sms / cluster : 0; /* larger ones do not fill a GPU */
    return (unsigned)(count > most ? count : most);
}

/*
 * Launches a kernel of STREAM_THREADS threads with argument `args`; from compute capability 9.0 on
 * it may begin before the kernels ahead of it have ended, and `cluster` CTAs form a cluster.
 */
template <typename ARGS>
static status_t stream_launch(void (*kernel)(ARGS), const ARGS &args, dim3 grid, int cluster,
                              int64_t smem_bytes, const stream_device_t *device, uint64_t *opted_in,
                              cudaStream_t stream) {
    int id = 0;
    CUDA(cudaGetDevice(&id));
    if (id >= 64 || !(*opted_in >> id & 1)) {
        const void *const function = (const void *)kernel;
        CUDA(cudaFuncSetAttribute(function, cudaFuncAttributePreferredSharedMemoryCarveout,
                                  cudaSharedmemCarveoutMaxShared));
        const status_t st = smem_opt_in(function, (size_t)device->smem_bytes, opted_in);
        if (st != STATUS_OK) return st;
    }
    cudaLaunchAttribute attributes[2];
    attributes[0].id = cudaLaunchAttributeProgrammaticStreamSerialization;
    attributes[0].val.programmaticStreamSerializationAllowed = 1;
    attributes[1].id = cudaLaunchAttributeClusterDimension;
    attributes[1].val.clusterDim = {(unsigned)cluster, 1, 1};
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(STREAM_THREADS);
    config.dynamicSmemBytes = (size_t)smem_bytes;
    config.stream = stream;
    config.attrs = attributes;
    config.numAttrs = device->capability < 90 ? 0 : cluster > 1 ? 2 : 1;
    CUDA(cudaLaunchKernelEx(&config, kernel, args));
    return STATUS_OK;
}

#endif
