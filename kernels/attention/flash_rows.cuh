/*
 * Rows of scores as matrix units leave them: value 4j + i of a thread is row i / 2 of its two,
 * column 8j + 2t + i % 2, where t is the lane modulo 4 (wgmma.cuh, ptx.cuh). Four lanes share rows.
 */
#ifndef BLROOF_ATTENTION_FLASH_ROWS_CUH
#define BLROOF_ATTENTION_FLASH_ROWS_CUH

#include "kernels/cuda/ptx.cuh"

/* 2^x; -inf gives 0. */
__device__ inline float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* What is known of a thread's two rows. The sums are this thread's columns alone; the maximum is
 * finite from the start, so that a row that has seen no key yet needs no special case. */
struct rows_t {
    float largest[2] = {-1e30f, -1e30f}, sum[2] = {0, 0};
};

/* Row r sees the columns below limit[r]; `first` is the column of value 0. */
template <int VALUES>
__device__ inline void mask_scores(float (&s)[VALUES], int first, const int (&limit)[2]) {
#pragma unroll
    for (int i = 0; i < VALUES; i++)
        if (first + i / 4 * 8 + i % 2 >= limit[i / 2 % 2]) s[i] = -INFINITY;
}

/* Scores to weights 2^(factor (s - largest)). What was summed up before counts `scale` times. */
template <int VALUES>
__device__ inline void soften(float (&s)[VALUES], rows_t &rows, float factor, float (&scale)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float top[2] = {rows.largest[r], s[2 * r]}, sum[2] = {0, 0};
#pragma unroll
        for (int i = 2 * r; i < VALUES; i += 4) {
            top[0] = fmaxf(top[0], s[i]);
            top[1] = fmaxf(top[1], s[i + 1]);
        }
        float largest = fmaxf(top[0], top[1]);
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
        scale[r] = exp2_fast((rows.largest[r] - largest) * factor);
        rows.largest[r] = largest;
        const float offset = largest * factor;
#pragma unroll
        for (int i = 2 * r; i < VALUES; i += 4) {
            s[i] = exp2_fast(fmaf(s[i], factor, -offset));
            s[i + 1] = exp2_fast(fmaf(s[i + 1], factor, -offset));
            sum[0] += s[i];
            sum[1] += s[i + 1];
        }
        rows.sum[r] = fmaf(rows.sum[r], scale[r], sum[0] + sum[1]);
    }
}

template <int VALUES> __device__ inline void scale_rows(float (&o)[VALUES], const float (&by)[2]) {
#pragma unroll
    for (int i = 0; i < VALUES; i++) o[i] *= by[i / 2 % 2];
}

/* The sums of whole rows, inverted. */
__device__ inline void inverse_sums(const rows_t &rows, float (&inverse)[2]) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        float sum = rows.sum[r];
        sum += __shfl_xor_sync(0xffffffffu, sum, 1);
        sum += __shfl_xor_sync(0xffffffffu, sum, 2);
        inverse[r] = 1 / sum;
    }
}

/* Four words of each of four lanes, transposed: lane t gets word t of all of them. */
__device__ inline uint4 transpose_quad(uint32_t (&w)[4]) {
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int bit = 1; bit <= 2; bit *= 2)
#pragma unroll
        for (int low = 0; low < 4; low++)
            if ((low & bit) == 0) {
                const uint32_t sent = t & bit ? w[low] : w[low | bit];
                const uint32_t got = __shfl_xor_sync(0xffffffffu, sent, bit);
                if (t & bit)
                    w[low] = got;
                else
                    w[low | bit] = got;
            }
    return make_uint4(w[0], w[1], w[2], w[3]);
}

/* Row r (0 or 1) of a tile of the output, rounded, to `to`, the row in memory; `columns` of it
 * exist, a multiple of 8. All lanes call; `stored` says whether this one's row exists. */
template <typename T, int VALUES>
__device__ inline void store_row(const float (&o)[VALUES], int r, T *to, int columns, bool stored) {
    const int t = threadIdx.x % 4;
    constexpr int GROUPS = VALUES / 4; /* of 8 columns */
#pragma unroll
    for (int j = 0; j + 4 <= GROUPS; j += 4) {
        uint32_t w[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            w[i] = round_pair<T>(o[4 * (j + i) + 2 * r], o[4 * (j + i) + 2 * r + 1]);
        const uint4 words = transpose_quad(w);
        if (stored && 8 * (j + t) < columns) store_vector(to + 8 * (j + t), words);
    }
#pragma unroll
    for (int j = GROUPS / 4 * 4; j < GROUPS; j++)
        if (stored && 8 * j < columns)
            *(uint32_t *)(to + 8 * j + 2 * t) =
                round_pair<T>(o[4 * j + 2 * r], o[4 * j + 2 * r + 1]);
}

#endif
