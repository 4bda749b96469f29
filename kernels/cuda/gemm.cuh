/*
 * A batched GEMM C[i] = A[i] B[i]^T for compute capability 8.0 and later, fp32 accumulation, with
 * an epilogue that may store anywhere. A is m x k and B is n x k, both K-contiguous; for
 * gemm_launch_transposed() A is stored k x m, its rows readable up to a multiple of 8.
 *
 * cp.async feeds a ring of swizzled tiles (BM x 64 and BN x 64); each warp holds WM x WN results in
 * mma.m16n8k16 fragments, 64 x 64 where shared memory would else limit it. The rounded tile then
 * passes through shared memory to be stored by vectors. Where C lies is up to `out`:
 *
 *     out.place(batch, column)   where row 0 of a column begins
 *     out.row_stride             elements from there to the next row
 *     out.vector                 eight columns from a multiple of 8 on are adjacent, aligned;
 *                                all eight are stored, zeros beyond n
 */
#ifndef BLROOF_GEMM_CUH
#define BLROOF_GEMM_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile.cuh"

typedef struct {
    const void *a, *b;
    int64_t m, n, k, batch;
    int64_t ld_a, stride_a, ld_b, stride_b; /* elements */
} gemm_args_t;

/* Tile and warp tile, stages of the ring, blocks of threads an SM. */
template <int BM_, int BN_, int WM_, int WN_, int STAGES_, int BLOCKS_> struct gemm_tile {
    static constexpr int BM = BM_, BN = BN_, WM = WM_, WN = WN_, STAGES = STAGES_;
    static constexpr int BLOCKS = BLOCKS_, THREADS = BM / WM * (BN / WN) * 32;
    static constexpr int STAGE = (BM + BN) * TILE_K, PITCH = BN + 8;
    static constexpr size_t SMEM_BYTES =
        2 * (STAGES * STAGE > BM * PITCH ? STAGES * STAGE : BM * PITCH);
};

typedef gemm_tile<128, 128, 64, 64, 3, 2> gemm_large_t;
typedef gemm_tile<64, 64, 32, 32, 4, 2> gemm_small_t;

typedef enum { GEMM_ELEMENTS, GEMM_VECTORS, GEMM_VECTORS_TRANSPOSED } gemm_loads_t;

/* C[i] begins i * batch_stride after y. */
typedef struct {
    uint16_t *y;
    int64_t batch_stride, row_stride;
    bool vector;

    __device__ uint16_t *place(int64_t batch, int64_t column) const {
        return y + batch * batch_stride + column;
    }
} strided_out_t;

/*
 * Rounds and stores the tile of C that begins at row0, column0, of which rows x columns exist;
 * row_a, row_b is this warp's place in it. `tile` is shared memory of BM x PITCH, free to use.
 */
template <typename T, typename TILE, typename OUT>
__device__ inline void gemm_store(T *tile, const float acc[TILE::WM / 16][TILE::WN / 8][4],
                                  int row_a, int row_b, int64_t row0, int64_t column0,
                                  int64_t batch, int rows, int columns, OUT out) {
    constexpr int BN = TILE::BN, PASS = TILE::THREADS / (BN / 8);
    static_assert(TILE::THREADS % (BN / 8) == 0, "a thread stays in its columns");
    tile_store<T, TILE::WM / 16, TILE::WN / 8>(tile, TILE::PITCH, acc, row_a, row_b);
    __syncthreads();
    const int column = (int)threadIdx.x % (BN / 8) * 8, first = (int)threadIdx.x / (BN / 8);
    const int count = min(8, columns - column);
    const uint16_t *const from = (const uint16_t *)tile + column;
    if (out.vector && count > 0) {
        uint16_t *to = out.place(batch, column0 + column) + (row0 + first) * out.row_stride;
#pragma unroll 4
        for (int row = first; row < rows; row += PASS, to += PASS * out.row_stride)
            *(uint4 *)to = *(const uint4 *)(from + row * TILE::PITCH);
    } else {
        for (int e = 0; e < count; e++) {
            uint16_t *const to = out.place(batch, column0 + column + e);
            for (int row = first; row < rows; row += PASS)
                to[(row0 + row) * out.row_stride] = from[row * TILE::PITCH + e];
        }
    }
}

