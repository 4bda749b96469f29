/*
 * A batched GEMM C[i] = A[i] B[i]^T for compute capability 8.0 and later, fp32 accumulation, with
 * an epilogue that may store anywhere. A is m x k and B is n x k, both K-contiguous.
 *
 * cp.async feeds STAGES pairs of swizzled tiles (BM x 64 and BN x 64); each warp holds WM x WN
 * results in mma.m16n8k16 fragments. The rounded tile then passes through shared memory, so that
 * the epilogue sees runs of eight neighbours of a row:
 *
 *     epilogue(batch, row, column, count, values)   count <= 8 values, 16-byte aligned, all inside
 * C
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

template <int BM, int BN, int STAGES> constexpr size_t gemm_smem_bytes() {
    const size_t stages = (size_t)STAGES * (BM + BN) * TILE_K * 2;
    const size_t result = (size_t)BM * (BN + 8) * 2;
    return stages > result ? stages : result;
}

template <typename T, int BM, int BN, int WM, int WN, int STAGES, int VEC, typename EPILOGUE>
__global__ void __launch_bounds__(BM / WM * (BN / WN) * 32, 2)
    gemm_kernel(gemm_args_t args, unsigned tiles_m, unsigned tiles_n, EPILOGUE epilogue) {
    constexpr int THREADS = BM / WM * (BN / WN) * 32, STAGE = (BM + BN) * TILE_K, PITCH = BN + 8;
    extern __shared__ uint4 smem[];
    T *const stages = (T *)smem;
    const int warp = (int)threadIdx.x / 32;
    const int row_a = warp / (BN / WN) * WM, row_b = warp % (BN / WN) * WN;
    const int64_t row0 = (int64_t)(blockIdx.x % tiles_m) * BM;
    const int64_t column0 = (int64_t)(blockIdx.x / tiles_m % tiles_n) * BN;
    const int64_t batch = blockIdx.x / tiles_m / tiles_n;
    const T *const a = (const T *)args.a + batch * args.stride_a + row0 * args.ld_a;
    const T *const b = (const T *)args.b + batch * args.stride_b + column0 * args.ld_b;
    const int rows = (int)min((int64_t)BM, args.m - row0);
    const int columns = (int)min((int64_t)BN, args.n - column0);
    const int steps = (int)((args.k + TILE_K - 1) / TILE_K);

    const auto load = [&](int step) {
        if (step < steps) {
            T *const stage = stages + step % STAGES * STAGE;
            const int64_t k = (int64_t)step * TILE_K;
            tile_load<BM, THREADS, VEC>(stage, a, args.ld_a, rows, k, args.k);
            tile_load<BN, THREADS, VEC>(stage + BM * TILE_K, b, args.ld_b, columns, k, args.k);
        }
        cp_async_commit(); /* empty groups keep the count of pending ones right at the end */
    };

    float acc[WM / 16][WN / 8][4] = {};
    for (int step = 0; step < STAGES - 1; step++) load(step);
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load(step + STAGES - 1);
        const T *const stage = stages + step % STAGES * STAGE;
        tile_mma<T, WM / 16, WN / 8>(acc, stage, stage + BM * TILE_K, row_a, row_b);
    }
    cp_async_wait<0>();
    __syncthreads();

    tile_store<T, WM / 16, WN / 8>(stages, PITCH, acc, row_a, row_b);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < BM * BN / 8; i += THREADS) {
        const int row = i / (BN / 8), column = i % (BN / 8) * 8;
        if (row < rows && column < columns)
            epilogue(batch, row0 + row, column0 + column, min(8, columns - column),
                     stages + row * PITCH + column);
    }
}

template <typename T, int BM, int BN, int WM, int WN, int STAGES, int VEC, typename EPILOGUE>
static status_t gemm_launch_tile(const gemm_args_t *args, EPILOGUE epilogue, cudaStream_t stream) {
    static uint64_t opted_in;
    const auto kernel = gemm_kernel<T, BM, BN, WM, WN, STAGES, VEC, EPILOGUE>;
    const size_t bytes = gemm_smem_bytes<BM, BN, STAGES>();
    const int64_t tiles_m = ceil_div(args->m, BM), tiles_n = ceil_div(args->n, BN);
    const int64_t blocks = tiles_m * tiles_n * args->batch;
    if (blocks > INT32_MAX)
        return fail(STATUS_UNSUPPORTED, "%lld tiles are more than one launch can hold",
                    (long long)blocks);
    const status_t st = smem_opt_in((const void *)kernel, bytes, &opted_in);
    if (st != STATUS_OK) return st;
    kernel<<<(unsigned)blocks, BM / WM *(BN / WN) * 32, bytes, stream>>>(
        *args, (unsigned)tiles_m, (unsigned)tiles_n, epilogue);
    CUDA_LAUNCHED("gemm_kernel");
    return STATUS_OK;
}

/* Large tiles where they fill the device, small ones where they would leave SMs idle. */
template <typename T, int VEC, typename EPILOGUE>
static status_t gemm_launch_vector(const gemm_args_t *args, EPILOGUE epilogue,
                                   cudaStream_t stream) {
    int sms = 0;
    const status_t st = device_sm_count(&sms);
    if (st != STATUS_OK) return st;
    if (ceil_div(args->m, 128) * ceil_div(args->n, 128) * args->batch >= sms && args->m > 64)
        return gemm_launch_tile<T, 128, 128, 64, 32, 3, VEC>(args, epilogue, stream);
    return gemm_launch_tile<T, 64, 64, 32, 32, 4, VEC>(args, epilogue, stream);
}

/* The widest loads that the addresses of both operands allow. */
template <typename T, typename EPILOGUE>
static status_t gemm_launch(const gemm_args_t *args, EPILOGUE epilogue, cudaStream_t stream) {
    const int64_t distances = args->ld_a | args->stride_a | args->ld_b | args->stride_b | args->k;
    const uintptr_t addresses = (uintptr_t)args->a | (uintptr_t)args->b;
    if (distances % 8 == 0 && addresses % 16 == 0)
        return gemm_launch_vector<T, 8>(args, epilogue, stream);
    if (distances % 4 == 0 && addresses % 8 == 0)
        return gemm_launch_vector<T, 4>(args, epilogue, stream);
    return gemm_launch_vector<T, 1>(args, epilogue, stream);
}

#endif
