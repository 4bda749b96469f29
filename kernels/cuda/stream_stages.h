/*
 * The two kernels from which the decode plans are made, for 1 to 64 tokens (see stream.cuh).
 *
 * stream_down: T = X V. Every CTA computes a set of 16-feature tiles of T over a share of the
 * depth. With `scaled`, Z_k = sum_l s_lk * (X_l V_l) leaves it instead of T.
 *
 * stream_up: Y_k = T_k U_k. Every CTA computes a set of tiles of Y_k over the depth, or, in a
 * cluster, over a share of it; the shares are summed through distributed shared memory. With
 * `paired`, T is not read: each CTA computes its share of it, T_lk = X_l V_lk, on chip.
 *
 * Both add in a fixed order, so results repeat bit for bit.
 */
#ifndef BLROOF_STREAM_STAGES_H
#define BLROOF_STREAM_STAGES_H

#include "kernels/cuda/stream_launch.cuh"

enum { MOST_SHARES = 8 }; /* of a tile's depth in stream_down */

/*
 * V is packed [tile][block][step]: `tiles` tiles of T, each `blocks` blocks of `width` features
 * deep (blocks is 1 without scales). Tile i reads X from column i / input_tiles * width on.
 * T is [share][out_blocks][tokens][16 rank_tiles]. Without scales tile i is
 * T[.][i % input_tiles / pair_tiles][.][i / input_tiles * pair_tiles + i % pair_tiles]; with
 * scales (packed [tile][block][out block][16]), Z of every out block at tile i.
 */
typedef struct {
    const void *x, *v, *scales;
    void *t;
    int64_t in_features;
    int tokens, tiles, blocks, width, input_tiles, pair_tiles, out_blocks, rank_tiles;
    bool scaled;
    int sets, shares; /* how it is cut into CTAs */
    share_t set_share, unit_share;
    int depth, segments, parts;   /* rings, and warps a tile */
    int pitch, partials_at, s_at; /* of the operand; bytes into shared memory */
    int smem_bytes;
} stream_down_t;

/*
 * U is packed [out block][tile of Y_k][tile of T_k], V (or NULL) [out block][tile of T_k][step];
 * pair_tiles tiles of T_k read the same `width` features of X. T as stream_down writes it.
 */
typedef struct {
    const void *t, *x, *v, *u;
    void *y;
    int64_t in_features, out_features;
    int tokens, out_blocks, out_width, rank_tiles, shares;
    int width, pair_tiles;
    bool paired; /* T is computed from X and V */
    bool pairs;  /* pairs of Y are aligned words; found out at the launch */
    int sets, cluster;
    share_t set_share, rank_share;
    int depth, segments, parts, up_parts;
    int owned; /* tiles of Y_k that each CTA of a cluster adds up; the last ones fewer */
    int x_pitch, t_pitch, t_at, partials_at, received_at;
    int smem_bytes;
} stream_up_t;

/*
 * Complete the last lines of the struct from the rest, so that `ctas` CTAs fit on an SM. False if
 * shared memory cannot hold what is needed.
 */
bool stream_down_fit(stream_down_t *down, const stream_device_t *device, int ctas);
bool stream_up_fit(stream_up_t *up, const stream_device_t *device, int ctas);

/*
 * Chooses how a chain of the two is cut (sets, shares, cluster) and completes both, from what else
 * stands in them. False, and the reason in why[why_len], where it does not fit.
 */
bool stream_chain_choose(stream_down_t *down, stream_up_t *up, const stream_device_t *device,
                         char *why, size_t why_len);

/*
 * Choosing takes longer than launching, so launch() keeps what it chose last. True if *last is this
 * problem on this device; else it becomes it.
 */
typedef struct {
    problem_t problem;
    stream_device_t device;
} stream_key_t;

bool stream_key_same(stream_key_t *last, const problem_t *problem, const stream_device_t *device);

/* Bytes of T between them. */
size_t stream_chain_bytes(const stream_down_t *down);

status_t stream_down(const stream_down_t *down, dtype_t dtype, const stream_device_t *device,
                     stream_t stream);
status_t stream_up(const stream_up_t *up, dtype_t dtype, const stream_device_t *device,
                   stream_t stream);

#endif
