/* fp8 (e4m3: 3 bits of mantissa, the largest value 448) for weights on the host, registers on the
 * device, and whole rows of an input. */
#ifndef BLROOF_FP8_CUH
#define BLROOF_FP8_CUH

#include <cuda_fp8.h>

#include "kernels/operator.h"

static constexpr float FP8_MAX = 448;

static inline uint8_t fp8_of(float value) {
    return __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3);
}

/* Element i of a 16-bit array. */
static inline float half_value(dtype_t dtype, const uint16_t *bits, int64_t i) {
    return dtype == DTYPE_BF16 ? __bfloat162float(__ushort_as_bfloat16(bits[i]))
                               : __half2float(__ushort_as_half(bits[i]));
}

/* Four neighbours as one word, the first in the lowest byte. Beyond 448 they become 448. */
__device__ inline uint32_t fp8_quad(float first, float second, float third, float fourth) {
    const uint32_t low =
        __nv_cvt_float2_to_fp8x2(make_float2(first, second), __NV_SATFINITE, __NV_E4M3);
    const uint32_t high =
        __nv_cvt_float2_to_fp8x2(make_float2(third, fourth), __NV_SATFINITE, __NV_E4M3);
    return low | high << 16;
}

/*
 * The rows of X in fp8, a scale each: x = code * scale, scale = the row's largest magnitude / 448.
 * A row is row_bytes long, a multiple of 16; what is beyond in_features is not written.
 */
typedef struct {
    uint8_t *codes;
    float *scales;
    int64_t row_bytes;
} fp8_rows_t;

enum { FP8_ROW_MOST = 32768 }; /* elements of a row */

/* Where they lie in a workspace, and how large that is. */
static inline fp8_rows_t fp8_rows_at(const problem_t *p, void *workspace) {
    const int64_t row_bytes = (p->in_features + 15) / 16 * 16;
    return {(uint8_t *)workspace, (float *)((char *)workspace + p->tokens * row_bytes), row_bytes};
}

static inline size_t fp8_rows_bytes(const problem_t *p) {
    return (size_t)p->tokens * ((p->in_features + 15) / 16 * 16 + sizeof(float));
}

/* Enqueues the kernel that fills them; it may start before the kernel ahead has ended. in_features
 * is a multiple of 8, at most FP8_ROW_MOST. */
status_t fp8_quantise_rows(const problem_t *p, const void *x, fp8_rows_t to, stream_t stream);

/* The same with scale = the row's norm / 448; its square has to be within the range of fp32. */
status_t fp8_quantise_rows_by_norm(const problem_t *p, const void *x, fp8_rows_t to,
                                   stream_t stream);

#endif
