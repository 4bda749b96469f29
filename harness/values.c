#include "harness/values.h"

#include <math.h>
#include <string.h>

double unit_roundoff(dtype_t dtype) {
    static const int exponent[] = {-24, -8, -11};
    return ldexp(1.0, exponent[dtype]);
}

static uint32_t float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float bits_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Round to nearest even. */
static uint16_t bf16_from_float(float value) {
    const uint32_t bits = float_bits(value);
    if (isnan(value)) return 0x7fc0;
    return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

/* Round to nearest even. Adding 2^(e+13) in fp32 rounds at fp16's last place. */
static uint16_t fp16_from_float(float value) {
    const uint16_t sign = (uint16_t)(float_bits(value) >> 16 & 0x8000);
    const float magnitude = fabsf(value);
    if (isnan(value)) return 0x7e00;
    if (magnitude >= 65520) return sign | 0x7c00;
    if (magnitude < 0x1p-14f) /* subnormal: units of 2^-24 */
        return (uint16_t)(sign | (uint16_t)rintf(magnitude * 0x1p24f));
    const uint32_t bits = float_bits(magnitude);
    const uint32_t rounded = bits + 0xfff + ((bits >> 13) & 1);
    return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
}

static float fp16_to_float(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31;
    const uint32_t mantissa = half & 0x3ff;
    if (exponent == 31) return bits_float(sign | 0x7f800000 | mantissa << 13);
    const float magnitude = exponent == 0 ? (float)mantissa * 0x1p-24f
                                          : bits_float((exponent + 112) << 23 | mantissa << 13);
    return sign ? -magnitude : magnitude;
}

void random_values(dtype_t dtype, uint64_t seed, int64_t count, float *values, void *bits) {
    const uint64_t key = values_mix(seed);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) {
        const float value = values_uniform(key, i);
        if (dtype == DTYPE_FP32) {
            values[i] = ((float *)bits)[i] = value;
        } else if (dtype == DTYPE_BF16) {
            const uint16_t half = bf16_from_float(value);
            ((uint16_t *)bits)[i] = half;
            values[i] = bits_float((uint32_t)half << 16);
        } else {
            const uint16_t half = fp16_from_float(value);
            ((uint16_t *)bits)[i] = half;
            values[i] = fp16_to_float(half);
        }
    }
}

static void store_rounded(dtype_t dtype, float value, void *bits, int64_t i) {
    if (dtype == DTYPE_FP32)
        ((float *)bits)[i] = value;
    else if (dtype == DTYPE_BF16)
        ((uint16_t *)bits)[i] = bf16_from_float(value);
    else
        ((uint16_t *)bits)[i] = fp16_from_float(value);
}

void round_values(dtype_t dtype, int64_t count, const float *values, void *bits) {
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) store_rounded(dtype, values[i], bits, i);
}

void draw_values(const draw_t *draw, void *bits) {
    const uint64_t key = values_mix(draw->seed);
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < draw->count; i++) {
        const float scaled = draw->spread * values_uniform(key, i);
        store_rounded(draw->dtype, draw->centre + scaled, bits, i);
    }
}

double value_at(dtype_t dtype, const void *bits, int64_t i) {
    switch (dtype) {
    case DTYPE_FP32:
        return (double)((const float *)bits)[i];
    case DTYPE_BF16:
        return (double)bits_float((uint32_t)((const uint16_t *)bits)[i] << 16);
    default:
        return (double)fp16_to_float(((const uint16_t *)bits)[i]);
    }
}
