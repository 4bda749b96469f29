/*
 * Tiles in shared memory for mma kernels: ROWS x 64 elements of 16 bits, rows K-contiguous (A as
 * tokens x K, B as columns x K). A row is eight 16-byte chunks; chunk c of row i lies at c ^ i%8,
 * so that the eight rows that one ldmatrix phase reads fall into different banks.
 */
#ifndef BLROOF_TILE_CUH
#define BLROOF_TILE_CUH

#include "kernels/cuda/ptx.cuh"

enum { TILE_K = 64, TILE_CHUNKS = 8 };

__host__ __device__ inline int tile_offset(int row, int chunk) {
    return row * TILE_K + ((chunk ^ (row & 7)) << 3);
}

/*
 * Starts the copy of columns [k, k + 64) of `rows` rows from `global` (row 0, column 0; `ld`
 * elements a row) into a tile; what lies beyond `rows` or `columns` becomes zero. VEC elements move
 * at once: global, ld and columns must be multiples of it. VEC 1 stores before it returns; the
 * others are complete after cp_async_commit() and a wait.
 */
template <int ROWS, int THREADS, int VEC, typename T>
__device__ inline void tile_load(T *tile, const T *global, int64_t ld, int rows, int64_t k,
                                 int64_t columns) {
    constexpr int STEP = THREADS / TILE_CHUNKS; /* rows a pass of the block covers */
    static_assert(ROWS % STEP == 0 && STEP % 8 == 0, "passes keep a thread's place in a row");
    const int row0 = (int)threadIdx.x / TILE_CHUNKS, chunk = (int)threadIdx.x % TILE_CHUNKS;
    const int64_t left = columns - k - chunk * 8; /* columns from this thread's on */
    const T *from = global + row0 * ld + k + chunk * 8;
    T *to = tile + tile_offset(row0, chunk);
#pragma unroll
    for (int row = row0; row < row0 + ROWS; row += STEP) {
        if constexpr (VEC == 8) {
            cp_async<16>(to, from, row < rows && left > 0);
        } else if constexpr (VEC == 4) {
            cp_async<8>(to, from, row < rows && left > 0);
            cp_async<8>(to + 4, from + 4, row < rows && left > 4);
        } else {
            uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
            for (int e = 0; e < 8; e++)
                if (row < rows && e < left)
                    words[e / 2] |= (uint32_t)((const uint16_t *)from)[e] << (e % 2 * 16);
            *(uint4 *)to = make_uint4(words[0], words[1], words[2], words[3]);
        }
        from += STEP * ld;
        to += STEP * TILE_K;
    }
}

/*
 * acc += A B over one pair of tiles, for this warp's MT x NT grid of 16x8 results, whose first row
 * is row_a of tile a and whose first column is row_b of tile b (multiples of 8).
 */
template <typename T, int MT, int NT>
__device__ inline void tile_mma(float acc[MT][NT][4], const T *a, const T *b, int row_a,
                                int row_b) {
    const int lane = (int)threadIdx.x % 32, flip = lane & 7;
    const T *const a_row = a + (row_a + lane % 16) * TILE_K;
    const T *const b_row = b + (row_b + lane / 16 * 8 + flip) * TILE_K;
#pragma unroll
    for (int step = 0; step < TILE_K / 16; step++) {
        const int chunk_a = ((2 * step + lane / 16) ^ flip) << 3;
        const int chunk_b = ((2 * step + lane / 8 % 2) ^ flip) << 3;
        uint32_t a_part[MT][4], b_part[NT][2];
#pragma unroll
        for (int i = 0; i < MT; i++) ldmatrix_x4(a_part[i], a_row + i * 16 * TILE_K + chunk_a);
        if constexpr (NT == 1) {
            ldmatrix_x2(b_part[0], b + (row_b + flip) * TILE_K + chunk_b);
        } else {
            static_assert(NT == 1 || NT % 2 == 0, "B comes in pairs of 8 columns");
#pragma unroll
            for (int j = 0; j < NT; j += 2)
                ldmatrix_x4(b_part[j], b_row + j * 8 * TILE_K + chunk_b);
        }
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < NT; j++) mma_16816<T>(acc[i][j], a_part[i], b_part[j]);
    }
}

/* Rounds this warp's results into a row-major tile of `pitch` elements a row. */
template <typename T, int MT, int NT>
__device__ inline void tile_store(T *tile, int pitch, const float acc[MT][NT][4], int row,
                                  int column) {
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < MT; i++)
#pragma unroll
        for (int j = 0; j < NT; j++) {
            T *const to = tile + (row + i * 16 + lane / 4) * pitch + column + j * 8 + lane % 4 * 2;
            *(uint32_t *)to = round_pair<T>(acc[i][j][0], acc[i][j][1]);
            *(uint32_t *)(to + 8 * pitch) = round_pair<T>(acc[i][j][2], acc[i][j][3]);
        }
}

#endif
