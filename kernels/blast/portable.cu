/*
 * blast/fused_sm80: three launches of mma.sync kernels with the tokens contiguous between them, on
 * any device. The rank is padded with zeros, so that every row is whole vectors.
 */
#include "kernels/blast/portable.h"

#include <string.h>

#include "kernels/blast/stages.h"
#include "kernels/cuda/launch.cuh"

enum { RANK_MULTIPLE = 8 };

static problem_t padded(const problem_t *p) {
    problem_t out = *p;
    out.rank = round_up(p->rank, RANK_MULTIPLE);
    return out;
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    (void)p;
    return supports_portable(device, why, why_len);
}

static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const problem_t whole = padded(p);
    bytes[0] = bytes[1] = (double)dtype_size(p->dtype) * (double)blast_token_elements(&whole);
    return 2;
}

/* Pads the rank dimension of the canonical tensor, then packs it. */
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const problem_t whole = padded(p);
    const int64_t b = p->blocks, q = p->out_features / b;
    const int64_t rows = tensor == 1 ? p->in_features : tensor == 2 ? b * b : b;
    const int64_t width = tensor == 3 ? p->rank * q : p->rank;
    const int64_t pitch = tensor == 3 ? whole.rank * q : whole.rank;
    if (!dst || width == pitch) return blast_token_pack(&whole, tensor, src, dst);
    uint16_t *const copy = (uint16_t *)calloc((size_t)(rows * pitch), sizeof *copy);
    if (!copy) return 0;
    for (int64_t i = 0; i < rows; i++)
        memcpy(copy + i * pitch, (const uint16_t *)src + i * width, (size_t)width * sizeof *copy);
    const int64_t count = blast_token_pack(&whole, tensor, copy, dst);
    free(copy);
    return count;
}

static size_t workspace_bytes(const problem_t *p, const device_info_t *device) {
    (void)device;
    const problem_t whole = padded(p);
    return 2 * buffer_bytes(p, blast_token_elements(&whole));
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const problem_t whole = padded(p);
    char *const z = (char *)workspace + buffer_bytes(p, blast_token_elements(&whole));
    return blast_token_stages(&whole, tensors, workspace, z, stream);
}

const variant_t blast_fused_sm80 = {
    .structure = "blast",
    .name = "fused_sm80",
    .summary = "three kernels of mma.sync, tokens contiguous between them; any device",
    .device = DEVICE_CUDA,
    .baseline = false,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports,
    .intermediates = intermediates,
    .pack = pack,
    .workspace = workspace_bytes,
    .launch = launch,
};
REGISTER_VARIANT(blast_fused_sm80)
