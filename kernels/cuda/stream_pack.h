/* Offline packing of 16-bit weights into the fragments of kernels/cuda/stream.cuh. */
#ifndef BLROOF_STREAM_PACK_H
#define BLROOF_STREAM_PACK_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Packs a matrix of `features` x `depth` elements, src[feature * feature_stride + i *
 * depth_stride], padded with zeros to multiples of 16: the fragments of 16 features lie in order of
 * depth, and those of the next 16 begin `tile_stride` elements later.
 */
void fragments_pack(int64_t features, int64_t depth, const uint16_t *src, int64_t feature_stride,
                    int64_t depth_stride, uint16_t *dst, int64_t tile_stride);

#ifdef __cplusplus
}
#endif
#endif
