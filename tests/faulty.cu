/* Variants of dense that go wrong on a GPU, one way each: linked into tests/blroof_faulty alone. */
#include "kernels/cuda/launch.cuh"

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
