/*
 * Hopper (sm_90): blocks of a cluster and their shared memories, the split of registers between
 * warpgroups, and kernels that start before the one ahead has ended.
 */
#ifndef BLROOF_CLUSTER_CUH
#define BLROOF_CLUSTER_CUH

#include "kernels/cuda/mbarrier.cuh"

__device__ inline uint32_t cluster_rank() {
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

/* The same place in the shared memory of block `rank` of this cluster. */
__device__ inline uint32_t cluster_address(uint32_t smem, uint32_t rank) {
    uint32_t address;
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(address) : "r"(smem), "r"(rank));
    return address;
}

/* All threads of all blocks of the cluster; threads of a warp may come apart. Needed before the
 * first access to another block's memory, and before a block exits whose memory others may still
 * access. Ordinary writes before it are seen after it. */
__device__ inline void cluster_sync() {
    asm volatile("barrier.cluster.arrive;\n"
                 "barrier.cluster.wait;" ::
                     : "memory");
}

/* cluster_sync() in two: what came before the arrival of all blocks is seen after the wait. */
__device__ inline void cluster_arrive() {
    asm volatile("barrier.cluster.arrive;" ::: "memory");
}

/* cluster_arrive() that orders nothing in memory: cheaper, as the other waits for all writes of the
 * thread to reach the whole GPU. Enough where barriers in shared memory say that data has come. */
__device__ inline void cluster_arrive_relaxed() {
    asm volatile("barrier.cluster.arrive.relaxed;" ::: "memory");
}

__device__ inline void cluster_wait() {
    asm volatile("barrier.cluster.wait;" ::: "memory");
}

/* 16 bytes to the shared memory of any block; `smem` from cluster_address(). */
__device__ inline void cluster_store(uint32_t smem, float4 v) {
    asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(smem), "f"(v.x),
                 "f"(v.y), "f"(v.z), "f"(v.w)
                 : "memory");
}

/* 16 bytes of the shared memory of any block; `smem` from cluster_address(). */
__device__ inline float4 cluster_load(uint32_t smem) {
    float4 v;
    asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(smem)
                 : "memory");
    return v;
}

/* Arrives at a barrier of any block; `barrier` from cluster_address(). (With .release.cluster it
 * costs twice as much; bytes that come by bulk copies need no more than this.) */
__device__ inline void mbarrier_arrive_cluster(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/* 16 bytes into the shared memory of any block; `smem` from cluster_address(). Others read them
 * after mbarrier_arrive_cluster_release() here and mbarrier_wait_cluster() there. */
__device__ inline void cluster_store(uint32_t smem, uint4 v) {
    asm volatile("st.shared::cluster.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(smem), "r"(v.x),
                 "r"(v.y), "r"(v.z), "r"(v.w)
                 : "memory");
}

/* The same for 4 bytes. */
__device__ inline void cluster_store(uint32_t smem, uint32_t word) {
    asm volatile("st.shared::cluster.b32 [%0], %1;" ::"r"(smem), "r"(word) : "memory");
}

/* Stores to the shared memory of any block that complete, like a bulk copy, on that block's
 * barrier; all addresses from cluster_address(). After mbarrier_wait() there the words may be read,
 * by wgmma after fence_async_proxy(). */
__device__ inline void cluster_store_async(uint32_t smem, uint32_t word, uint32_t barrier) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.b32 [%0], %1, "
                 "[%2];" ::"r"(smem),
                 "r"(word), "r"(barrier)
                 : "memory");
}

__device__ inline void cluster_store_async(uint32_t smem, uint4 v, uint32_t barrier) {
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], "
                 "{%1, %2, %3, %4}, [%5];" ::"r"(smem),
                 "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w), "r"(barrier)
                 : "memory");
}

/* As mbarrier_arrive_cluster(), for ordinary stores of this thread, and those that it has seen. */
__device__ inline void mbarrier_arrive_cluster_release(uint32_t barrier) {
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(barrier)
                 : "memory");
}

/* As mbarrier_wait(), and what other blocks stored before they arrived is seen. */
__device__ inline void mbarrier_wait_cluster(uint32_t barrier, uint32_t parity) {
    asm volatile("{\n"
                 ".reg .pred over;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 over, [%0], %1;\n"
                 "@!over bra again;\n"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* Copies own shared memory to another block, completing on that block's barrier; `to` and `barrier`
 * from cluster_address(), multiples of 16 bytes. Fence written data first: fence_async_proxy(). */
__device__ inline void bulk_copy_cluster(uint32_t to, uint32_t from, uint32_t bytes,
                                         uint32_t barrier) {
    asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(to),
                 "r"(from), "r"(bytes), "r"(barrier)
                 : "memory");
}

/* By all warps of a warpgroup, in a kernel with __launch_bounds__(threads, 1): registers a thread
 * from here on, a multiple of 8 from 24 to 240. The sum over the block must fit into 64 K. */
template <int REGISTERS> __device__ inline void registers_raise() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> __device__ inline void registers_lower() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

#endif
