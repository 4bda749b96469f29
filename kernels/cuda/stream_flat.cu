#include "kernels/cuda/stream_flat.h"

enum {
    FLAT_DEPTH = 6, /* the most groups of a ring: more are a burst that others wait for */
    FLAT_OPERAND = STREAM_WARPS * FLAT_DEPTH,
    FLAT_BARRIER_BYTES = ((FLAT_OPERAND + 1) * 8 + 127) / 128 * 128
};

/* Of one warp; the next group to request is number `group` of the tile at `tile`. */
typedef struct {
    const uint4 *tile;
    int group, tiles; /* left to request, that tile included */
    uint4 *ring;
    uint64_t *full;
    int in, out;
    unsigned phase;
} flat_ring_t;

/* What a CTA does: tiles from tile0 on, steps from step0 on, in groups of STREAM_GROUP. */
typedef struct {
    int tile0, tiles, step0, steps, groups;
} flat_item_t;

__device__ inline flat_item_t flat_item(const stream_flat_t &a) {
    flat_item_t item;
    item.tile0 = share_begin(a.tile_share, (int)blockIdx.x);
    item.tiles = share_count(a.tile_share, (int)blockIdx.x);
    item.step0 = share_begin(a.step_share, (int)blockIdx.y);
    item.steps = share_count(a.step_share, (int)blockIdx.y);
    item.groups = (item.steps + STREAM_GROUP - 1) / STREAM_GROUP;
    return item;
}

__device__ inline void flat_request(flat_ring_t &r, const stream_flat_t &a,
                                    const flat_item_t &item) {
#if __CUDA_ARCH__ >= 900
    if (r.tiles == 0) return;
    __syncwarp(); /* all lanes have read what was there */
    if (threadIdx.x % 32 == 0) {
        const int first = r.group * STREAM_GROUP;
        const int bytes = min(item.steps - first, (int)STREAM_GROUP) * FRAGMENT_BYTES;
        barrier_expect(r.full + r.in, bytes);
        bulk_copy_once(r.ring + r.in * STREAM_GROUP * 32, r.tile + first * 32, bytes,
                       r.full + r.in);
    }
    if (++r.in == a.depth) r.in = 0;
    r.group += STREAM_WARPS;
    if (r.group < item.groups) return;
    r.group = (int)threadIdx.x / 32;
    r.tile += a.steps * 32;
    r.tiles--;
#else
    (void)r, (void)a, (void)item;
    __trap();
#endif
}

/* Makes the barriers and requests as much as the ring holds. */
__device__ inline flat_ring_t flat_open(const stream_flat_t &a, const flat_item_t &item,
                                        uint4 *smem, uint64_t *barriers) {
    const int warp = (int)threadIdx.x / 32;
    const int64_t first = (int64_t)item.tile0 * a.steps + item.step0;
    flat_ring_t r = {.tile = (const uint4 *)a.w[blockIdx.z] + first * 32,
                     .group = warp,
                     .tiles = warp < item.groups ? item.tiles : 0,
                     .ring = smem + warp * a.depth * STREAM_GROUP * 32,
                     .full = barriers + warp * FLAT_DEPTH,
                     .in = 0,
                     .out = 0,
                     .phase = 0};
    if (threadIdx.x % 32 == 0) {
#pragma unroll 1
        for (int i = 0; i < a.depth; i++) barrier_init(r.full + i);
        barrier_init_fence();
    }
#pragma unroll 1
    for (int i = 0; i < a.depth; i++) flat_request(r, a, item);
    return r;
}

/* This warp's part of a tile: sum[j] as acc[j] in stream_multiply(). */
template <typename T, int NT>
__device__ inline void flat_tile(flat_ring_t &r, const stream_flat_t &a, const flat_item_t &item,
                                 const T *operand, const int (&row)[NT], float (&sum)[NT][4]) {
    constexpr int CHAINS = NT == 1 ? 4 : NT == 2 ? 2 : 1;
    const int lane = (int)threadIdx.x % 32;
    float acc[CHAINS][NT][4] = {};
#pragma unroll 1
    for (int g = (int)threadIdx.x / 32; g < item.groups; g += STREAM_WARPS) {
        barrier_wait(r.full + r.out, r.phase);
        const uint4 *const group = r.ring + r.out * STREAM_GROUP * 32 + lane;
        const T *const b = operand + g * STREAM_GROUP * FRAGMENT_SIDE;
        const int left = item.steps - g * STREAM_GROUP;
        if (left >= STREAM_GROUP)
            group_multiply<T, NT, CHAINS, true>(acc, group, b, row, left);
        else
            group_multiply<T, NT, CHAINS, false>(acc, group, b, row, left);
        if (++r.out == a.depth) r.out = 0, r.phase ^= 1;
        flat_request(r, a, item);
    }
#pragma unroll
    for (int j = 0; j < NT; j++)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            sum[j][e] = 0;
#pragma unroll
            for (int i = 0; i < CHAINS; i++) sum[j][e] += acc[i][j][e];
        }
}

