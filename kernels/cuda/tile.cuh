/*
 * Tiles in shared memory for mma kernels: ROWS x 64 elements of 16 bits, rows K-contiguous (A as
 * tokens x K, B as columns x K). A row is eight 16-byte chunks; chunk c of row i lies at c ^ i%8,
 * so that the eight rows that one ldmatrix phase reads fall into different banks.
 */
#ifndef BLROOF_TILE_CUH
#define BLROOF_TILE_CUH

#include "kernels/cuda/ptx.cuh"

enum { TILE_K = 64, TILE_CHUNKS = 8, TILE_PARTS = TILE_K / 16 };

__host__ __device__ inline int tile_offset(int row, int chunk) {
    return row * TILE_K + ((chunk ^ (row & 7)) << 3);
}

/*
 * Eight elements to shared memory, zeros from element `count` on. VECTOR: asynchronously, and count
 * is 0 or at least 8; else stored before the function returns.
 */
template <bool VECTOR, typename T>
__device__ inline void chunk_load(T *to, const T *from, int count) {
    if constexpr (VECTOR) {
        cp_async(to, from, count > 0);
    } else {
        uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
        for (int e = 0; e < 8; e++)
            if (e < count) words[e / 2] |= (uint32_t)((const uint16_t *)from)[e] << (e % 2 * 16);
        *(uint4 *)to = make_uint4(words[0], words[1], words[2], words[3]);
    }
}

/*
 * Starts the copy of part `part` of TILE_PARTS of columns [k, k + 64) of `rows` rows from `global`
 * (row 0, column 0; `ld` elements a row) into a tile; what lies beyond `rows` or `columns` becomes
 * zero. VECTOR: global, ld and columns are multiples of 8 elements, and the copy is complete after
 * cp_async_commit() and a wait; else it is element by element, stored before the function returns.
 */
template <int ROWS, int THREADS, bool VECTOR, typename T>
__device__ inline void tile_load_part(T *tile, const T *global, int64_t ld, int rows, int64_t k,
                                      int64_t columns, int part) {
    constexpr int STEP = THREADS / TILE_CHUNKS, PASSES = ROWS / STEP;
    static_assert(ROWS % STEP == 0 && STEP % 8 == 0, "passes keep a thread's place in a row");
    const int row0 = (int)threadIdx.x / TILE_CHUNKS, chunk = (int)threadIdx.x % TILE_CHUNKS;
    const int64_t left = columns - k - chunk * 8; /* columns from this thread's on */
    const T *const from = global + row0 * ld + k + chunk * 8;
    T *const to = tile + tile_offset(row0, chunk);
#pragma unroll
    for (int pass = part * PASSES / TILE_PARTS; pass < (part + 1) * PASSES / TILE_PARTS; pass++) {
        const bool row_valid = row0 + pass * STEP < rows;
        const T *const source = from + pass * STEP * ld;
        T *const target = to + pass * STEP * TILE_K;
        chunk_load<VECTOR>(target, source, row_valid ? (int)min(left, (int64_t)8) : 0);
    }
}

/* All parts. */
template <int ROWS, int THREADS, bool VECTOR, typename T>
__device__ inline void tile_load(T *tile, const T *global, int64_t ld, int rows, int64_t k,
                                 int64_t columns) {
#pragma unroll
    for (int part = 0; part < TILE_PARTS; part++)
        tile_load_part<ROWS, THREADS, VECTOR>(tile, global, ld, rows, k, columns, part);
}

/*
 * The operands of K step `step` (16 deep) of this warp's MT x NT grid; see tile_mma(). Tiles begin
 * at multiples of 128 bytes and a step is two chunks: so a step further is one XOR of the address,
 * and eight or sixteen rows further a constant.
 */
