#include "kernels/pack.h"

#include <string.h>

int64_t pack_transpose(dtype_t dtype, const int64_t dims[MAX_DIMS], const int order[MAX_DIMS],
                       const void *src, void *dst) {
    int64_t count = 1, stride[MAX_DIMS], n[MAX_DIMS], s[MAX_DIMS];
    for (int i = MAX_DIMS - 1; i >= 0; i--) {
        stride[i] = count;
        count *= dims[i];
    }
    if (!dst) return count;
    for (int i = 0; i < MAX_DIMS; i++) {
        n[i] = dims[order[i]];
        s[i] = stride[order[i]];
    }
    const size_t size = dtype_size(dtype);
#pragma omp parallel for collapse(3) schedule(static)
    for (int64_t a = 0; a < n[0]; a++)
        for (int64_t b = 0; b < n[1]; b++)
            for (int64_t c = 0; c < n[2]; c++) {
                const char *from =
                    (const char *)src + size * (size_t)(a * s[0] + b * s[1] + c * s[2]);
                char *to = (char *)dst + size * (size_t)(((a * n[1] + b) * n[2] + c) * n[3]);
                if (s[3] == 1) {
                    memcpy(to, from, size * (size_t)n[3]);
                } else if (size == 2) {
                    for (int64_t d = 0; d < n[3]; d++)
                        ((uint16_t *)to)[d] = ((const uint16_t *)from)[d * s[3]];
                } else {
                    for (int64_t d = 0; d < n[3]; d++)
                        ((uint32_t *)to)[d] = ((const uint32_t *)from)[d * s[3]];
                }
            }
    return count;
}
