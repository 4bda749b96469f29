/*
 * Hopper (sm_90): barriers in shared memory that count arrivals and bytes (mbarrier), and the order
 * between ordinary accesses and the asynchronous units. Barriers and shared memory are named by
 * their 32-bit shared-window address, smem_address() of ptx.cuh: 8 aligned bytes a barrier.
 *
 * A phase ends when all arrivals and all announced bytes have come; then the next one starts. A
 * ring of slots has two barriers a slot: `full` (filled by copies) and `empty` (freed by readers).
 * The readers wait for full with parity 0, then 1, ...; the writer waits for empty with parity 1
 * first, which holds at once on a fresh barrier: the phase before the first counts as over.
 */
#ifndef BLROOF_MBARRIER_CUH
#define BLROOF_MBARRIER_CUH

#include "kernels/cuda/ptx.cuh"

enum { MBARRIER_BYTES = 8 };

/* By one thread, before anything else. A phase needs `arrivals` arrivals. */
__device__ inline void mbarrier_init(uint32_t barrier, uint32_t arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals)
                 : "memory");
}

/* By the thread that initialised: shows the barriers to the cluster and to the copy engine. Then
 * __syncthreads(), or cluster_sync() where other blocks of the cluster use them. */
__device__ inline void mbarrier_init_done() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void mbarrier_arrive(uint32_t barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
}

/* Arrives, and the phase also needs `bytes` more bytes of asynchronous copies. */
__device__ inline void mbarrier_arrive_expect(uint32_t barrier, uint32_t bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
}

/* Returns when the phase of this parity is over. */
__device__ inline void mbarrier_wait(uint32_t barrier, uint32_t parity) {
    asm volatile("{\n"
                 ".reg .pred over;\n"
                 "again:\n"
                 "mbarrier.try_wait.parity.shared::cta.b64 over, [%0], %1;\n"
                 "@!over bra again;\n"
                 "}" ::"r"(barrier),
                 "r"(parity)
                 : "memory");
}

/* Shows this thread's ordinary writes to shared memory to wgmma and to bulk copies that are issued
 * after a following barrier. */
__device__ inline void fence_async_proxy() {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* The same for writes to, and by, other blocks of the cluster: by writer and reader. */
__device__ inline void fence_async_proxy_cluster() {
    asm volatile("fence.proxy.async.shared::cluster;" ::: "memory");
}

/* A barrier of `threads` threads; ids 1 to 15 (0 is __syncthreads()). */
__device__ inline void named_barrier_sync(uint32_t id, uint32_t threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* Arrives at a barrier of `threads` threads, some of which wait in named_barrier_sync(). */
__device__ inline void named_barrier_arrive(uint32_t id, uint32_t threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* The place of a reader or a writer in a ring: its slot, and the parity to wait with. A reader
 * starts as {0, 0}, the writer as {0, 1}. */
struct ring_t {
    uint32_t slot, parity;
};

template <int SLOTS> __device__ inline void ring_advance(ring_t &ring) {
    if (++ring.slot == SLOTS) {
        ring.slot = 0;
        ring.parity ^= 1;
    }
}

#endif
