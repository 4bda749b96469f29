/*
 * Hopper (sm_90): bulk copies by the copy engine. Each is started by one thread and completes on a
 * barrier (mbarrier.cuh) that was told the bytes. Addresses: shared memory by smem_address().
 */
#ifndef BLROOF_TMA_CUH
#define BLROOF_TMA_CUH

#include <cuda.h>

#include "kernels/cuda/mbarrier.cuh"

/* `bytes` contiguous bytes; addresses and bytes are multiples of 16. */
__device__ inline void bulk_load(uint32_t smem, const void *global, uint32_t bytes,
                                 uint32_t barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(smem),
                 "l"(global), "r"(bytes), "r"(barrier)
                 : "memory");
}

/* The box of a tensor map (tensor_map.h) at column x, row y; all bytes of the box count, also those
 * beyond the tensor, which become zero. The map is a __grid_constant__ parameter. */
__device__ inline void tma_load_2d(uint32_t smem, const CUtensorMap *map, int x, int y,
                                   uint32_t barrier) {
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(smem),
                 "l"(map), "r"(x), "r"(y), "r"(barrier)
                 : "memory");
}

__device__ inline void tma_load_4d(uint32_t smem, const CUtensorMap *map, int x, int y, int z,
                                   int w, uint32_t barrier) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3, %4, %5}], [%6];" ::"r"(smem),
                 "l"(map), "r"(x), "r"(y), "r"(z), "r"(w), "r"(barrier)
                 : "memory");
}

/* Brings the same bytes, or the same box, into the L2 cache only. */
__device__ inline void bulk_prefetch(const void *global, uint32_t bytes) {
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(global), "r"(bytes) : "memory");
}

__device__ inline void tma_prefetch_2d(const CUtensorMap *map, int x, int y) {
    asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global [%0, {%1, %2}];" ::"l"(map), "r"(x),
                 "r"(y)
                 : "memory");
}

/* Fetches the descriptor, which takes a while on first use. */
__device__ inline void tma_prefetch(const CUtensorMap *map) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

#endif
