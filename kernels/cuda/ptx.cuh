/*
 * The few PTX instructions of the portable kernels (compute capability 8.0 and later), and the
 * conversions between fp32 and pairs of a 16-bit dtype. Pointers are generic; those named smem
 * must point to shared memory.
 */
#ifndef BLROOF_PTX_CUH
#define BLROOF_PTX_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

__device__ inline unsigned smem_address(const void *smem) {
    return (unsigned)__cvta_generic_to_shared(smem);
}

/* 4 or 16 aligned bytes to shared memory at an address. */
__device__ inline void shared_store(unsigned smem, uint32_t word) {
    asm volatile("st.shared.b32 [%0], %1;" ::"r"(smem), "r"(word) : "memory");
}

__device__ inline void shared_store(unsigned smem, float4 v) {
    asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(smem), "f"(v.x), "f"(v.y),
                 "f"(v.z), "f"(v.w)
                 : "memory");
}

/* Copies 16 aligned bytes asynchronously; if not valid, writes zeros and does not read. */
__device__ inline void cp_async(void *smem, const void *global, bool valid) {
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(smem_address(smem)),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
}

__device__ inline void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until at most PENDING of this thread's groups are under way. */
template <int PENDING> __device__ inline void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

/* One 16-byte store, where the compiler would split a vector that was put together from words. */
__device__ inline void store_vector(void *global, uint4 words) {
    asm volatile("st.global.v4.b32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(global)),
                 "r"(words.x), "r"(words.y), "r"(words.z), "r"(words.w)
                 : "memory");
}

/* Four 8x8 matrices of 16-bit elements; lane i gives the address of row i%8 of matrix i/8. */
__device__ inline void ldmatrix_x4(uint32_t out[4], const void *smem) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(smem_address(smem))
                 : "memory");
}

/* The same, each matrix transposed on the way. */
__device__ inline void ldmatrix_x4_transposed(uint32_t out[4], const void *smem) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(smem_address(smem))
                 : "memory");
}

/* Two of them; the addresses of lanes 16 to 31 are not used. */
__device__ inline void ldmatrix_x2(uint32_t out[2], const void *smem) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(smem_address(smem))
                 : "memory");
}

/*
 * c (16x8, fp32) += a (16x16, row-major) * b (16x8, column-major). Lane = 4g + t holds
 * c: rows g, g+8 x columns 2t, 2t+1; a: rows g, g+8 x columns 2t, 2t+1 then +8; b: rows 2t, 2t+1
 * then +8 of column g (PTX ISA, mma.m16n8k16).
 */
template <typename T>
__device__ inline void mma_16816(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    if constexpr (__is_same(T, __nv_bfloat16))
        asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
            "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
            "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Two neighbours as one word, the first in the low half. */
__device__ inline uint32_t pack_pair(__nv_bfloat16 first, __nv_bfloat16 second) {
    return (uint32_t)__bfloat16_as_ushort(first) | (uint32_t)__bfloat16_as_ushort(second) << 16;
}

__device__ inline uint32_t pack_pair(__half first, __half second) {
    return (uint32_t)__half_as_ushort(first) | (uint32_t)__half_as_ushort(second) << 16;
}

template <typename T> __device__ inline uint32_t round_pair(float first, float second) {
    if constexpr (__is_same(T, __nv_bfloat16)) {
        const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
        return pack_pair(pair.x, pair.y);
    } else {
        const __half2 pair = __floats2half2_rn(first, second);
        return pack_pair(pair.x, pair.y);
    }
}

template <typename T> __device__ inline float2 widen_pair(uint32_t pair) {
    if constexpr (__is_same(T, __nv_bfloat16))
        return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
    else
        return make_float2(__half2float(__ushort_as_half((unsigned short)pair)),
                           __half2float(__ushort_as_half((unsigned short)(pair >> 16))));
}

#endif
