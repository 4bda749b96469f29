/* V, S and U of blast/fused_fp8 as hopper_fp8.h describes them: host code. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/blast/hopper_fp8.h"
#include "kernels/blast/hopper_pack.cuh"

static const float LEAST = -100; /* power of two of a rank's scale */

/* 16-bit elements of the tiles alone. */
template <typename S> static int64_t v_elements(const problem_t *p) {
    return ceil_div(p->rank, S::RANKS) * p->blocks * ceil_div(p->in_features / p->blocks, SWIZZLE) *
           S::V_BYTES / 2;
}

template <typename S> static int64_t s_elements(const problem_t *p) {
    return round_up(p->rank, S::RANKS) * S::S_UNIT_BYTES / UNIT_RANKS / 2;
}

/* v_r of hopper_fp8.h; returns the largest. */
static float rank_norms(const problem_t *p, const uint16_t *src, float *norms) {
    const int64_t b = p->blocks, in_block = p->in_features / b, r = p->rank;
    float largest = 0;
#pragma omp parallel for reduction(max : largest)
    for (int64_t rank = 0; rank < r; rank++) {
        double most = 0;
        for (int64_t l = 0; l < b; l++) {
            double sum = 0;
            for (int64_t i = 0; i < in_block; i++) {
                const double v = half_value(p->dtype, src, (l * in_block + i) * r + rank);
                sum += v * v;
            }
            most = fmax(most, sum);
        }
        norms[rank] = (float)sqrt(most);
        largest = fmaxf(largest, norms[rank]);
    }
    if (largest == 0) largest = 1;
    for (int64_t rank = 0; rank < r; rank++) {
        const float ratio = norms[rank] / largest;
        norms[rank] = ldexpf(largest, ratio > 0 ? (int)fmaxf(ceilf(log2f(ratio)), LEAST) : 0);
    }
    return largest;
}

template <typename S>
static void pack_v_tile(const problem_t *p, int64_t tile, const float *norms, const uint16_t *src,
                        uint8_t *to) {
    const int64_t b = p->blocks, in_block = p->in_features / b, r = p->rank;
    const int64_t chunks = ceil_div(in_block, SWIZZLE), l = tile / chunks % b;
    const int64_t in0 = tile % chunks * SWIZZLE, rank0 = tile / chunks / b * S::RANKS;
    for (int row = 0; row < S::RANKS; row++) {
        const int64_t rank = rank0 + rank_of_column<S>((int)b, (int)l, row);
        for (int i = 0; i < SWIZZLE; i++) {
            uint8_t code = 0;
            if (in0 + i < in_block && rank < r)
                code = fp8_of(half_value(p->dtype, src, (l * in_block + in0 + i) * r + rank) *
                              (FP8_MAX / norms[rank]));
            to[row * SWIZZLE + swizzled_chunk<SWIZZLE>(row, i / 16) * 16 + i % 16] = code;
        }
    }
}

template <typename S>
static int64_t pack_v(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    const int64_t elements = v_elements<S>(p), tiles = elements * 2 / S::V_BYTES;
    const int64_t ranks = round_up(p->rank, S::RANKS), packed = elements + (ranks + 1) * 2;
    if (!dst) return packed;
    float *const norms = (float *)malloc(sizeof(float) * (size_t)p->rank);
    if (!norms) return packed;
    const float largest = rank_norms(p, src, norms);
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++)
        pack_v_tile<S>(p, tile, norms, src, (uint8_t *)dst + tile * S::V_BYTES);
    for (int64_t rank = 0; rank < ranks; rank++) {
        const float scale = rank < p->rank ? norms[rank] / largest : 1;
        dst[elements + 2 * rank] = dst[elements + 2 * rank + 1] =
            __bfloat16_as_ushort(__float2bfloat16(scale));
    }
    memcpy(dst + elements + 2 * ranks, &largest, sizeof largest);
    free(norms);
    return packed;
}

/* The largest norm over l of a rank of S_k. */
static float block_norm(const problem_t *p, const uint16_t *src, int64_t k) {
    const int64_t b = p->blocks, r = p->rank;
    double largest = 0;
    for (int64_t rank = 0; rank < r; rank++) {
        double sum = 0;
        for (int64_t l = 0; l < b; l++) {
            const double s = half_value(p->dtype, src, (l * b + k) * r + rank);
            sum += s * s;
        }
        largest = fmax(largest, sum);
    }
    return largest > 0 ? (float)sqrt(largest) : 1;
}

