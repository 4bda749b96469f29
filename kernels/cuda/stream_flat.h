/*
 * Y = X W for a few tokens, the weights streamed from fragments (stream.cuh): a kernel without
 * tables or blocks, whose first requests leave soon after a CTA begins. One CTA an SM, with so much
 * shared memory that there is no place for a second one: where two of a kernel meet on an SM, all
 * wait for them, and which SMs the kernels ahead leave free cannot be known. The CTAs of the next
 * kernel begin one by one as these end.
 *
 * W is packed [tile of Y][step of X]. CTA (i, s) computes share i of the tiles over share s of the
 * steps; every tile is cut into groups of fragments, of which warp w takes w, w + STREAM_WARPS, ...
 * All of X that a CTA needs lies beside its rings. Sums are added in a fixed order.
 */
#ifndef BLROOF_STREAM_FLAT_H
#define BLROOF_STREAM_FLAT_H

#include "kernels/cuda/stream_launch.cuh"

enum { STREAM_SHARES = 8 };

/* Several layers of one shape are one kernel. */
typedef struct {
    const void *x, *w[STREAM_LAYERS];
    void *y[STREAM_LAYERS];
    int layers;
    int64_t x_layer;      /* elements from a layer's X to the next one's; 0: all read the same */
    int64_t x_row, y_row; /* elements from a token to the next */
    int64_t x_share, y_share; /* elements from a share of X, of Y to the next */
    int tokens, width, features;
    int x_shares;    /* X is the sum of so many, at most STREAM_SHARES: width is a multiple of 16 */
    int most_splits; /* Y may be left as so many shares, each a part of the depth */
    int splits, tile_ctas; /* CTAs along the steps, and along the tiles */
    share_t tile_share, step_share;
    int steps, depth, pitch, operand_at, partials_at, smem_bytes;
    bool pairs; /* pairs of Y are aligned words; found out at the launch */
} stream_flat_t;

/* Completes what stands from `splits` on. False where X does not fit beside the rings. */
bool stream_flat_choose(stream_flat_t *flat, const stream_device_t *device);

status_t stream_flat(const stream_flat_t *flat, dtype_t dtype, const stream_device_t *device,
                     stream_t stream);

#endif
