/*
 * blast/fused_fp8 on Hopper: the chain of hopper_stages.h with X, V, Z and U in fp8 (e4m3).
 *
 * e4m3 has 3 bits of mantissa over 15 powers of two, so a scale need not be tight: values down to
 * 2^-15 of the largest one are rounded as well as it is. What it must do is bound, and norms bound
 * all that is needed without a pass over Y or Z:
 *
 *   X    code = x 448 / |x|            |x|: norm of the token
 *   V    code = v 448 / v_r            v_r: largest norm of V_l's column r over l; all v_r are
 *                                      rounded up to max v times a power of two
 *   S    s v_r / (448 s_k max v)       in bf16; s_k: largest norm over l of a rank of s_lk
 *   Z    code = z 448 / (|x| s_k max v), which is at most 448:
 *        |z| = |sum_l s_l (x_l . v_l)| <= |x| sqrt(sum_l s_l^2 |v_l|^2) <= |x| s_k max v
 *   U    code = u 448 / u_j            u_j: largest of column j of U_k
 *
 * So the mix kernel scales nothing but S, by v_r / max v, and the last kernel multiplies its result
 * by a factor a token and a factor a column. For random values the codes of X and Z are about 448 /
 * sqrt(in features): 7 for 4096, where the smallest with all bits is 2^-6.
 *
 * Packed V: tiles of rows of 128 bytes as in 16 bits | v_r / max v, a pair of the same bf16 for
 * each rank of the tiles | max v. S: as in 16 bits | s_k. U: [k][column tile]: tiles | u_j / 448.
 */
#ifndef BLROOF_BLAST_HOPPER_FP8_H
#define BLROOF_BLAST_HOPPER_FP8_H

#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/fp8.cuh"

/*
 * Of the relative error. A value rounded to 3 bits of mantissa is off by 2.6 % in the root mean
 * square; X, V, Z and U are rounded once each, and sums of products with random signs keep relative
 * errors, which add in squares: 5.1 %. Y and S in bf16 add nothing to speak of. The rest is margin
 * for values of other distributions.
 */
#define BLAST_FP8_TOLERANCE 6e-2

extern const variant_t blast_fp8_128x256, blast_fp8_128x192, blast_fp8_96x256, blast_fp8_96x232,
    blast_fp8_96x128, blast_fp8_64x256, blast_fp8_32x128, blast_fp8_32x64;

/* As hopper_pack_v and so on. */
int64_t hopper_fp8_pack_v(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                          uint16_t *dst);
int64_t hopper_fp8_pack_s(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                          uint16_t *dst);
int64_t hopper_fp8_pack_u(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                          uint16_t *dst);

/* Where max v and s_k lie in packed tensors. */
const float *hopper_fp8_v_scale(const problem_t *p, hopper_tiles_t tiles, const void *packed);
const float *hopper_fp8_s_scales(const problem_t *p, hopper_tiles_t tiles, const void *packed);

status_t hopper_mix_fp8(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                        const fp8_rows_t *x, void *const *tensors, void *z, stream_t stream);
status_t hopper_last_fp8(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                         const fp8_rows_t *x, void *const *tensors, const void *z, stream_t stream);

#endif