template <typename T, int MT, int NT, bool A_TRANSPOSED>
__device__ inline void fragments_load(uint32_t a_part[MT][4], uint32_t b_part[NT][2], const T *a,
                                      const T *b, int row_a, int row_b, int step) {
    constexpr unsigned ROW = TILE_K * sizeof(T);
    const int lane = (int)threadIdx.x % 32, eighth = lane & 7, half = lane / 8 % 2;
    const unsigned step_xor = (unsigned)step * 2 * 16;
    const unsigned a_at =
        (smem_address(a) + sizeof(T) * tile_offset(row_a + lane % 16, lane / 16)) ^ step_xor;
#pragma unroll
    for (int i = 0; i < MT; i++) {
        if constexpr (A_TRANSPOSED) {
            const int row = row_a + i * 16;
            const int m = row % TILE_K + half * 8, k = step * 16 + lane / 16 * 8 + eighth;
            ldmatrix_x4_transposed(a_part[i],
                                   a + row / TILE_K * TILE_K * TILE_K + tile_offset(k, m / 8));
        } else {
            ldmatrix_x4(a_part[i], a_at + i * 16 * ROW);
        }
    }
    const unsigned b_first = smem_address(b);
    const unsigned b_at =
        (b_first + sizeof(T) * tile_offset(row_b + lane / 16 * 8 + eighth, half)) ^ step_xor;
#pragma unroll
    for (int j = 0; j + 1 < NT; j += 2) ldmatrix_x4(b_part[j], b_at + j * 8 * ROW);
    if constexpr (NT % 2 == 1)
        ldmatrix_x2(b_part[NT - 1],
                    (b_first + sizeof(T) * tile_offset(row_b + (NT - 1) * 8 + eighth, half)) ^
                        step_xor);
}

/*
 * acc += A B over one pair of tiles, for this warp's MT x NT grid of 16x8 results, whose first row
 * is row_a of tile a and whose first column is row_b of tile b (multiples of 8). A_TRANSPOSED: a is
 * a row of 64 x 64 tiles whose stored rows are K and whose columns are the rows of A. next(part)
 * is called TILE_PARTS times, to load parts of a later stage in the shadow of the arithmetic.
 */
