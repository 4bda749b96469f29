/*
 * Hopper (sm_90a): warpgroup matrix products, D (64 x N, fp32 registers) += A (64 x 16) B (16 x N)
 * for bf16 and fp16. All 128 threads of a warpgroup call together.
 *
 *     wgmma_fence();                       registers are ready (also after each mbarrier_wait)
 *     wgmma<T>(d, a, b, accumulate);       any number; N is twice the length of d
 *     wgmma_commit();                      closes a group
 *     wgmma_wait<0>();                     at most 0 groups are still under way
 *     registers_fence(d);                  before d is read: the compiler sees no other dependence
 *
 * d[4j + i] of lane 4g + t of warp w is row 16w + g + 8 (i / 2), column 8j + 2t + i % 2. With A
 * from registers, its four words are rows g, g + 8 x columns 2t, 2t + 1, then columns + 8: the
 * words round_pair(d[8s], d[8s + 1]), (8s + 2, + 3), (8s + 4, + 5), (8s + 6, + 7) of a result are K
 * step s of the next product.
 *
 * In shared memory A is 64 rows and B N rows of K-contiguous 16-bit elements ("K-major"). A tile is
 * SWIZZLE bytes wide (128, 64 or 32: 64, 32 or 16 elements) and lies row after row, eight rows a
 * swizzle pattern; 16-byte chunk c of row i lies at swizzled_chunk<SWIZZLE>(i, c). Tiles start at
 * multiples of 8 * SWIZZLE bytes, of 1024 for 128.
 */
#ifndef BLROOF_WGMMA_CUH
#define BLROOF_WGMMA_CUH

#include "kernels/cuda/ptx.cuh"

__device__ inline void wgmma_fence() {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ inline void wgmma_commit() {
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int PENDING> __device__ inline void wgmma_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(PENDING) : "memory");
}

/* Keeps the compiler from moving reads or writes of d across this point. */
template <int COUNT> __device__ inline void registers_fence(float (&d)[COUNT]) {
#pragma unroll
    for (int i = 0; i < COUNT; i++) asm volatile("" : "+f"(d[i])::"memory");
}

template <int SWIZZLE> __host__ __device__ constexpr int swizzled_chunk(int row, int chunk) {
    return SWIZZLE == 128  ? chunk ^ row % 8
           : SWIZZLE == 64 ? chunk ^ row / 2 % 4
                           : chunk ^ row / 4 % 2;
}

/* The tile at `smem` (smem_address()), from its row 0; K step s (16 elements) of the same tile is
 * wgmma_step(descriptor, s). A row that is a multiple of 8 is reached by adding row * SWIZZLE. */
template <int SWIZZLE> __device__ inline uint64_t wgmma_tile(uint32_t smem) {
    constexpr uint64_t LAYOUT = SWIZZLE == 128 ? 1 : SWIZZLE == 64 ? 2 : 3;
    constexpr uint64_t EIGHT_ROWS = 8 * SWIZZLE / 16;
    return LAYOUT << 62 | EIGHT_ROWS << 32 | UINT64_C(1) << 16 | (smem & 0x3ffff) >> 4;
}

__device__ inline uint64_t wgmma_step(uint64_t descriptor, int step) {
    return descriptor + 2 * (uint64_t)step;
}

/* No swizzle: 8 rows x 16 bytes lie together in 128 bytes; k_stride bytes to the next 8 elements
 * along K, row_stride bytes to the next 8 rows. */
__device__ inline uint64_t wgmma_tile_plain(uint32_t smem, uint32_t k_stride, uint32_t row_stride) {
    return (uint64_t)(row_stride >> 4) << 32 | (uint64_t)(k_stride >> 4) << 16 |
           (smem & 0x3ffff) >> 4;
}

/*
 * wgmma<T>(d, a, b, accumulate): A and B as descriptors, or A as four words of registers; B always
 * a descriptor. accumulate 0 overwrites d. One pair of overloads for each length of d (N / 2)
 * follows: asm wants each operand written out.
 */
