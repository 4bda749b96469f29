/*
 * Vectors of one instruction set. Included once for each, with SIMD_BITS set to 512 (AVX-512F),
 * 256 (AVX2 and FMA) or 128 (what every CPU has), before a template that is included likewise:
 *
 *  SIMD_NAME(x)    x with the width appended      SIMD_LANES       floats in a vector
 *  SIMD_TARGET     attribute of every function    SIMD_FMA(a,b,c)  a * b + c
 *  SIMD_VEC        the vector type, at any alignment of a float
 *  SIMD_BROADCAST  the float in all lanes
 *  SIMD_STREAM     stores an aligned vector past the caches, where the CPU can
 */
#undef SIMD_NAME
#undef SIMD_TARGET
#undef SIMD_LANES
#undef SIMD_FMA
#undef SIMD_VEC
#undef SIMD_STREAM
#undef SIMD_BROADCAST

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define SIMD_LANES (SIMD_BITS / 32)

#if SIMD_BITS == 512
#define SIMD_NAME(x) x##_512
#define SIMD_TARGET __attribute__((target("avx512f")))
#define SIMD_FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define SIMD_BROADCAST(x) _mm512_set1_ps(x)
#define SIMD_STREAM(p, v) _mm512_stream_ps(p, v)
#elif SIMD_BITS == 256
#define SIMD_NAME(x) x##_256
#define SIMD_TARGET __attribute__((target("avx2,fma")))
#define SIMD_FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define SIMD_BROADCAST(x) _mm256_set1_ps(x)
#define SIMD_STREAM(p, v) _mm256_stream_ps(p, v)
#else
#define SIMD_NAME(x) x##_128
#define SIMD_TARGET
#if defined(__aarch64__)
#define SIMD_FMA(a, b, c) vfmaq_f32(c, a, b)
#else
#define SIMD_FMA(a, b, c) ((a) * (b) + (c))
#endif
#if defined(__x86_64__)
#define SIMD_BROADCAST(x) _mm_set1_ps(x)
#define SIMD_STREAM(p, v) _mm_stream_ps(p, v)
#else
#define SIMD_BROADCAST(x) ((x) + (SIMD_VEC){0})
#define SIMD_STREAM(p, v) (*(SIMD_VEC *)(p) = (v))
#endif
#endif

#define SIMD_VEC SIMD_NAME(vec)
typedef float SIMD_VEC __attribute__((vector_size(SIMD_BITS / 8), aligned(4), may_alias));
