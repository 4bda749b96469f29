/* fp32 matrix products of the library variants, over OpenBLAS. All matrices are row-major. */
#ifndef BLROOF_CPU_BLAS_H
#define BLROOF_CPU_BLAS_H

#include "kernels/operator.h"

/* False where a dimension or leading dimension is beyond the library's integers. */
bool cpu_blas_supports(const problem_t *problem, const device_info_t *info, char *why,
                       size_t why_len);

/* C[m][n] = A[m][k] B[k][n], or A B^T with B[n][k]; a single row goes to sgemv. */
void cpu_gemm(bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
              const float *b, int64_t ldb, float *c, int64_t ldc);

/* `count` products; stride is the floats from one matrix of a batch to the next. */
typedef struct {
    int64_t count, m, n, k;
    const float *a;
    int64_t lda, a_stride;
    const float *b;
    int64_t ldb, b_stride;
    float *c;
    int64_t ldc, c_stride;
} cpu_bmm_t;

/* Threads take whole products where there are enough of them, and else share each product. */
void cpu_bmm(const cpu_bmm_t *batch);

#endif
