/* The mix kernel (hopper_mix.cuh) of blast/fused_fp8. */
#include "kernels/blast/hopper_fp8.h"
#include "kernels/blast/hopper_mix.cuh"

status_t hopper_mix_fp8(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                        const fp8_rows_t *x, void *const *tensors, void *z, stream_t stream) {
    CUtensorMap x_maps[2];
    for (int last = 0; last < 2; last++) {
        const int bytes = last ? chunks_of<__nv_fp8_e4m3>(p).last_bytes : SWIZZLE;
        const status_t st = tensor_map_2d_bytes(&x_maps[last], x->codes, p->tokens, p->in_features,
                                                x->row_bytes, TILE_TOKENS, bytes, bytes);
        if (st != STATUS_OK) return st;
    }
    return with_shape(p, tiles, [&]<typename S>() {
        return launch_mix<__nv_fp8_e4m3, S>(p, chunk, x_maps, tensors[1], tensors[2], z, stream);
    });
}
