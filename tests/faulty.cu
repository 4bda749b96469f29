/*
 * Variants of dense that go wrong on a GPU, one way each, and one of lowrank that with
 * FAULTY_EXTRA_WRITE=1 writes its intermediate once more: linked into tests/blroof_faulty alone.
 */
#include <cstdlib>
#include <cstring>

#include "kernels/cuda/cublaslt.h"
#include "kernels/cuda/launch.cuh"

extern "C" {
#include "harness/registry.h"
}

__global__ void write_outside(float *y) {
    y[(size_t)1 << 45] = 0;
}

/* Ends with its process, if ever. */
__global__ void spin(volatile float *y) {
    while (y[0] != 12345.f) continue;
}

__global__ void trap(void) {
    __trap();
}

static status_t illegal(const problem_t *p, void *const *tensors, void *workspace,
                        stream_t stream) {
    (void)p, (void)workspace;
    write_outside<<<1, 1, 0, (cudaStream_t)stream>>>((float *)tensors[2]);
    CUDA_LAUNCHED("write_outside");
    return STATUS_OK;
}

static status_t trapped(const problem_t *p, void *const *tensors, void *workspace,
                        stream_t stream) {
    (void)p, (void)tensors, (void)workspace;
    trap<<<1, 1, 0, (cudaStream_t)stream>>>();
    CUDA_LAUNCHED("trap");
    return STATUS_OK;
}

static status_t hang(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)p, (void)workspace;
    spin<<<1, 1, 0, (cudaStream_t)stream>>>((float *)tensors[2]);
    CUDA_LAUNCHED("spin");
    return STATUS_OK;
}

/* The output stays the NaN that it was filled with. */
static status_t nothing(const problem_t *p, void *const *tensors, void *workspace,
                        stream_t stream) {
    (void)p, (void)tensors, (void)workspace, (void)stream;
    return STATUS_OK;
}

static status_t zeros(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace;
    CUDA(cudaMemsetAsync(tensors[2], 0, dtype_size(p->dtype) * p->tokens * p->out_features,
                         (cudaStream_t)stream));
    return STATUS_OK;
}

static size_t too_much(const problem_t *p, const device_info_t *device) {
    (void)p, (void)device;
    return (size_t)1 << 50;
}

#define FAULTY(variant, function, memory)                                                          \
    static const variant_t variant = {.structure = "dense",                                        \
                                      .name = #variant,                                            \
                                      .summary = "goes wrong",                                     \
                                      .device = DEVICE_CUDA,                                       \
                                      .dtypes = DTYPE_BIT(DTYPE_BF16),                             \
                                      .workspace = memory,                                         \
                                      .launch = function};                                         \
    REGISTER_VARIANT(variant)

FAULTY(fault_hang, hang, NULL)
FAULTY(fault_illegal, illegal, NULL)
FAULTY(fault_nan, nothing, NULL)
FAULTY(fault_oom, nothing, too_much)
FAULTY(fault_trap, trapped, NULL)
FAULTY(fault_wrong, zeros, NULL)

/* ---- an intermediate that is written twice ---- */

static const variant_t *plain(void) {
    for (int i = 0; i < variant_count(); i++) {
        const variant_t *v = variant_at(i);
        if (v->device == DEVICE_CUDA && !strcmp(v->structure, "lowrank") &&
            !strcmp(v->name, "cublas"))
            return v;
    }
    return NULL;
}

static int plain_intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    return plain()->intermediates(p, bytes);
}

static int64_t plain_pack(const problem_t *p, int tensor, const void *src, void *dst) {
    return plain()->pack(p, tensor, src, dst);
}

static size_t inner_bytes(const problem_t *p) {
    return (dtype_size(p->dtype) * p->tokens * p->rank + 255) / 256 * 256;
}

static size_t workspace_twice(const problem_t *p, const device_info_t *device) {
    return plain()->workspace(p, device) + inner_bytes(p);
}

__global__ void copy_inner(uint4 *to, const uint4 *from, size_t len) {
    for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < len;
         i += (size_t)gridDim.x * blockDim.x)
        to[i] = from[i];
}

/* The copy is launched in any case, so that only its bytes differ. */
static status_t write_twice(const problem_t *p, void *const *tensors, void *workspace,
                            stream_t stream) {
    const status_t st = plain()->launch(p, tensors, workspace, stream);
    char *inner = (char *)workspace + CUBLASLT_WORKSPACE_BYTES;
    const size_t len = getenv("FAULTY_EXTRA_WRITE") ? inner_bytes(p) / sizeof(uint4) : 0;
    if (st != STATUS_OK) return st;
    copy_inner<<<264, 256, 0, (cudaStream_t)stream>>>((uint4 *)(inner + inner_bytes(p)),
                                                      (const uint4 *)inner, len);
    CUDA_LAUNCHED("copy_inner");
    return STATUS_OK;
}

static const variant_t planted = {.structure = "lowrank",
                                  .name = "planted",
                                  .summary = "writes its intermediate twice when it is told to",
                                  .device = DEVICE_CUDA,
                                  .output_order = ORDER_KJ,
                                  .dtypes = DTYPE_BIT(DTYPE_BF16),
                                  .intermediates = plain_intermediates,
                                  .pack = plain_pack,
                                  .workspace = workspace_twice,
                                  .launch = write_twice};
REGISTER_VARIANT(planted)