template <typename T, int MT, int NT, bool A_TRANSPOSED, typename NEXT>
__device__ inline void tile_mma(float acc[MT][NT][4], const T *a, const T *b, int row_a, int row_b,
                                NEXT next) {
    uint32_t a_part[2][MT][4], b_part[2][NT][2];
    fragments_load<T, MT, NT, A_TRANSPOSED>(a_part[0], b_part[0], a, b, row_a, row_b, 0);
#pragma unroll
    for (int step = 0; step < TILE_PARTS; step++) {
        const int now = step % 2;
        if (step + 1 < TILE_PARTS) /* ahead, so that the mma below hide the latency */
            fragments_load<T, MT, NT, A_TRANSPOSED>(a_part[1 - now], b_part[1 - now], a, b, row_a,
                                                    row_b, step + 1);
        next(step);
#pragma unroll
        for (int i = 0; i < MT; i++)
#pragma unroll
            for (int j = 0; j < NT; j++) mma_16816<T>(acc[i][j], a_part[now][i], b_part[now][j]);
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

/*
 * A slice is the other form of an operand: ROWS x 16 elements, one K step, so that K may be any
 * multiple of 16. The two 16-byte chunks of a row change places every four rows, again for the
 * banks.
 */
enum { SLICE_K = 16 };

__host__ __device__ inline int slice_offset(int row, int half) {
    return row * SLICE_K + ((half ^ (row >> 2 & 1)) << 3);
}

/* Fragments j and j + 1 of B from a slice; eight rows further is a constant. */
template <int NT>
__device__ inline void slice_load_b(uint32_t b_part[4], const void *b, int row_b, int j) {
    const int lane = (int)threadIdx.x % 32, half = lane / 8 % 2;
    const unsigned at = smem_address(b) + j * 8 * SLICE_K * 2;
    if (j + 1 < NT)
        ldmatrix_x4(b_part, at + 2 * slice_offset(row_b + lane / 16 * 8 + lane % 8, half));
    else
        ldmatrix_x2(b_part, at + 2 * slice_offset(row_b + lane % 8, half));
}

/* acc += A B over one pair of slices, for this warp's MT x NT grid of 16x8 results. */
template <typename T, int MT, int NT>
__device__ inline void slice_mma(float acc[MT][NT][4], const T *a, const T *b, int row_a,
                                 int row_b) {
    const int lane = (int)threadIdx.x % 32;
    const unsigned a_at = smem_address(a) + 2 * slice_offset(row_a + lane % 16, lane / 16);
    uint32_t a_part[MT][4], b_part[2][4];
    slice_load_b<NT>(b_part[0], b, row_b, 0);
#pragma unroll
    for (int i = 0; i < MT; i++) ldmatrix_x4(a_part[i], a_at + i * 16 * SLICE_K * 2);
#pragma unroll
    for (int j = 0; j < NT; j += 2) {
        const uint32_t *const now = b_part[j / 2 % 2];
        if (j + 2 < NT) slice_load_b<NT>(b_part[(j / 2 + 1) % 2], b, row_b, j + 2);
#pragma unroll
        for (int i = 0; i < MT; i++) mma_16816<T>(acc[i][j], a_part[i], now);
        if (j + 1 == NT) break;
#pragma unroll
        for (int i = 0; i < MT; i++) mma_16816<T>(acc[i][j + 1], a_part[i], now + 2);
    }
}

/* Rounds this warp's results into slices of ROWS rows: columns 16s .. 16s+15 are slice s. */
template <typename T, int MT, int NT, int ROWS>
__device__ inline void slices_store(T *slices, const float acc[MT][NT][4], int row, int column) {
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int j = 0; j < NT; j++) {
        const int at = column + j * 8;
        T *const slice = slices + at / SLICE_K * (ROWS * SLICE_K) + lane % 4 * 2;
#pragma unroll
        for (int i = 0; i < MT; i++) {
            const int line = row + i * 16 + lane / 4;
            *(uint32_t *)(slice + slice_offset(line, at / 8 % 2)) =
                round_pair<T>(acc[i][j][0], acc[i][j][1]);
            *(uint32_t *)(slice + slice_offset(line + 8, at / 8 % 2)) =
                round_pair<T>(acc[i][j][2], acc[i][j][3]);
        }
    }
}

/*
 * Output columns of a warp are permuted offline where slices of B are packed: within 32, column
 * 8t + 2j + e is stored as row 8j + 2t + e, so that a lane of results holds eight neighbouring
 * columns. What is left beyond the last whole 32 of a warp's `width` columns stays in place.
 */
__host__ __device__ inline int slice_row_of_column(int column, int width) {
    const int inside = column % width;
    if (inside >= width / 32 * 32) return column;
    const int c = inside % 32;
    return column - c + c / 2 % 4 * 8 + c / 8 * 2 + c % 2;
}

/*
 * Stores this warp's results, columns permuted by slice_row_of_column(), rows row0 to tokens - 1.
 * y points at the warp's first column of row 0; `left` columns from there on exist. VECTOR: by 16
 * bytes, left and addresses being multiples of 8 elements.
 */
template <typename T, int MT, int NT, bool VECTOR>
__device__ inline void results_store(uint16_t *y, int64_t ld, const float acc[MT][NT][4],
                                     int64_t row0, int64_t tokens, int left) {
    const int lane = (int)threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < MT * 2; i++) {
        const int64_t row = row0 + i * 8 + lane / 4;
        uint16_t *const line = y + row * ld;
        if (row >= tokens) continue;
#pragma unroll
        for (int j = 0; j < NT; j++) {
            const bool quad = j < NT / 4 * 4;
            if (quad && j % 4) continue;
            const int column = j * 8 + lane % 4 * (quad ? 8 : 2);
            uint32_t words[4] = {};
#pragma unroll
            for (int w = 0; w < (quad ? 4 : 1); w++)
                words[w] =
                    round_pair<T>(acc[i / 2][j + w][i % 2 * 2], acc[i / 2][j + w][i % 2 * 2 + 1]);
            if constexpr (VECTOR) {
                if (column >= left) continue;
                if (quad)
                    *(uint4 *)(line + column) = make_uint4(words[0], words[1], words[2], words[3]);
                else
                    *(uint32_t *)(line + column) = words[0];
            } else {
#pragma unroll
                for (int e = 0; e < (quad ? 8 : 2); e++)
                    if (column + e < left)
                        line[column + e] = (uint16_t)(words[e / 2] >> (e % 2 * 16));
            }
        }
    }
}

/* Copies CHUNKS adjacent chunks of 16 bytes with all threads, asynchronously. */
template <int CHUNKS, int THREADS, typename T>
__device__ inline void linear_load(T *smem, const T *global) {
#pragma unroll
    for (int i = 0; i < (CHUNKS + THREADS - 1) / THREADS; i++) {
        const int chunk = i * THREADS + (int)threadIdx.x;
        if (CHUNKS % THREADS == 0 || chunk < CHUNKS)
            cp_async(smem + chunk * 8, global + chunk * 8, true);
    }
}

#endif
