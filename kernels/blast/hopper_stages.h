/*
 * The two kernels of blast/fused on Hopper, and how their operands lie. p = in/b, q = out/b. For
 * blast/fused_fp8 see hopper_fp8.h too.
 *
 *   mix    Z_k = sum_l (X_l V_l) * s_lk   tiles of 128 tokens x `ranks` ranks, all l and k
 *   last   Y_k = Z_k U_k                  tiles of 128 tokens x `columns` columns of one k
 *
 * Z goes through the L2 cache, a chunk of token tiles at a time, as the operand of the last product
 * without swizzle, in strips of 16 bytes of each token's ranks: [k][token tile][strip][128 tokens]
 * [8 ranks], or 16 in fp8.
 */
#ifndef BLROOF_BLAST_HOPPER_STAGES_H
#define BLROOF_BLAST_HOPPER_STAGES_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TILE_TOKENS = 128,
    UNIT_RANKS = 8, /* that are mixed together */
    STRIP_BYTES = TILE_TOKENS * 16,
    WARPGROUP = 128,
    WARPGROUP_ROWS = 64,
    CONSUMERS = 2, /* warpgroups that compute; one more copies */
    STAGE_THREADS = WARPGROUP * (CONSUMERS + 1),
    STAGE_SMEM = 227 * 1024,
    SMEM_ALIGN = 1024
};

/* The tiles of a plan. */
typedef struct {
    int ranks, columns;
} hopper_tiles_t;

/* Token tiles [first, first + count) of a launch, and the strips of Z of a tile. */
typedef struct {
    int first, count, strips;
} hopper_chunk_t;

/* Packed elements, and the packed tensor unless dst is NULL: variant_t.pack of V, S and U. */
int64_t hopper_pack_v(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src, uint16_t *dst);
int64_t hopper_pack_s(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src, uint16_t *dst);
int64_t hopper_pack_u(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src, uint16_t *dst);

status_t hopper_mix(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                    void *const *tensors, void *z, stream_t stream);
status_t hopper_last(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                     void *const *tensors, const void *z, stream_t stream);

#ifdef __cplusplus
}
#endif
#endif
