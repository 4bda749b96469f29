#include "kernels/blast/stages.h"

#include "kernels/cuda/cublaslt.h"
#include "kernels/pack.h"

int64_t blast_pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const int64_t b = p->blocks;
    const int64_t dims[][MAX_DIMS] = {{1, b, p->in_features / b, p->rank},
                                      {1, 1, 1, b * b * p->rank},
                                      {1, b, p->rank, p->out_features / b}};
    static const int swapped[MAX_DIMS] = {0, 1, 3, 2}, canonical[MAX_DIMS] = {0, 1, 2, 3};
    return pack_transpose(p->dtype, dims[tensor - 1], tensor == 2 ? canonical : swapped, src, dst);
}

double blast_mix_flops(const problem_t *p) {
    return 2.0 * (double)p->tokens * (double)p->rank * (double)p->blocks * (double)p->blocks;
}

int64_t blast_inner_elements(const problem_t *p) {
    return p->blocks * p->tokens * p->rank;
}

status_t blast_last_bmm(const problem_t *p, const void *z, const void *u, void *y,
                        void *cublas_workspace, stream_t stream) {
    const int64_t block_out = p->out_features / p->blocks;
    const cublaslt_gemm_t gemm = {
        .dtype = p->dtype,
        .m = p->tokens,
        .n = block_out,
        .k = p->rank,
        .batch = p->blocks,
        .a = {.ld = p->rank, .stride = p->tokens * p->rank, .transposed = false},
        .b = {.ld = p->rank, .stride = block_out * p->rank, .transposed = true},
        .c = {.ld = p->out_features, .stride = block_out, .transposed = false}};
    return cublaslt_gemm(&gemm, z, u, y, cublas_workspace, stream);
}
