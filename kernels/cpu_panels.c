#include "kernels/cpu_panels.h"

#include <string.h>

typedef struct {
    int rows, width;
    void (*gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *panels,
                 int64_t panel_stride, bool accumulate, float *c, int64_t ldc);
    void (*scale_sum)(int64_t m, int64_t n, int64_t b, const float *y, int64_t y_stride,
                      int64_t ldy, const float *s, int64_t s_stride, float *z, int64_t z_stride,
                      int64_t ldz);
} panel_ops_t;

#define SIMD_BITS 128
#include "kernels/cpu_simd.h"
/* The template comes after the vectors it is written in. */
#include "kernels/cpu_panels_simd.h"
#if defined(__x86_64__)
#undef SIMD_BITS
#define SIMD_BITS 256
#include "kernels/cpu_simd.h"
/* Second of three. */
#include "kernels/cpu_panels_simd.h"
#undef SIMD_BITS
#define SIMD_BITS 512
#include "kernels/cpu_simd.h"
/* Third of three. */
#include "kernels/cpu_panels_simd.h"
#endif

static const panel_ops_t *ops(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return &panel_ops_512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &panel_ops_256;
#endif
    return &panel_ops_128;
}

int cpu_panel_width(void) {
    return ops()->width;
}

int cpu_panel_rows(void) {
    return ops()->rows;
}

int64_t cpu_panels_count(int64_t k, int64_t n) {
    const int64_t width = cpu_panel_width();
    return (n + width - 1) / width * width * k;
}

void cpu_panels_pack(int64_t k, int64_t n, const float *b, int64_t ldb, float *panels) {
    const int64_t width = cpu_panel_width();
    for (int64_t j = 0; j < n; j += width)
        for (int64_t i = 0; i < k; i++, panels += width) {
            const int64_t cols = n - j < width ? n - j : width;
            memcpy(panels, b + i * ldb + j, (size_t)cols * sizeof *b);
            memset(panels + cols, 0, (size_t)(width - cols) * sizeof *b);
        }
}

void cpu_panels_gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                     const float *panels, int64_t panel_stride, bool accumulate, float *c,
                     int64_t ldc) {
    ops()->gemm(m, n, k, a, lda, panels, panel_stride, accumulate, c, ldc);
}

void cpu_scale_sum(int64_t m, int64_t n, int64_t b, const float *y, int64_t y_stride, int64_t ldy,
                   const float *s, int64_t s_stride, float *z, int64_t z_stride, int64_t ldz) {
    ops()->scale_sum(m, n, b, y, y_stride, ldy, s, s_stride, z, z_stride, ldz);
}