template <typename S>
static int64_t pack_s(const problem_t *p, const uint16_t *src, uint16_t *dst) {
    constexpr int ROW = 32 * S::S_WORDS * 2; /* elements of a rank */
    const int64_t b = p->blocks, r = p->rank, elements = s_elements<S>(p);
    if (!dst) return elements + b * 2;
    float norms[32];
    for (int64_t k = 0; k < b; k++) norms[k] = block_norm(p, src, k);
#pragma omp parallel for
    for (int64_t rank = 0; rank < elements / ROW; rank++)
        for (int i = 0; i < ROW; i++) {
            const s_place_t at = s_place<S>((int)b, rank, i);
            float s = 0;
            if (rank < r && at.l >= 0)
                s = half_value(p->dtype, src, (at.l * b + at.k) * r + rank) /
                    (FP8_MAX * norms[at.k]);
            dst[rank * ROW + i] = __bfloat16_as_ushort(__float2bfloat16(s));
        }
    memcpy(dst + elements, norms, sizeof(float) * (size_t)b);
    return elements + b * 2;
}

int64_t hopper_fp8_pack_v(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                          uint16_t *dst) {
    return with_shape<false>(p, tiles, [&]<typename S>() { return pack_v<S>(p, src, dst); });
}

int64_t hopper_fp8_pack_s(const problem_t *p, hopper_tiles_t tiles, const uint16_t *src,
                          uint16_t *dst) {
    return with_shape<false>(p, tiles, [&]<typename S>() { return pack_s<S>(p, src, dst); });
}

const float *hopper_fp8_v_scale(const problem_t *p, hopper_tiles_t tiles, const void *packed) {
    return with_shape<false>(p, tiles, [&]<typename S>() {
        return (const float *)((const uint16_t *)packed + v_elements<S>(p)) +
               round_up(p->rank, S::RANKS);
    });
}

const float *hopper_fp8_s_scales(const problem_t *p, hopper_tiles_t tiles, const void *packed) {
    return with_shape<false>(p, tiles, [&]<typename S>() {
        return (const float *)((const uint16_t *)packed + s_elements<S>(p));
    });
}

static void pack_u_tile(const problem_t *p, hopper_tiles_t shape, int64_t tile, const uint16_t *src,
                        uint8_t *to) {
    const int64_t q = p->out_features / p->blocks, r = p->rank, columns = shape.columns;
    const int64_t chunks = ceil_div(r, SWIZZLE), column_tiles = ceil_div(q, columns);
    const int64_t k = tile / column_tiles, column0 = tile % column_tiles * columns;
    float *const scales = (float *)(to + chunks * columns * SWIZZLE);
    for (int packed = 0; packed < columns; packed++) {
        const int place = stored_column(packed, (int)columns);
        const int64_t column = column0 + place;
        const bool there = column < q;
        float largest = 0;
        for (int64_t rank = 0; rank < r && there; rank++)
            largest = fmaxf(largest, fabsf(half_value(p->dtype, src, (k * r + rank) * q + column)));
        const float inverse = largest > 0 ? FP8_MAX / largest : 0;
        for (int64_t rank = 0; rank < chunks * SWIZZLE; rank++) {
            const int chunk = (int)(rank % SWIZZLE) / 16;
            uint8_t *const row = to + (rank / SWIZZLE * columns + packed) * SWIZZLE;
            row[swizzled_chunk<SWIZZLE>(packed, chunk) * 16 + rank % 16] =
                there && rank < r
                    ? fp8_of(half_value(p->dtype, src, (k * r + rank) * q + column) * inverse)
                    : 0;
        }
        scales[place] = largest / FP8_MAX;
    }
}

int64_t hopper_fp8_pack_u(const problem_t *p, hopper_tiles_t shape, const uint16_t *src,
                          uint16_t *dst) {
    const int64_t q = p->out_features / p->blocks, columns = shape.columns;
    const int64_t tiles = p->blocks * ceil_div(q, columns);
    const int64_t bytes = columns * (ceil_div(p->rank, SWIZZLE) * SWIZZLE + (int64_t)sizeof(float));
    if (!dst) return tiles * bytes / 2;
#pragma omp parallel for
    for (int64_t tile = 0; tile < tiles; tile++)
        pack_u_tile(p, shape, tile, src, (uint8_t *)dst + tile * bytes);
    return tiles * bytes / 2;
}
