/* The last kernel (hopper_last.cuh) of blast/fused_fp8. */
#include "kernels/blast/hopper_fp8.h"
#include "kernels/blast/hopper_last.cuh"

status_t hopper_last_fp8(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                         const fp8_rows_t *x, void *const *tensors, const void *z,
                         stream_t stream) {
    const last_args_t args = {.z = (const uint8_t *)z,
                              .u = (const uint8_t *)tensors[3],
                              .y = (uint16_t *)tensors[4],
                              .token_scales = x->scales,
                              .block_scales = hopper_fp8_s_scales(p, tiles, tensors[2]),
                              .v_scale = hopper_fp8_v_scale(p, tiles, tensors[1])};
    return p->dtype == DTYPE_BF16
               ? launch_last<__nv_fp8_e4m3, __nv_bfloat16>(p, tiles, chunk, args, stream)
               : launch_last<__nv_fp8_e4m3, __half>(p, tiles, chunk, args, stream);
}
