#include "kernels/operator.h"

const char *dtype_name(dtype_t dtype) {
    static const char *const names[] = {"fp32", "bf16", "fp16"};
    return names[dtype];
}

size_t dtype_size(dtype_t dtype) {
    return dtype == DTYPE_FP32 ? 4 : 2;
}

const char *device_kind_name(device_kind_t kind) {
    static const char *const names[] = {"cpu", "cuda"};
    return names[kind];
}

int64_t tensor_count(const tensor_t *tensor) {
    int64_t count = 1;
    for (int i = 0; i < MAX_DIMS; i++) count *= tensor->dims[i];
    return count;
}
