#include "kernels/cuda/stream_pack.h"

#include <stdbool.h>

enum { SIDE = 16, ELEMENTS = SIDE * SIDE, LANE_ELEMENTS = 8 };

/*
 * Where element e of lane 4g + t comes from. The registers of operand A are e/2 = 0..3: rows g,
 * g+8, g, g+8 and depths 2t, 2t, 2t+8, 2t+8 of the instruction. They are given the features 2g,
 * 2g+1 and the depths 4t, 4t+2, so that operand B and the results of a lane are neighbours.
 */
static int feature_of(int lane, int e) {
    return 2 * (lane / 4) + e / 2 % 2;
}

static int depth_of(int lane, int e) {
    return 4 * (lane % 4) + e / 4 * 2 + e % 2;
}

/* One fragment at an edge: zeros where there is nothing. */
static void pack_edge(int64_t features, int64_t depth, const uint16_t *from, int64_t feature_stride,
                      int64_t depth_stride, uint16_t *to) {
    for (int i = 0; i < ELEMENTS; i++) {
        const int feature = feature_of(i / LANE_ELEMENTS, i % LANE_ELEMENTS);
        const int d = depth_of(i / LANE_ELEMENTS, i % LANE_ELEMENTS);
        const bool there = feature < features && d < depth;
        to[i] = there ? from[feature * feature_stride + d * depth_stride] : 0;
    }
}

void fragments_pack(int64_t features, int64_t depth, const uint16_t *src, int64_t feature_stride,
                    int64_t depth_stride, uint16_t *dst, int64_t tile_stride) {
    int64_t offsets[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        offsets[i] = feature_of(i / LANE_ELEMENTS, i % LANE_ELEMENTS) * feature_stride +
                     depth_of(i / LANE_ELEMENTS, i % LANE_ELEMENTS) * depth_stride;
#pragma omp parallel for schedule(static)
    for (int64_t f = 0; f < features; f += SIDE)
        for (int64_t d = 0; d < depth; d += SIDE) {
            const uint16_t *from = src + f * feature_stride + d * depth_stride;
            uint16_t *to = dst + f / SIDE * tile_stride + d / SIDE * ELEMENTS;
            if (features - f < SIDE || depth - d < SIDE) {
                pack_edge(features - f, depth - d, from, feature_stride, depth_stride, to);
                continue;
            }
            for (int i = 0; i < ELEMENTS; i++) to[i] = from[offsets[i]];
        }
}
