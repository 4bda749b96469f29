#include "kernels/cuda/stream_pack.h"

enum { SIDE = 16, ELEMENTS = SIDE * SIDE, LANE_ELEMENTS = 8 };

/*
 * Element e of lane 4g + t. The registers of operand A are e/2 = 0..3: rows g, g+8, g, g+8 and
 * depths 2t, 2t, 2t+8, 2t+8 of the instruction. They are given the features 2g, 2g+1 and the depths
 * 4t, 4t+2, so that operand B and the results of a lane are neighbours.
 */
static uint16_t element(int64_t features, int64_t depth, const uint16_t *src,
                        int64_t feature_stride, int64_t depth_stride, int lane, int e) {
    const int64_t feature = 2 * (lane / 4) + e / 2 % 2, i = 4 * (lane % 4) + e / 4 * 2 + e % 2;
    if (feature >= features || i >= depth) return 0;
    return src[feature * feature_stride + i * depth_stride];
}

void fragments_pack(int64_t features, int64_t depth, const uint16_t *src, int64_t feature_stride,
                    int64_t depth_stride, uint16_t *dst, int64_t tile_stride) {
#pragma omp parallel for schedule(static)
    for (int64_t f = 0; f < features; f += SIDE)
        for (int64_t d = 0; d < depth; d += SIDE) {
            const uint16_t *from = src + f * feature_stride + d * depth_stride;
            uint16_t *to = dst + f / SIDE * tile_stride + d / SIDE * ELEMENTS;
            for (int i = 0; i < ELEMENTS; i++)
                to[i] = element(features - f, depth - d, from, feature_stride, depth_stride,
                                i / LANE_ELEMENTS, i % LANE_ELEMENTS);
        }
}