/* Results of one 8-token column of a tile of Y. */
template <typename T>
__device__ inline void flat_store(const stream_flat_t &a, int tile, int column, float4 sum) {
    const int lane = (int)threadIdx.x % 32, token = column * 8 + lane % 4 * 2;
    const int feature = tile * FRAGMENT_SIDE + lane / 4 * 2;
    const int left = a.features - feature; /* of the pair and what follows */
    const uint32_t pairs[2] = {round_pair<T>(sum.x, sum.z), round_pair<T>(sum.y, sum.w)};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        if (token + i >= a.tokens || left <= 0) break;
        uint16_t *const to =
            (uint16_t *)a.y[blockIdx.z] + blockIdx.y * a.y_share + (token + i) * a.y_row + feature;
        if (a.pairs) {
            *(uint32_t *)to = pairs[i];
        } else {
            to[0] = (uint16_t)pairs[i];
            if (left > 1) to[1] = (uint16_t)(pairs[i] >> 16);
        }
    }
}

/* X of this CTA to shared memory, after the wait for the kernels ahead. */
template <typename T>
__device__ inline void flat_stage(const stream_flat_t &a, const flat_item_t &item,
                                  const chunk_t &first, T *operand, uint64_t *barrier) {
    const int column = item.step0 * FRAGMENT_SIDE, padded = item.steps * FRAGMENT_SIDE;
    const T *const from = (const T *)a.x + blockIdx.z * a.x_layer;
    if (a.x_shares > 1) {
        const T *const x = from + column;
        chunks_stage<1>(first, (uint16_t *)operand, a.pitch, [&](int token, int chunk) {
            return shares_sum<T, STREAM_SHARES>(x + token * a.x_row + chunk * 8, a.x_shares,
                                                a.x_share);
        });
        return;
    }
    const input_t input = {.x = from,
                           .ld = a.x_row,
                           .first = column,
                           .tokens = a.tokens,
                           .blocks = 1,
                           .width = min(padded, a.width - column),
                           .block_stride = 0,
                           .vector = a.x_row % 8 == 0 && ((uintptr_t)from & 15) == 0};
    input_stage(input, padded, first, (uint16_t *)operand, a.pitch, barrier);
}

template <typename T, int NT>
static __global__ void __launch_bounds__(STREAM_THREADS, stream_ctas(NT))
    stream_flat_kernel(const __grid_constant__ stream_flat_t a) {
    extern __shared__ uint4 smem[];
    uint64_t *const barriers = (uint64_t *)((char *)smem + a.depth * STREAM_GROUP_BYTES);
    T *const operand = (T *)((char *)smem + a.operand_at);
    float4 *const partials = (float4 *)((char *)smem + a.partials_at);
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const flat_item_t item = flat_item(a);
    flat_ring_t ring = flat_open(a, item, smem, barriers);
    dependents_launch();
    if (threadIdx.x == 0) {
        barrier_init(barriers + FLAT_OPERAND);
        barrier_init_fence();
    }
    const chunk_t first = chunk_first(a.tokens, item.steps * FRAGMENT_SIDE / 8);
    int row[NT];
#pragma unroll
    for (int j = 0; j < NT; j++)
        row[j] = min(j * 8 + lane / 4, a.tokens - 1) * a.pitch + lane % 4 * 4;
    __syncthreads(); /* for the barriers */
    dependency_wait();
    flat_stage<T>(a, item, first, operand, barriers + FLAT_OPERAND);
#pragma unroll 1
    for (int tile = 0; tile < item.tiles; tile++) {
        float sum[NT][4];
        flat_tile<T, NT>(ring, a, item, operand, row, sum);
        /* Two places in turn: who writes one again has met all warps since it was read. */
        float4 *const parts = partials + tile % 2 * STREAM_WARPS * NT * 32 + lane;
#pragma unroll
        for (int j = 0; j < NT; j++)
            parts[(warp * NT + j) * 32] = make_float4(sum[j][0], sum[j][1], sum[j][2], sum[j][3]);
        __syncthreads();
        const int column = (warp - tile) & (STREAM_WARPS - 1);
        if (column < NT)
            flat_store<T>(a, item.tile0 + tile, column,
                          vectors_sum(parts + column * 32, NT * 32, STREAM_WARPS));
    }
}

