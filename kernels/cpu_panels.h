/*
 * One core's fp32 products with static weights that were re-laid out offline, for fused kernels:
 * no packing and no threads at run time, and no loss at a single row.
 *
 * A weight B[k][n] is kept as panels [ceil(n / w)][k][w], w = cpu_panel_width(), the last panel
 * padded with zeros. Each panel is one stream of memory.
 */
#ifndef BLROOF_CPU_PANELS_H
#define BLROOF_CPU_PANELS_H

#include <stdbool.h>
#include <stdint.h>

int cpu_panel_width(void); /* columns of a panel on this CPU */
int cpu_panel_rows(void);  /* rows of A that the inner kernel takes: tiles should be multiples */

/* Floats of B[k][n] as panels. */
int64_t cpu_panels_count(int64_t k, int64_t n);
void cpu_panels_pack(int64_t k, int64_t n, const float *b, int64_t ldb, float *panels);

/*
 * C[m][n] (+)= A[m][k] B. panels points to the first row and column used, which is the first of a
 * panel; panel_stride is the floats from one panel to the next (w times B's whole k).
 */
void cpu_panels_gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                     const float *panels, int64_t panel_stride, bool accumulate, float *c,
                     int64_t ldc);

/*
 * BLAST's stage 2: Z_k[m][n] = sum over l < b of Y_l[m][n] * S[l][k][n] for all k < b, with S
 * broadcast over rows. Strides are the floats from one Y_l, one row S[l][k] or one Z_k to the next.
 */
void cpu_scale_sum(int64_t m, int64_t n, int64_t b, const float *y, int64_t y_stride, int64_t ldy,
                   const float *s, int64_t s_stride, float *z, int64_t z_stride, int64_t ldz);

#endif