// clang-format off
#define WGMMA_REGISTERS_8 "%0, %1, %2, %3"
#define WGMMA_REGISTERS_16 WGMMA_REGISTERS_8 ", " "%4, %5, %6, %7"
#define WGMMA_REGISTERS_24 WGMMA_REGISTERS_16 ", " "%8, %9, %10, %11"
#define WGMMA_REGISTERS_32 WGMMA_REGISTERS_24 ", " "%12, %13, %14, %15"
#define WGMMA_REGISTERS_40 WGMMA_REGISTERS_32 ", " "%16, %17, %18, %19"
#define WGMMA_REGISTERS_48 WGMMA_REGISTERS_40 ", " "%20, %21, %22, %23"
#define WGMMA_REGISTERS_56 WGMMA_REGISTERS_48 ", " "%24, %25, %26, %27"
#define WGMMA_REGISTERS_64 WGMMA_REGISTERS_56 ", " "%28, %29, %30, %31"
#define WGMMA_REGISTERS_72 WGMMA_REGISTERS_64 ", " "%32, %33, %34, %35"
#define WGMMA_REGISTERS_80 WGMMA_REGISTERS_72 ", " "%36, %37, %38, %39"
#define WGMMA_REGISTERS_88 WGMMA_REGISTERS_80 ", " "%40, %41, %42, %43"
#define WGMMA_REGISTERS_96 WGMMA_REGISTERS_88 ", " "%44, %45, %46, %47"
#define WGMMA_REGISTERS_104 WGMMA_REGISTERS_96 ", " "%48, %49, %50, %51"
#define WGMMA_REGISTERS_112 WGMMA_REGISTERS_104 ", " "%52, %53, %54, %55"
#define WGMMA_REGISTERS_120 WGMMA_REGISTERS_112 ", " "%56, %57, %58, %59"
#define WGMMA_REGISTERS_128 WGMMA_REGISTERS_120 ", " "%60, %61, %62, %63"
#define WGMMA_REGISTERS_136 WGMMA_REGISTERS_128 ", " "%64, %65, %66, %67"
#define WGMMA_REGISTERS_144 WGMMA_REGISTERS_136 ", " "%68, %69, %70, %71"
#define WGMMA_REGISTERS_152 WGMMA_REGISTERS_144 ", " "%72, %73, %74, %75"
#define WGMMA_REGISTERS_160 WGMMA_REGISTERS_152 ", " "%76, %77, %78, %79"
#define WGMMA_REGISTERS_168 WGMMA_REGISTERS_160 ", " "%80, %81, %82, %83"
#define WGMMA_REGISTERS_176 WGMMA_REGISTERS_168 ", " "%84, %85, %86, %87"
#define WGMMA_REGISTERS_184 WGMMA_REGISTERS_176 ", " "%88, %89, %90, %91"
#define WGMMA_REGISTERS_192 WGMMA_REGISTERS_184 ", " "%92, %93, %94, %95"
#define WGMMA_REGISTERS_200 WGMMA_REGISTERS_192 ", " "%96, %97, %98, %99"
#define WGMMA_REGISTERS_208 WGMMA_REGISTERS_200 ", " "%100, %101, %102, %103"
#define WGMMA_REGISTERS_216 WGMMA_REGISTERS_208 ", " "%104, %105, %106, %107"
#define WGMMA_REGISTERS_224 WGMMA_REGISTERS_216 ", " "%108, %109, %110, %111"
#define WGMMA_REGISTERS_232 WGMMA_REGISTERS_224 ", " "%112, %113, %114, %115"
#define WGMMA_REGISTERS_240 WGMMA_REGISTERS_232 ", " "%116, %117, %118, %119"
#define WGMMA_REGISTERS_248 WGMMA_REGISTERS_240 ", " "%120, %121, %122, %123"
#define WGMMA_REGISTERS_256 WGMMA_REGISTERS_248 ", " "%124, %125, %126, %127"
#define WGMMA_OUTPUTS_8 "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define WGMMA_OUTPUTS_16 WGMMA_OUTPUTS_8, "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7])
#define WGMMA_OUTPUTS_24 WGMMA_OUTPUTS_16, "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11])
#define WGMMA_OUTPUTS_32 WGMMA_OUTPUTS_24, "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define WGMMA_OUTPUTS_40 WGMMA_OUTPUTS_32, "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19])
#define WGMMA_OUTPUTS_48 WGMMA_OUTPUTS_40, "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23])
#define WGMMA_OUTPUTS_56 WGMMA_OUTPUTS_48, "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27])
#define WGMMA_OUTPUTS_64 WGMMA_OUTPUTS_56, "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define WGMMA_OUTPUTS_72 WGMMA_OUTPUTS_64, "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35])
#define WGMMA_OUTPUTS_80 WGMMA_OUTPUTS_72, "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39])
#define WGMMA_OUTPUTS_88 WGMMA_OUTPUTS_80, "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43])
#define WGMMA_OUTPUTS_96 WGMMA_OUTPUTS_88, "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47])
#define WGMMA_OUTPUTS_104 WGMMA_OUTPUTS_96, "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51])
#define WGMMA_OUTPUTS_112 WGMMA_OUTPUTS_104, "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55])
#define WGMMA_OUTPUTS_120 WGMMA_OUTPUTS_112, "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59])
#define WGMMA_OUTPUTS_128 WGMMA_OUTPUTS_120, "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
#define WGMMA_OUTPUTS_136 WGMMA_OUTPUTS_128, "+f"(d[64]), "+f"(d[65]), "+f"(d[66]), "+f"(d[67])
#define WGMMA_OUTPUTS_144 WGMMA_OUTPUTS_136, "+f"(d[68]), "+f"(d[69]), "+f"(d[70]), "+f"(d[71])
#define WGMMA_OUTPUTS_152 WGMMA_OUTPUTS_144, "+f"(d[72]), "+f"(d[73]), "+f"(d[74]), "+f"(d[75])
#define WGMMA_OUTPUTS_160 WGMMA_OUTPUTS_152, "+f"(d[76]), "+f"(d[77]), "+f"(d[78]), "+f"(d[79])
#define WGMMA_OUTPUTS_168 WGMMA_OUTPUTS_160, "+f"(d[80]), "+f"(d[81]), "+f"(d[82]), "+f"(d[83])
#define WGMMA_OUTPUTS_176 WGMMA_OUTPUTS_168, "+f"(d[84]), "+f"(d[85]), "+f"(d[86]), "+f"(d[87])
#define WGMMA_OUTPUTS_184 WGMMA_OUTPUTS_176, "+f"(d[88]), "+f"(d[89]), "+f"(d[90]), "+f"(d[91])
#define WGMMA_OUTPUTS_192 WGMMA_OUTPUTS_184, "+f"(d[92]), "+f"(d[93]), "+f"(d[94]), "+f"(d[95])
#define WGMMA_OUTPUTS_200 WGMMA_OUTPUTS_192, "+f"(d[96]), "+f"(d[97]), "+f"(d[98]), "+f"(d[99])
#define WGMMA_OUTPUTS_208 WGMMA_OUTPUTS_200, "+f"(d[100]), "+f"(d[101]), "+f"(d[102]), "+f"(d[103])
#define WGMMA_OUTPUTS_216 WGMMA_OUTPUTS_208, "+f"(d[104]), "+f"(d[105]), "+f"(d[106]), "+f"(d[107])
#define WGMMA_OUTPUTS_224 WGMMA_OUTPUTS_216, "+f"(d[108]), "+f"(d[109]), "+f"(d[110]), "+f"(d[111])
#define WGMMA_OUTPUTS_232 WGMMA_OUTPUTS_224, "+f"(d[112]), "+f"(d[113]), "+f"(d[114]), "+f"(d[115])
#define WGMMA_OUTPUTS_240 WGMMA_OUTPUTS_232, "+f"(d[116]), "+f"(d[117]), "+f"(d[118]), "+f"(d[119])
#define WGMMA_OUTPUTS_248 WGMMA_OUTPUTS_240, "+f"(d[120]), "+f"(d[121]), "+f"(d[122]), "+f"(d[123])
#define WGMMA_OUTPUTS_256 WGMMA_OUTPUTS_248, "+f"(d[124]), "+f"(d[125]), "+f"(d[126]), "+f"(d[127])

