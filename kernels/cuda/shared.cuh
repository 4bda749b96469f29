/* Loads from shared memory at addresses (smem_address() of ptx.cuh), as words of what is there. */
#ifndef BLROOF_SHARED_CUH
#define BLROOF_SHARED_CUH

#include <stdint.h>

__device__ inline uint32_t shared_load_4(uint32_t smem) {
    uint32_t word;
    asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(smem) : "memory");
    return word;
}

__device__ inline uint2 shared_load_8(uint32_t smem) {
    uint2 v;
    asm volatile("ld.shared.v2.b32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "r"(smem) : "memory");
    return v;
}

__device__ inline void shared_load_16(uint32_t *words, uint32_t smem) {
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(smem)
                 : "memory");
}

#endif
