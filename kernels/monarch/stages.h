/*
 * Stages that several CUDA variants of monarch share. p = in/b, q = out/b, r' = r/b.
 * All pointers are device pointers; functions enqueue on `stream`.
 *
 * Packed weights, both K-contiguous: V[l][k][r'][p], one r x p matrix for each l; U[k][q][l][r'],
 * one q x r matrix for each k.
 */
#ifndef BLROOF_MONARCH_STAGES_H
#define BLROOF_MONARCH_STAGES_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* variant_t.pack and variant_t.supports of the variants built from these stages. */
int64_t monarch_pack(const problem_t *problem, int tensor, const void *src, void *dst);
bool monarch_supports(const problem_t *problem, const device_info_t *device, char *why,
                      size_t why_len);

/* T[k][n][l][r'] = X_l V_lk, one kernel that stores straight into the second bmm's layout. */
status_t monarch_first_bmm_permuted(const problem_t *problem, const void *x, const void *v, void *t,
                                    stream_t stream);

/* y[k*stride + n*ld + j] = sum_(l,r') T[k][n][l][r'] U[k][j][l][r'] by cuBLASLt. */
status_t monarch_second_bmm(const problem_t *problem, const void *t, const void *u, void *y,
                            int64_t ld, int64_t stride, void *cublas_workspace, stream_t stream);

/* A plan of monarch/fused: the kernels of monarch/chained. */
extern const variant_t monarch_chain;

/* y[n][j][k] = from[k][n][j], the order of Monarch's original code. */
status_t monarch_order_jk(const problem_t *problem, const void *from, void *y, stream_t stream);

#ifdef __cplusplus
}
#endif
#endif
