/* The mix kernel of blast/fused (hopper_mix.cuh) in bf16 and fp16. */
#include "kernels/blast/hopper_mix.cuh"

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, hopper_chunk_t chunk, void *const *tensors,
                             void *z, stream_t stream) {
    CUtensorMap x_map;
    const status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                      p->in_features, TILE_TOKENS, DEPTH<T>, SWIZZLE);
    return st != STATUS_OK ? st
                           : launch_mix<T, S>(p, chunk, x_map, tensors[1], tensors[2], z, stream);
}

status_t hopper_mix(const problem_t *p, hopper_tiles_t tiles, hopper_chunk_t chunk,
                    void *const *tensors, void *z, stream_t stream) {
    return with_shape(p, tiles, [&]<typename S>() {
        return p->dtype == DTYPE_BF16 ? launch_shape<__nv_bfloat16, S>(p, chunk, tensors, z, stream)
                                      : launch_shape<__half, S>(p, chunk, tensors, z, stream);
    });
}