/* ---- host ---- */

enum {
    LEAST_DEPTH = 2,
    SPARE_BYTES = 4 << 10, /* of an SM's shared memory, for small kernels beside this one */
    SHARE_STEPS = 4        /* what another share of Y costs, in steps */
};

/* The shares for which the busiest CTA has the least to do. */
static void choose_shares(stream_flat_t *a, int places) {
    const int tiles = tiles_of(a->features), each = places / a->layers;
    int64_t best = INT64_MAX;
    for (int splits = 1; splits <= a->most_splits && splits <= a->steps && splits <= each;
         splits++) {
        const int ctas = each / splits < tiles ? each / splits : tiles;
        const int64_t cost =
            ceil_div(tiles, ctas) * ceil_div(a->steps, splits) + (int64_t)splits * SHARE_STEPS;
        if (cost >= best) continue;
        best = cost;
        a->splits = splits, a->tile_ctas = ctas;
    }
    a->tile_share = share_of(tiles, a->tile_ctas);
    a->step_share = share_of(a->steps, a->splits);
}

bool stream_flat_choose(stream_flat_t *a, const stream_device_t *device) {
    const int columns = stream_columns(a->tokens);
    const int64_t room = device->smem_bytes - SPARE_BYTES, half = (device->smem_bytes + 1024) / 2;
    a->steps = tiles_of(a->width);
    if (a->steps >= 1 << 16) return false;
    choose_shares(a, device->sms);
    const int steps = (int)ceil_div(a->steps, a->splits);
    const int64_t tiles = ceil_div(tiles_of(a->features), a->tile_ctas);
    const int64_t groups = ceil_div(ceil_div(steps, STREAM_GROUP), STREAM_WARPS) * tiles;
    a->pitch = operand_pitch(steps * FRAGMENT_SIDE);
    const int64_t operand = round_up((int64_t)a->tokens * a->pitch * 2, 128);
    const int64_t partials = (tiles > 1 ? 2 : 1) * STREAM_WARPS * columns * FRAGMENT_BYTES;
    const int64_t fits = (room - FLAT_BARRIER_BYTES - operand - partials) / STREAM_GROUP_BYTES;
    const int64_t most = groups < FLAT_DEPTH ? groups : (int)FLAT_DEPTH;
    a->depth = (int)(fits < most ? fits : most);
    a->operand_at = a->depth * STREAM_GROUP_BYTES + FLAT_BARRIER_BYTES;
    a->partials_at = (int)(a->operand_at + operand);
    a->smem_bytes = (int)(a->partials_at + partials);
    if (a->smem_bytes < half) a->smem_bytes = (int)half; /* one CTA an SM */
    return a->depth >= 1 && (a->depth >= LEAST_DEPTH || a->depth == most);
}

template <typename T, int NT>
static status_t launch_columns(const stream_flat_t &a, const stream_device_t *device,
                               cudaStream_t stream) {
    static uint64_t opted_in;
    return stream_launch(stream_flat_kernel<T, NT>, a,
                         dim3((unsigned)a.tile_ctas, (unsigned)a.splits, (unsigned)a.layers), 1,
                         a.smem_bytes, device, &opted_in, stream);
}

template <typename T>
static status_t launch_dtype(const stream_flat_t &a, const stream_device_t *device,
                             cudaStream_t stream) {
    switch (stream_columns(a.tokens)) {
    case 1:
        return launch_columns<T, 1>(a, device, stream);
    case 2:
        return launch_columns<T, 2>(a, device, stream);
    case 4:
        return launch_columns<T, 4>(a, device, stream);
    default:
        return launch_columns<T, 8>(a, device, stream);
    }
}

status_t stream_flat(const stream_flat_t *flat, dtype_t dtype, const stream_device_t *device,
                     stream_t stream) {
    stream_flat_t a = *flat;
    a.pairs = a.features % 2 == 0 && a.y_row % 2 == 0 && a.y_share % 2 == 0;
    for (int i = 0; i < a.layers; i++) a.pairs = a.pairs && (uintptr_t)a.y[i] % 4 == 0;
    return dtype == DTYPE_BF16 ? launch_dtype<__nv_bfloat16>(a, device, (cudaStream_t)stream)
                               : launch_dtype<__half>(a, device, (cudaStream_t)stream);
}
