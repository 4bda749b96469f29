/*
 * What several CUDA variants of blast share. p = in/b, q = out/b.
 *
 * Packed weights, both K-contiguous: V[l][r][p] and U[k][q][r].
 */
#ifndef BLROOF_BLAST_STAGES_H
#define BLROOF_BLAST_STAGES_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* variant_t.pack of the variants that keep S canonical. */
int64_t blast_pack(const problem_t *problem, int tensor, const void *src, void *dst);

/* The part that stage 2 has in the structure's FLOPs: variant_t.cuda_core_flops. */
double blast_mix_flops(const problem_t *problem);

/* Elements of Y or Z: b matrices of tokens x r. */
int64_t blast_inner_elements(const problem_t *problem);

/* Y[n][k*q + j] = sum_r Z[k][n][r] U[k][j][r] by cuBLASLt, on device pointers. */
status_t blast_last_bmm(const problem_t *problem, const void *z, const void *u, void *y,
                        void *cublas_workspace, stream_t stream);

/*
 * All three stages by own kernels, tokens contiguous between them, for a rank that 8 divides.
 * tensors as in variant_t.launch, weights by blast_token_pack(); y and z are scratch of
 * blast_token_elements() each.
 */
int64_t blast_token_pack(const problem_t *problem, int tensor, const void *src, void *dst);
int64_t blast_token_elements(const problem_t *problem);
status_t blast_token_stages(const problem_t *problem, void *const *tensors, void *y, void *z,
                            stream_t stream);

/* A plan of blast/fused: the kernels of blast/three_bmm. */
extern const variant_t blast_chain;

#ifdef __cplusplus
}
#endif
#endif
