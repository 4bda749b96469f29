/* Template of cpu_loops.c: the loops for the instruction set that cpu_simd.h set up. */

/* Independent chains: enough for two (NEON: four) FMAs a cycle of 4 cycles' latency. */
#undef CHAINS
#if defined(__aarch64__)
#define CHAINS 24
#else
#define CHAINS 12
#endif
#undef UNROLL
#define UNROLL 8

SIMD_TARGET static float SIMD_NAME(fma_loop)(int64_t rounds) {
    SIMD_VEC acc[CHAINS];
    const SIMD_VEC zero = {0}, factor = zero + 0.5F, term = zero + 1.0F;
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) acc[i] = zero + (float)i;
    for (int64_t r = 0; r < rounds; r++)
#pragma GCC unroll 24
        for (int i = 0; i < CHAINS; i++) acc[i] = SIMD_FMA(acc[i], factor, term);
    SIMD_VEC sum = zero;
#pragma GCC unroll 24
    for (int i = 0; i < CHAINS; i++) sum += acc[i];
    float total = 0;
    for (int i = 0; i < SIMD_LANES; i++) total += sum[i];
    return total;
}

/* From memory, one stream a core does not keep enough lines in flight: four, and prefetched. */
SIMD_TARGET static float SIMD_NAME(read_loop)(const float *a, int64_t len, bool stream) {
    enum { STREAMS = 4, STEP = UNROLL / STREAMS * SIMD_LANES, AHEAD = 512 };
    SIMD_VEC acc[UNROLL];
    const SIMD_VEC zero = {0};
#pragma GCC unroll 8
    for (int j = 0; j < UNROLL; j++) acc[j] = zero;
    for (int64_t i = 0; stream && i < len / STREAMS; i += STEP)
#pragma GCC unroll 8
        for (int j = 0; j < UNROLL; j++) {
            const float *at = a + j % STREAMS * (len / STREAMS) + i + j / STREAMS * SIMD_LANES;
            if (j < STREAMS) __builtin_prefetch(at + AHEAD);
            acc[j] += *(const SIMD_VEC *)at;
        }
    for (int64_t i = 0; !stream && i < len; i += UNROLL * SIMD_LANES)
#pragma GCC unroll 8
        for (int j = 0; j < UNROLL; j++) acc[j] += *(const SIMD_VEC *)(a + i + j * SIMD_LANES);
    SIMD_VEC sum = zero;
#pragma GCC unroll 8
    for (int j = 0; j < UNROLL; j++) sum += acc[j];
    float total = 0;
    for (int i = 0; i < SIMD_LANES; i++) total += sum[i];
    return total;
}

SIMD_TARGET static void SIMD_NAME(copy_loop)(float *to, const float *a, int64_t len, bool stream) {
    if (stream)
        for (int64_t i = 0; i < len; i += SIMD_LANES)
            SIMD_STREAM(to + i, *(const SIMD_VEC *)(a + i));
    else
        for (int64_t i = 0; i < len; i += SIMD_LANES)
            *(SIMD_VEC *)(to + i) = *(const SIMD_VEC *)(a + i);
}

SIMD_TARGET static void SIMD_NAME(triad_loop)(float *to, const float *a, const float *b,
                                              int64_t len, bool stream) {
    const SIMD_VEC factor = {0};
    if (stream)
        for (int64_t i = 0; i < len; i += SIMD_LANES)
            SIMD_STREAM(to + i, SIMD_FMA(*(const SIMD_VEC *)(b + i), factor + 0.5F,
                                         *(const SIMD_VEC *)(a + i)));
    else
        for (int64_t i = 0; i < len; i += SIMD_LANES)
            *(SIMD_VEC *)(to + i) =
                SIMD_FMA(*(const SIMD_VEC *)(b + i), factor + 0.5F, *(const SIMD_VEC *)(a + i));
}

static const cpu_loops_t SIMD_NAME(loops) = {
    .fma_flops = 2.0 * CHAINS * SIMD_LANES,
    .fma = SIMD_NAME(fma_loop),
    .read = SIMD_NAME(read_loop),
    .copy = SIMD_NAME(copy_loop),
    .triad = SIMD_NAME(triad_loop),
};
