/* The last kernel of blast/fused (hopper_last.cuh) in bf16 and fp16. */
#include "kernels/blast/hopper_last.cuh"

status_t hopper_last(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                     void *const *tensors, const void *z, stream_t stream) {
    const last_args_t args = {
        .z = (const uint8_t *)z, .u = (const uint8_t *)tensors[3], .y = (uint16_t *)tensors[4]};
    return p->dtype == DTYPE_BF16
               ? launch_last<__nv_bfloat16, __nv_bfloat16>(p, tiles, chunk, args, stream)
               : launch_last<__half, __half>(p, tiles, chunk, args, stream);
}