/* The numbers of the operands after d's are given as strings. */
#define WGMMA_SHARED_ASM(N, TYPE, A, B, ACCUMULATE)                                                \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " ACCUMULATE ", 0;\n"                           \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE                   \
                 " {" WGMMA_REGISTERS_##N "}, " A ", " B ", p, 1, 1, 0, 0;\n}"                     \
                 : WGMMA_OUTPUTS_##N : "l"(a), "l"(b), "r"(accumulate))
#define WGMMA_REGISTER_ASM(N, TYPE, A0, A1, A2, A3, B, ACCUMULATE)                                 \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " ACCUMULATE ", 0;\n"                           \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE                   \
                 " {" WGMMA_REGISTERS_##N "}, {" A0 "," A1 "," A2 "," A3 "}, " B             \
                 ", p, 1, 1, 0;\n}"                                                               \
                 : WGMMA_OUTPUTS_##N                                                               \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(accumulate))

#define WGMMA_OF(N, I0, I1, I2, I3, I4, I5)                                                        \
    template <typename T>                                                                          \
    __device__ inline void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, int accumulate) {      \
        if constexpr (__is_same(T, __nv_bfloat16))                                                 \
            WGMMA_SHARED_ASM(N, "bf16", I0, I1, I2);                                               \
        else                                                                                       \
            WGMMA_SHARED_ASM(N, "f16", I0, I1, I2);                                                \
    }                                                                                              \
    template <typename T>                                                                          \
    __device__ inline void wgmma(float (&d)[N / 2], const uint32_t *a, uint64_t b,                 \
                                 int accumulate) {                                                 \
        if constexpr (__is_same(T, __nv_bfloat16))                                                 \
            WGMMA_REGISTER_ASM(N, "bf16", I0, I1, I2, I3, I4, I5);                                 \
        else                                                                                       \
            WGMMA_REGISTER_ASM(N, "f16", I0, I1, I2, I3, I4, I5);                                  \
    }