template <typename T, typename TILE, gemm_loads_t LOADS, typename OUT>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS)
    gemm_kernel(gemm_args_t args, unsigned tiles_m, unsigned tiles_n, OUT out) {
    constexpr int BM = TILE::BM, BN = TILE::BN, STAGES = TILE::STAGES, THREADS = TILE::THREADS;
    constexpr bool VECTOR = LOADS != GEMM_ELEMENTS, TRANSPOSED = LOADS == GEMM_VECTORS_TRANSPOSED;
    extern __shared__ __align__(128) uint4 smem[];
    T *const stages = (T *)smem;
    const int warp = (int)threadIdx.x / 32;
    const int row_a = warp / (BN / TILE::WN) * TILE::WM, row_b = warp % (BN / TILE::WN) * TILE::WN;
    const int64_t row0 = (int64_t)(blockIdx.x % tiles_m) * BM;
    const int64_t column0 = (int64_t)(blockIdx.x / tiles_m % tiles_n) * BN;
    const int64_t batch = blockIdx.x / tiles_m / tiles_n;
    const T *const a =
        (const T *)args.a + batch * args.stride_a + (TRANSPOSED ? row0 : row0 * args.ld_a);
    const T *const b = (const T *)args.b + batch * args.stride_b + column0 * args.ld_b;
    const int rows = (int)min((int64_t)BM, args.m - row0);
    const int columns = (int)min((int64_t)BN, args.n - column0);
    const int steps = (int)((args.k + TILE_K - 1) / TILE_K);

    const auto load = [&](int step) {
        if (step < steps) {
            T *const stage = stages + step % STAGES * TILE::STAGE;
            const int64_t k = (int64_t)step * TILE_K;
            if constexpr (TRANSPOSED) {
                const int deep = (int)min((int64_t)TILE_K, args.k - k);
#pragma unroll
                for (int m = 0; m < BM; m += TILE_K)
                    tile_load<TILE_K, THREADS, VECTOR>(stage + m * TILE_K, a + k * args.ld_a,
                                                       args.ld_a, deep, m, (rows + 7) / 8 * 8);
            } else {
                tile_load<BM, THREADS, VECTOR>(stage, a, args.ld_a, rows, k, args.k);
            }
            tile_load<BN, THREADS, VECTOR>(stage + BM * TILE_K, b, args.ld_b, columns, k, args.k);
        }
        cp_async_commit(); /* empty groups keep the count of pending ones right at the end */
    };

    float acc[TILE::WM / 16][TILE::WN / 8][4] = {};
    for (int step = 0; step < STAGES - 1; step++) load(step);
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const T *const stage = stages + step % STAGES * TILE::STAGE;
        tile_mma<T, TILE::WM / 16, TILE::WN / 8, TRANSPOSED>(acc, stage, stage + BM * TILE_K, row_a,
                                                             row_b, [](int) {});
    }
    cp_async_wait<0>();
    __syncthreads();

    gemm_store<T, TILE>(stages, acc, row_a, row_b, row0, column0, batch, rows, columns, out);
}

template <typename T, typename TILE, gemm_loads_t LOADS, typename OUT>
static status_t gemm_launch_tile(const gemm_args_t *args, OUT out, cudaStream_t stream) {
    static uint64_t opted_in;
    const auto kernel = gemm_kernel<T, TILE, LOADS, OUT>;
    const int64_t tiles_m = ceil_div(args->m, TILE::BM), tiles_n = ceil_div(args->n, TILE::BN);
    const int64_t blocks = tiles_m * tiles_n * args->batch;
    if (blocks > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "%lld tiles are more than one launch can hold",
                    (long long)blocks);
    const status_t st = smem_opt_in((const void *)kernel, TILE::SMEM_BYTES, &opted_in);
    if (st != STATUS_OK) return st;
    kernel<<<(unsigned)blocks, TILE::THREADS, TILE::SMEM_BYTES, stream>>>(*args, (unsigned)tiles_m,
                                                                          (unsigned)tiles_n, out);
    CUDA_LAUNCHED("gemm_kernel");
    return STATUS_OK;
}

/* Large tiles where they fill the device, small ones where they would leave SMs idle. */
template <typename T, gemm_loads_t LOADS, typename OUT>
static status_t gemm_launch_loads(const gemm_args_t *args, OUT out, cudaStream_t stream) {
    int sms = 0;
    const status_t st = device_sm_count(&sms);
    if (st != STATUS_OK) return st;
    if (ceil_div(args->m, 128) * ceil_div(args->n, 128) * args->batch >= sms && args->m > 64)
        return gemm_launch_tile<T, gemm_large_t, LOADS>(args, out, stream);
    return gemm_launch_tile<T, gemm_small_t, LOADS>(args, out, stream);
}

/* Whether 16-byte loads may be used. */
static inline bool gemm_vectors(const gemm_args_t *args) {
    const int64_t distances = args->ld_a | args->stride_a | args->ld_b | args->stride_b | args->k;
    const uintptr_t addresses = (uintptr_t)args->a | (uintptr_t)args->b;
    return distances % 8 == 0 && addresses % 16 == 0;
}

template <typename T, typename OUT>
static status_t gemm_launch(const gemm_args_t *args, OUT out, cudaStream_t stream) {
    return gemm_vectors(args) ? gemm_launch_loads<T, GEMM_VECTORS>(args, out, stream)
                              : gemm_launch_loads<T, GEMM_ELEMENTS>(args, out, stream);
}

/* Only where gemm_vectors(). */
template <typename T, typename OUT>
static status_t gemm_launch_transposed(const gemm_args_t *args, OUT out, cudaStream_t stream) {
    return gemm_launch_loads<T, GEMM_VECTORS_TRANSPOSED>(args, out, stream);
}

#endif
