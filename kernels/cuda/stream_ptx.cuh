/*
 * What weight streaming needs of compute capability 9.0: stores into a cluster's shared memory,
 * bulk copies and the barriers that count their bytes. Below it clusters trap, and bulk copies are
 * not there.
 */
#ifndef BLROOF_STREAM_PTX_CUH
#define BLROOF_STREAM_PTX_CUH

#include "kernels/cuda/ptx.cuh"

__device__ inline void cluster_arrive() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#endif
}

__device__ inline void cluster_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}

/*
 * 16 bytes into the shared memory of CTA `rank` of the cluster, where that CTA has `smem`; its
 * `barrier` counts them.
 */
__device__ inline void cluster_store(float4 *smem, uint64_t *barrier, int rank, float4 value) {
#if __CUDA_ARCH__ >= 900
    unsigned to, counter;
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(to)
        : "r"(smem_address(smem)), "r"((unsigned)rank));
    asm("mapa.shared::cluster.u32 %0, %1, %2;"
        : "=r"(counter)
        : "r"(smem_address(barrier)), "r"((unsigned)rank));
    asm volatile("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.f32 "
                 "[%0], {%1, %2, %3, %4}, [%5];" ::"r"(to),
                 "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w), "r"(counter)
                 : "memory");
#else
    (void)smem, (void)barrier, (void)rank, (void)value;
    __trap();
#endif
}

/* Barriers of shared memory that count the bytes of bulk copies; one arrival a phase. */
__device__ inline void barrier_init(uint64_t *barrier) {
#if __CUDA_ARCH__ >= 900
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(smem_address(barrier)) : "memory");
#else
    (void)barrier;
#endif
}

/* After the initialisations of a thread, before others may use them. */
__device__ inline void barrier_init_fence() {
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); /* for stores by peers */
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");       /* for bulk copies */
#endif
}

__device__ inline void barrier_expect(uint64_t *barrier, int bytes) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(smem_address(barrier)),
        "r"(bytes)
        : "memory");
#else
    (void)barrier, (void)bytes;
#endif
}

__device__ inline void barrier_wait(uint64_t *barrier, unsigned phase) {
#if __CUDA_ARCH__ >= 900
    asm volatile("{\n.reg .pred done;\n"
                 "again%=: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
                 "@!done bra again%=;\n}" ::"r"(smem_address(barrier)),
                 "r"(phase)
                 : "memory");
#else
    (void)barrier, (void)phase;
#endif
}

#if __CUDA_ARCH__ >= 900
/* `bytes`, addresses: multiples of 16. */
__device__ inline void bulk_copy(void *smem, const void *global, int bytes, uint64_t *barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
                 "[%0], [%1], %2, [%3];" ::"r"(smem_address(smem)),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(smem_address(barrier))
                 : "memory");
}

/* The same of what is read once: it is the first to leave L2 again. */
__device__ inline void bulk_copy_once(void *smem, const void *global, int bytes,
                                      uint64_t *barrier) {
    uint64_t policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy));
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
                 "[%0], [%1], %2, [%3], %4;" ::"r"(smem_address(smem)),
                 "l"(__cvta_generic_to_global(global)), "r"(bytes), "r"(smem_address(barrier)),
                 "l"(policy)
                 : "memory");
}
#endif

__device__ inline void prefetch_l2(const void *global) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(global)));
}

#endif