WGMMA_OF(8, "%4", "%5", "%6", "%7", "%8", "%9")
WGMMA_OF(16, "%8", "%9", "%10", "%11", "%12", "%13")
WGMMA_OF(24, "%12", "%13", "%14", "%15", "%16", "%17")
WGMMA_OF(32, "%16", "%17", "%18", "%19", "%20", "%21")
WGMMA_OF(40, "%20", "%21", "%22", "%23", "%24", "%25")
WGMMA_OF(48, "%24", "%25", "%26", "%27", "%28", "%29")
WGMMA_OF(56, "%28", "%29", "%30", "%31", "%32", "%33")
WGMMA_OF(64, "%32", "%33", "%34", "%35", "%36", "%37")
WGMMA_OF(72, "%36", "%37", "%38", "%39", "%40", "%41")
WGMMA_OF(80, "%40", "%41", "%42", "%43", "%44", "%45")
WGMMA_OF(88, "%44", "%45", "%46", "%47", "%48", "%49")
WGMMA_OF(96, "%48", "%49", "%50", "%51", "%52", "%53")
WGMMA_OF(104, "%52", "%53", "%54", "%55", "%56", "%57")
WGMMA_OF(112, "%56", "%57", "%58", "%59", "%60", "%61")
WGMMA_OF(120, "%60", "%61", "%62", "%63", "%64", "%65")
WGMMA_OF(128, "%64", "%65", "%66", "%67", "%68", "%69")
WGMMA_OF(136, "%68", "%69", "%70", "%71", "%72", "%73")
WGMMA_OF(144, "%72", "%73", "%74", "%75", "%76", "%77")
WGMMA_OF(152, "%76", "%77", "%78", "%79", "%80", "%81")
WGMMA_OF(160, "%80", "%81", "%82", "%83", "%84", "%85")
WGMMA_OF(168, "%84", "%85", "%86", "%87", "%88", "%89")
WGMMA_OF(176, "%88", "%89", "%90", "%91", "%92", "%93")
WGMMA_OF(184, "%92", "%93", "%94", "%95", "%96", "%97")
WGMMA_OF(192, "%96", "%97", "%98", "%99", "%100", "%101")
WGMMA_OF(200, "%100", "%101", "%102", "%103", "%104", "%105")
WGMMA_OF(208, "%104", "%105", "%106", "%107", "%108", "%109")
WGMMA_OF(216, "%108", "%109", "%110", "%111", "%112", "%113")
WGMMA_OF(224, "%112", "%113", "%114", "%115", "%116", "%117")
WGMMA_OF(232, "%116", "%117", "%118", "%119", "%120", "%121")
WGMMA_OF(240, "%120", "%121", "%122", "%123", "%124", "%125")
WGMMA_OF(248, "%124", "%125", "%126", "%127", "%128", "%129")
WGMMA_OF(256, "%128", "%129", "%130", "%131", "%132", "%133")
// clang-format on

#endif
