/*
 * Hopper (sm_90a): results of wgmma to global memory by vectors. A thread's results in four
 * neighbouring 8-column groups are columns 8j + 2t + e, j = 0..3. Where the rows of B are permuted
 * within 32 (offline, for weights), they stand for 8 neighbouring columns 8t + 2j + e instead: one
 * 16-byte store.
 */
#ifndef BLROOF_WGMMA_STORE_CUH
#define BLROOF_WGMMA_STORE_CUH

#include "kernels/cuda/ptx.cuh"

/* The column of the result that row `row` of the permuted B stands for. */
__host__ __device__ constexpr int wgmma_stored_column(int row) {
    return row / 32 * 32 + row / 2 % 4 * 8 + row / 8 % 4 * 2 + row % 2;
}

/*
 * Stores 32 columns of a warpgroup's 64 rows, 16 accumulators a thread, at y: its first row, first
 * column. `rows` rows and `columns` columns from there on exist; columns is a multiple of 8.
 */
template <typename T>
__device__ inline void wgmma_store_32(T *y, int64_t ld, int rows, int columns, const float *acc) {
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32 % 4;
    const int row = warp * 16 + lane / 4, column = lane % 4 * 8;
    if (column >= columns) return;
#pragma unroll
    for (int half = 0; half < 2; half++) { /* rows row and row + 8 */
        const float *const a = acc + half * 2;
        if (row + half * 8 < rows)
            store_vector(y + (row + half * 8) * ld + column,
                         make_uint4(round_pair<T>(a[0], a[1]), round_pair<T>(a[4], a[5]),
                                    round_pair<T>(a[8], a[9]), round_pair<T>(a[12], a[13])));
    }
}

#endif
