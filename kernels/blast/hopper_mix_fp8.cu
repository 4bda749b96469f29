/* The mix kernel (hopper_mix.cuh) of blast/fused_fp8. */
#include "kernels/blast/hopper_fp8.h"
#include "kernels/blast/hopper_mix.cuh"

status_t hopper_mix_fp8(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                        const fp8_rows_t *x, void *const *tensors, void *z, stream_t stream) {
    CUtensorMap x_map;
    const status_t st =
        tensor_map_2d_bytes(&x_map, x->codes, p->tokens, p->in_features, x->row_bytes, TILE_TOKENS,
                            DEPTH<__nv_fp8_e4m3>, SWIZZLE);
    if (st != STATUS_OK) return st;
    return with_shape<false>(p, tiles, [&]<typename S>() {
        return launch_mix<__nv_fp8_e4m3, S>(p, chunk, x_map, tensors[1], tensors[2], z, stream);
    });
}
