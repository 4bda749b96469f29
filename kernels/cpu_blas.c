#include "kernels/cpu_blas.h"

#include <cblas.h>
#include <limits.h>
#include <omp.h>
#include <stdio.h>

enum { PARALLEL_PTHREADS = 1 }; /* openblas_get_parallel() */

bool cpu_blas_supports(const problem_t *problem, const device_info_t *info, char *why,
                       size_t why_len) {
    (void)info;
    const int64_t sizes[] = {problem->tokens, problem->in_features, problem->out_features,
                             problem->rank};
    for (int i = 0; i < 4; i++)
        if (sizes[i] > INT_MAX) {
            snprintf(why, why_len, "%lld is beyond the 32-bit integers of BLAS",
                     (long long)sizes[i]);
            return false;
        }
    return true;
}

void cpu_gemm(bool transpose_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
              const float *b, int64_t ldb, float *c, int64_t ldc) {
    if (m == 1 && transpose_b)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, (blasint)n, (blasint)k, 1, b, (blasint)ldb, a, 1,
                    0, c, 1);
    else if (m == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, (blasint)k, (blasint)n, 1, b, (blasint)ldb, a, 1, 0,
                    c, 1);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans,
                    (blasint)m, (blasint)n, (blasint)k, 1, a, (blasint)lda, b, (blasint)ldb, 0, c,
                    (blasint)ldc);
}

static void product(const cpu_bmm_t *x, int64_t i) {
    cpu_gemm(false, x->m, x->n, x->k, x->a + i * x->a_stride, x->lda, x->b + i * x->b_stride,
             x->ldb, x->c + i * x->c_stride, x->ldc);
}

void cpu_bmm(const cpu_bmm_t *batch) {
    if (batch->count < omp_get_max_threads()) {
        for (int64_t i = 0; i < batch->count; i++) product(batch, i);
        return;
    }
    /* An OpenMP build runs serially inside a parallel region; a pthreads build must be told to. */
    const bool pthreads = openblas_get_parallel() == PARALLEL_PTHREADS;
    const int threads = openblas_get_num_threads();
    if (pthreads) openblas_set_num_threads(1);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < batch->count; i++) product(batch, i);
    if (pthreads) openblas_set_num_threads(threads);
}
