#include "roofline/cpu_loops.h"

#define SIMD_BITS 128
#include "kernels/cpu_simd.h"
/* The template comes after the vectors it is written in. */
#include "roofline/cpu_loops_simd.h"
#if defined(__x86_64__)
#undef SIMD_BITS
#define SIMD_BITS 256
#include "kernels/cpu_simd.h"
/* Second of three. */
#include "roofline/cpu_loops_simd.h"
#undef SIMD_BITS
#define SIMD_BITS 512
#include "kernels/cpu_simd.h"
/* Third of three. */
#include "roofline/cpu_loops_simd.h"
#endif

const cpu_loops_t *cpu_loops(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return &loops_512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &loops_256;
#endif
    return &loops_128;
}
