/* Template of cpu_panels.c: the inner kernels for the instruction set that cpu_simd.h set up. */

/* ROWS x VECS accumulators fill the registers and cover the latency of two FMAs a cycle. */
#undef ROWS
#undef VECS
#undef WIDTH
#if SIMD_BITS == 512
#define ROWS 12
#define VECS 2
#elif SIMD_BITS == 128 && defined(__aarch64__)
#define ROWS 6
#define VECS 4
#else
#define ROWS 6
#define VECS 2
#endif
#define WIDTH (VECS * SIMD_LANES)

/* C[rows][n] for one panel, n <= WIDTH; few rows are split over k so that FMAs still overlap. */
SIMD_TARGET static inline __attribute__((always_inline)) void
SIMD_NAME(block)(const int rows, const int split, int64_t n, int64_t k, const float *a, int64_t lda,
                 const float *b, bool accumulate, float *c, int64_t ldc) {
    SIMD_VEC acc[ROWS * 4][VECS];
    const SIMD_VEC zero = {0};
#pragma GCC unroll 48
    for (int i = 0; i < rows * split; i++)
#pragma GCC unroll 4
        for (int j = 0; j < VECS; j++) acc[i][j] = zero;
    int64_t at = 0;
    for (; at + split <= k; at += split) {
#pragma GCC unroll 4
        for (int s = 0; s < split; s++) {
            const float *row = b + (at + s) * WIDTH;
#pragma GCC unroll 12
            for (int i = 0; i < rows; i++) {
                const SIMD_VEC x = SIMD_BROADCAST(a[i * lda + at + s]);
#pragma GCC unroll 4
                for (int j = 0; j < VECS; j++)
                    acc[s * rows + i][j] = SIMD_FMA(x, *(const SIMD_VEC *)(row + j * SIMD_LANES),
                                                    acc[s * rows + i][j]);
            }
        }
    }
    for (; at < k; at++)
#pragma GCC unroll 12
        for (int i = 0; i < rows; i++) {
            const SIMD_VEC x = SIMD_BROADCAST(a[i * lda + at]);
#pragma GCC unroll 4
            for (int j = 0; j < VECS; j++)
                acc[i][j] =
                    SIMD_FMA(x, *(const SIMD_VEC *)(b + at * WIDTH + j * SIMD_LANES), acc[i][j]);
        }
#pragma GCC unroll 12
    for (int i = 0; i < rows; i++) {
        float tail[WIDTH] = {0};
        float *to = n == WIDTH ? c + i * ldc : tail;
        if (n < WIDTH && accumulate) memcpy(tail, c + i * ldc, (size_t)n * sizeof *c);
#pragma GCC unroll 4
        for (int j = 0; j < VECS; j++) {
#pragma GCC unroll 4
            for (int s = 1; s < split; s++) acc[i][j] += acc[s * rows + i][j];
            if (accumulate) acc[i][j] += *(SIMD_VEC *)(to + j * SIMD_LANES);
            *(SIMD_VEC *)(to + j * SIMD_LANES) = acc[i][j];
        }
        if (n < WIDTH) memcpy(c + i * ldc, tail, (size_t)n * sizeof *c);
    }
}

#define BLOCK(rows, split)                                                                         \
    case rows:                                                                                     \
        SIMD_NAME(block)(rows, split, n, k, a, lda, b, accumulate, c, ldc);                        \
        break;

SIMD_TARGET static void SIMD_NAME(panel)(int rows, int64_t n, int64_t k, const float *a,
                                         int64_t lda, const float *b, bool accumulate, float *c,
                                         int64_t ldc) {
    switch (rows) {
        BLOCK(1, 4)
        BLOCK(2, 2)
        BLOCK(3, 2)
        BLOCK(4, 1)
        BLOCK(5, 1)
        BLOCK(6, 1)
#if ROWS > 6
        BLOCK(7, 1)
        BLOCK(8, 1)
        BLOCK(9, 1)
        BLOCK(10, 1)
        BLOCK(11, 1)
        BLOCK(12, 1)
#endif
    }
}
#undef BLOCK

/*
 * A weight that stays in L2 is gone through once for every ROWS rows, so that A is read once: its
 * rows may be a power of two apart and then do not stay in any cache. A larger weight is read once.
 */
static void SIMD_NAME(gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                            const float *panels, int64_t panel_stride, bool accumulate, float *c,
                            int64_t ldc) {
    enum { SMALL = 24 << 10 }; /* floats */
    const int64_t columns = n * k <= SMALL ? n : WIDTH;
    for (int64_t first = 0; first < n; first += columns)
        for (int64_t i = 0; i < m; i += ROWS)
            for (int64_t j = first; j < n && j < first + columns; j += WIDTH) SIMD_NAME(panel)
    ((int)(m - i < ROWS ? m - i : ROWS), n - j < WIDTH ? n - j : WIDTH, k, a + i * lda, lda,
     panels + j / WIDTH * panel_stride, accumulate, c + i * ldc + j, ldc);
}

/* Z[rows][2 vectors]; scales are loaded once for all rows. */
SIMD_TARGET static inline __attribute__((always_inline)) void
SIMD_NAME(scale_block)(const int rows, int64_t count, const float *y, int64_t y_stride, int64_t ldy,
                       const float *s, int64_t s_stride, float *z, int64_t ldz) {
    SIMD_VEC acc[4][2];
    const SIMD_VEC zero = {0};
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = zero;
    for (int64_t l = 0; l < count; l++, y += y_stride, s += s_stride)
#pragma GCC unroll 4
        for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
            for (int j = 0; j < 2; j++)
                acc[i][j] = SIMD_FMA(*(const SIMD_VEC *)(y + i * ldy + j * SIMD_LANES),
                                     *(const SIMD_VEC *)(s + j * SIMD_LANES), acc[i][j]);
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) *(SIMD_VEC *)(z + i * ldz + j * SIMD_LANES) = acc[i][j];
}

/* All k for a few rows and columns at a time: Y and S come from L1 but for the first k. */
SIMD_TARGET static void SIMD_NAME(scale_sum)(int64_t m, int64_t n, int64_t b, const float *y,
                                             int64_t y_stride, int64_t ldy, const float *s,
                                             int64_t s_stride, float *z, int64_t z_stride,
                                             int64_t ldz) {
    const int64_t wide = n / (2 * SIMD_LANES) * (2 * SIMD_LANES);
    for (int64_t t = 0; t < wide; t += 2 * SIMD_LANES)
        for (int64_t i = 0; i < m; i += 4)
            for (int64_t k = 0; k < b; k++) {
                const float *scale = s + k * s_stride + t;
                for (int64_t row = i; i + 4 > m && row < m; row++) SIMD_NAME(scale_block)
                (1, b, y + row * ldy + t, y_stride, ldy, scale, b * s_stride,
                 z + k * z_stride + row * ldz + t, ldz);
                if (i + 4 <= m) SIMD_NAME(scale_block)
                (4, b, y + i * ldy + t, y_stride, ldy, scale, b * s_stride,
                 z + k * z_stride + i * ldz + t, ldz);
            }
    for (int64_t k = 0; k < b; k++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t t = wide; t < n; t++) {
                float sum = 0;
                for (int64_t l = 0; l < b; l++)
                    sum += y[l * y_stride + i * ldy + t] * s[(l * b + k) * s_stride + t];
                z[k * z_stride + i * ldz + t] = sum;
            }
}

static const panel_ops_t SIMD_NAME(panel_ops) = {
    .rows = ROWS,
    .width = WIDTH,
    .gemm = SIMD_NAME(gemm),
    .scale_sum = SIMD_NAME(scale_sum),
};
