/* Offline: weights as the Hopper plans want them, in 16 bits or quantised to fp8. */
#include <math.h>
#include <string.h>

#include "kernels/monarch/hopper_tile.cuh"

/* Raises *largest to the magnitude of a value; a NaN stays. */
static void raise_to(float *largest, float value) {
    if (!(fabsf(value) <= *largest)) *largest = fabsf(value);
}

static uint8_t code_of(float value, float largest) {
    return fp8_of(value * (FP8_MAX / fmaxf(largest, 1e-30f)));
}

/* Scales, and last the inverse of the constant that brings T into the range of fp8. Codes of X are
 * at most 448, so |T| is at most 448 p max|V| before it. */
static void pack_v_fp8(const problem_t *p, monarch_tile_t shape, const uint16_t *src,
                       uint8_t *dst) {
    const int64_t count = monarch_v_scales(p, shape);
    float *const scales = (float *)(dst + monarch_v_bytes(p, shape)), most = 1e-30f;
    memset(scales, 0, (size_t)count * sizeof *scales);
    monarch_walk_v(p, shape, [=](int64_t, int64_t from, int64_t scale) {
        if (from >= 0) raise_to(scales + scale, half_value(p->dtype, src, from));
    });
    monarch_walk_v(p, shape, [=](int64_t to, int64_t from, int64_t scale) {
        dst[to] = from < 0 ? 0 : code_of(half_value(p->dtype, src, from), scales[scale]);
    });
    for (int64_t i = 0; i < count; i++) raise_to(&most, scales[i]);
    const float limit = (float)(p->in_features / p->blocks) * most;
    for (int64_t i = 0; i < count; i++) scales[i] /= FP8_MAX * limit;
    scales[count] = limit;
}

/* U[k][l][r'][q] */
static void pack_u_fp8(const problem_t *p, monarch_tile_t shape, const uint16_t *src,
                       uint8_t *dst) {
    const int64_t out_block = p->out_features / p->blocks, block = p->rank * out_block;
    float *const scales = (float *)(dst + monarch_u_bytes(p, shape));
    memset(scales, 0, (size_t)p->out_features * sizeof *scales);
    for (int64_t i = 0; i < p->blocks * block; i++)
        raise_to(scales + i / block * out_block + i % out_block, half_value(p->dtype, src, i));
    monarch_walk_u(p, shape, [=](int64_t to, int64_t from, int64_t column) {
        dst[to] = from < 0 ? 0 : code_of(half_value(p->dtype, src, from), scales[column]);
    });
    for (int64_t i = 0; i < p->out_features; i++) scales[i] /= FP8_MAX;
}

/* fp8 and its scales, in elements of two bytes. */
static int64_t pack_fp8(const problem_t *p, monarch_tile_t shape, int tensor, const uint16_t *src,
                        uint8_t *dst) {
    if (dst) (tensor == 1 ? pack_v_fp8 : pack_u_fp8)(p, shape, src, dst);
    const int64_t scales = tensor == 1 ? monarch_v_scales(p, shape) + 1 : p->out_features;
    const int64_t bytes = tensor == 1 ? monarch_v_bytes(p, shape) : monarch_u_bytes(p, shape);
    return (bytes + scales * (int64_t)sizeof(float)) / (int64_t)sizeof *src;
}

int64_t monarch_hopper_pack(const problem_t *p, monarch_tile_t shape, int tensor,
                            const uint16_t *src, void *dst) {
    if (shape.bytes == 1) return pack_fp8(p, shape, tensor, src, (uint8_t *)dst);
    const auto put = [=](int64_t to, int64_t from, int64_t) {
        *(uint16_t *)((char *)dst + to) = from < 0 ? (uint16_t)0 : src[from];
    };
    if (dst && tensor == 1) monarch_walk_v(p, shape, put);
    if (dst && tensor == 2) monarch_walk_u(p, shape, put);
    return (tensor == 1 ? monarch_v_bytes(p, shape) : monarch_u_bytes(p, shape)) /
           (int64_t)sizeof *src;
}
