#include "kernels/cuda/stream_stages.h"

__device__ inline bool aligned16(const void *p) {
    return ((uintptr_t)p & 15) == 0;
}

/* ---- down ---- */

/* What one CTA of stream_down does. */
typedef struct {
    tiles_t tiles;
    input_t input;
    int share, tile0, block0, input0, padded;
} down_item_t;

__device__ inline down_item_t down_item(const stream_down_t &a) {
    down_item_t item;
    const int steps = tiles_of(a.width);
    item.share = (int)quotient(blockIdx.x, a.sets);
    const int set = (int)blockIdx.x - item.share * a.sets;
    item.tile0 = share_begin(a.set_share, set);
    const int tiles = share_count(a.set_share, set);
    /* A share is whole blocks where there are several, else steps. */
    const int unit0 = share_begin(a.unit_share, item.share);
    const int count = share_count(a.unit_share, item.share);
    const int blocks = a.blocks > 1 ? count : 1, step0 = a.blocks > 1 ? 0 : unit0;
    const int deep = a.blocks > 1 ? steps : count;
    item.block0 = a.blocks > 1 ? unit0 : 0;
    item.tiles = {.first = (const uint4 *)a.v[blockIdx.z] +
                           (((int64_t)item.tile0 * a.blocks + item.block0) * steps + step0) * 32,
                  .count = tiles * blocks,
                  .inner = blocks,
                  .outer_stride = a.blocks * steps,
                  .inner_stride = steps,
                  .steps = deep,
                  .parts = a.parts,
                  .part_steps = (int)quotient(deep + a.parts - 1, a.parts)};
    item.input0 = (int)quotient(item.tile0, a.input_tiles);
    const int inputs = (int)quotient(item.tile0 + tiles - 1, a.input_tiles) - item.input0 + 1;
    const int column = step0 * FRAGMENT_SIDE;
    item.padded = deep * FRAGMENT_SIDE;
    item.input = {.x = a.x,
                  .ld = a.in_features,
                  .first = (int64_t)(item.input0 + item.block0) * a.width + column,
                  .tokens = a.tokens,
                  .blocks = a.blocks > 1 ? blocks : inputs,
                  .width = min(item.padded, a.width - column),
                  .block_stride = a.width,
                  .vector = a.width % 8 == 0 && a.in_features % 8 == 0 && aligned16(a.x)};
    return item;
}

/*
 * Z_k of this CTA's blocks from their Y: in shared memory, where the first part of each was. A warp
 * takes a tile, 8 tokens and KS output blocks at a time, so that it reads Y once for these.
 */
template <typename T, int NT>
__device__ inline void scale_blocks(const stream_down_t &a, const down_item_t &item,
                                    const float4 *y, const uint16_t *scales) {
    constexpr int KS = NT == 1 ? 2 : 4;
    const int lane = (int)threadIdx.x % 32, blocks = item.tiles.inner, each = a.parts * NT * 32;
    const int columns = item.tiles.count / blocks * NT; /* of 8 tokens, of all tiles */
    const int64_t ld = (int64_t)a.rank_tiles * FRAGMENT_SIDE;
    const int stride = a.out_blocks * FRAGMENT_SIDE / 2; /* words from one l to the next */
    int k0 = (int)threadIdx.x / 32 * KS, column = 0;
#pragma unroll 1
    for (;; k0 += STREAM_WARPS * KS) {
        while (k0 >= a.out_blocks) k0 -= (a.out_blocks + KS - 1) / KS * KS, column++;
        if (column >= columns) break;
        const int tile = column / NT, j = column % NT;
        const float4 *const from = y + tile * blocks * each + j * 32 + lane;
        const uint32_t *const s = (const uint32_t *)scales + tile * blocks * stride + lane / 4;
        float4 sum[KS] = {};
#pragma unroll 1 /* KS sums are enough at once; code that runs once costs its fetching */
        for (int l = 0; l < blocks; l++) {
            const float4 part = from[l * each];
#pragma unroll
            for (int i = 0; i < KS; i++) {
                const int k = min(k0 + i, a.out_blocks - 1);
                const float2 factor = widen_pair<T>(s[l * stride + k * FRAGMENT_SIDE / 2]);
                sum[i].x += part.x * factor.x, sum[i].y += part.y * factor.x;
                sum[i].z += part.z * factor.y, sum[i].w += part.w * factor.y;
            }
        }
        T *const rows = (T *)a.t + blockIdx.z * a.t_layer +
                        (int64_t)item.share * a.out_blocks * a.tokens * ld +
                        (item.tile0 + tile) * FRAGMENT_SIDE;
#pragma unroll
        for (int i = 0; i < KS; i++)
            if (k0 + i < a.out_blocks)
                fragment_store<T>(rows + (k0 + i) * a.tokens * ld, ld, j, a.tokens, sum[i]);
    }
}

/* The scales of a CTA: contiguous within each of its tiles. */
__device__ inline void scales_stage(const stream_down_t &a, const down_item_t &item, uint4 *to) {
    const int words = a.out_blocks * FRAGMENT_SIDE / 8, each = item.tiles.inner * words;
    const uint4 *from = (const uint4 *)a.scales[blockIdx.z] +
                        ((int64_t)item.tile0 * a.blocks + item.block0) * words;
    for (int i = 0; i < item.tiles.count; i += item.tiles.inner) {
#pragma unroll 2
        for (int word = (int)threadIdx.x; word < each; word += STREAM_THREADS)
            to[word] = __ldg(from + word);
        from += a.blocks * words, to += each;
    }
}

/* Y_l of a tile stays here: only its operand has a place. */
__device__ inline place_t scaled_place(const down_item_t &item, int tile) {
    const int blocks = item.tiles.inner;
    return {(tile - (int)quotient(tile, blocks) * blocks) * item.padded, 0};
}

/* Where T_lk of a tile goes, from the CTA's share of T on. */
__device__ inline place_t t_place(const stream_down_t &a, const down_item_t &item, int tile) {
    const unsigned from = (unsigned)(item.tile0 + tile), input = quotient(from, a.input_tiles);
    const int column = ((int)input - item.input0) * item.padded;
    if (a.out_blocks == 1) return {column, from * FRAGMENT_SIDE};
    const unsigned pair = from - input * a.input_tiles, k = quotient(pair, a.pair_tiles);
    const unsigned to = input * a.pair_tiles + pair - k * a.pair_tiles;
    return {column, (k * a.tokens * a.rank_tiles + to) * FRAGMENT_SIDE};
}

template <typename T, int NT, bool SCALED>
static __global__ void __launch_bounds__(STREAM_THREADS, stream_ctas(NT))
    stream_down_kernel(const __grid_constant__ stream_down_t a) {
    extern __shared__ uint4 smem[];
    uint64_t *const barriers = (uint64_t *)((char *)smem + a.depth * STREAM_GROUP_BYTES);
    segment_t *const table = (segment_t *)((char *)barriers + STREAM_BARRIER_BYTES);
    uint16_t *const operand = (uint16_t *)((char *)barriers + stream_head_bytes(a.segments));
    float4 *const partials = (float4 *)((char *)smem + a.partials_at);
    uint16_t *const scales = (uint16_t *)((char *)smem + a.s_at);
    dependents_launch();
    if (blockIdx.x >= a.sets * a.shares) { /* keeps its place: see stream_places() */
        dependency_wait();
        return;
    }
    shared_barriers_open(barriers);
    const down_item_t item = down_item(a);
    stream_ring_t ring = ring_make(smem, barriers, table, a.segments, a.depth);
    if constexpr (NT == 1) ring_early(ring, item.tiles);
    ring_add(ring, item.tiles,
             [&](int tile) { return SCALED ? scaled_place(item, tile) : t_place(a, item, tile); });
    ring_start(ring);
    input_prefetch(item.input);
    if constexpr (SCALED) scales_stage(a, item, (uint4 *)scales);
    const chunk_t first = chunk_first(a.tokens, item.input.blocks * item.padded / 8);
    __syncthreads(); /* for the barriers and the scales */
    dependency_wait();
    input_stage(item.input, item.padded, first, operand, a.pitch, barriers + STREAM_OPERAND);
    const T *const x = (const T *)operand;
    if constexpr (SCALED) {
        const int lane = (int)threadIdx.x % 32;
        stream_multiply_sum<T, NT>(ring, ring.segments, item.tiles, x, a.pitch, a.tokens, partials,
                                   [&](int tile, unsigned, int j, float4 sum) {
                                       partials[(tile * a.parts * NT + j) * 32 + lane] = sum;
                                   });
        __syncthreads();
        scale_blocks<T, NT>(a, item, partials, scales);
    } else {
        const int64_t ld = (int64_t)a.rank_tiles * FRAGMENT_SIDE;
        T *const t =
            (T *)a.t + blockIdx.z * a.t_layer + (int64_t)item.share * a.out_blocks * a.tokens * ld;
        stream_multiply_sum<T, NT>(ring, ring.segments, item.tiles, x, a.pitch, a.tokens, partials,
                                   [&](int, unsigned out, int j, float4 sum) {
                                       fragment_store<T>(t + out, ld, j, a.tokens, sum);
                                   });
    }
}

template <typename T, int NT>
static status_t down_launch(const stream_down_t *a, int layers, const stream_device_t *device,
                            cudaStream_t stream) {
    static uint64_t opted_in[2];
    return stream_launch(
        a->scaled ? stream_down_kernel<T, NT, true> : stream_down_kernel<T, NT, false>, *a,
        dim3(stream_places(a->sets * a->shares, 1, device), 1, (unsigned)layers), 1, a->smem_bytes,
        device, &opted_in[a->scaled], stream);
}

/* ---- up ---- */

typedef struct {
    tiles_t down, up;
    int k, tile0, tiles; /* out block, and its tiles */
    int rank0, ranks;    /* tiles of T_k */
    int rank;            /* of the CTA in its cluster */
} up_item_t;

template <bool PAIRED> __device__ inline up_item_t up_item(const stream_up_t &a) {
    up_item_t item;
    const int out_tiles = tiles_of(a.out_width);
    item.k = (int)quotient(blockIdx.y, a.sets);
    const int set = (int)blockIdx.y - item.k * a.sets;
    item.rank = (int)blockIdx.x;
    item.tile0 = share_begin(a.set_share, set);
    item.tiles = share_count(a.set_share, set);
    item.rank0 = share_begin(a.rank_share, item.rank);
    item.ranks = share_count(a.rank_share, item.rank);
    const int64_t row = (int64_t)item.k * out_tiles + item.tile0;
    item.up = {.first = (const uint4 *)a.u[blockIdx.z] + (row * a.rank_tiles + item.rank0) * 32,
               .count = item.tiles,
               .inner = 1,
               .outer_stride = a.rank_tiles,
               .inner_stride = 0,
               .steps = item.ranks,
               .parts = a.up_parts,
               .part_steps = (int)quotient(item.ranks + a.up_parts - 1, a.up_parts)};
    if constexpr (PAIRED) {
        const int steps = tiles_of(a.width);
        const int64_t tile = (int64_t)item.k * a.rank_tiles + item.rank0;
        item.down = {.first = (const uint4 *)a.v[blockIdx.z] + tile * steps * 32,
                     .count = item.ranks,
                     .inner = 1,
                     .outer_stride = steps,
                     .inner_stride = 0,
                     .steps = steps,
                     .parts = a.parts,
                     .part_steps = (int)quotient(steps + a.parts - 1, a.parts)};
    }
    return item;
}

/* The CTA's columns of T_k. */
template <typename T>
__device__ inline void t_stage(const stream_up_t &a, const up_item_t &item, const chunk_t &first,
                               T *operand, uint64_t *barrier) {
    const int64_t ld = (int64_t)a.rank_tiles * FRAGMENT_SIDE;
    const int64_t begin =
        blockIdx.z * a.t_layer + item.k * a.tokens * ld + item.rank0 * FRAGMENT_SIDE;
    if (a.shares == 1) {
        const input_t input = {.x = a.t,
                               .ld = ld,
                               .first = begin,
                               .tokens = a.tokens,
                               .blocks = 1,
                               .width = item.ranks * FRAGMENT_SIDE,
                               .block_stride = 0,
                               .vector = aligned16(a.t)};
        input_stage(input, input.width, first, (uint16_t *)operand, a.t_pitch, barrier);
        return;
    }
    const int64_t stride = a.out_blocks * (int64_t)a.tokens * ld;
    chunks_stage<1>(first, (uint16_t *)operand, a.t_pitch, [&](int token, int chunk) {
        return shares_sum<T, MOST_SHARES>((const T *)a.t + begin + token * ld + chunk * 8, a.shares,
                                          stride);
    });
}

/* Results of one 8-token column of a tile of Y_k. a.pairs: pairs of features are aligned words. */
template <typename T>
__device__ inline void y_store(const stream_up_t &a, const up_item_t &item, int tile, int j,
                               float4 sum) {
    const int lane = (int)threadIdx.x % 32, token = j * 8 + lane % 4 * 2;
    const int feature = (item.tile0 + tile) * FRAGMENT_SIDE + lane / 4 * 2;
    const int left = a.out_width - feature; /* of the pair and what follows */
    if (left <= 0) return;
    T *const y =
        (T *)a.y[blockIdx.z] + token * a.out_features + (int64_t)item.k * a.out_width + feature;
    const uint32_t pairs[2] = {round_pair<T>(sum.x, sum.z), round_pair<T>(sum.y, sum.w)};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        uint16_t *const to = (uint16_t *)(y + i * a.out_features);
        if (token + i >= a.tokens) break;
        if (a.pairs) {
            *(uint32_t *)to = pairs[i];
        } else {
            to[0] = (uint16_t)pairs[i];
            if (left > 1) to[1] = (uint16_t)(pairs[i] >> 16);
        }
    }
}

/*
 * Y from T and U. Where several warps or CTAs share the depth of a tile, they send their results
 * to the CTA that owns the tile, which adds them in the order of their depths. A segment's `out`
 * is the owner (high half) and the tile's number there.
 */
template <typename T, int NT>
__device__ inline void y_compute(const stream_up_t &a, const up_item_t &item, stream_ring_t &ring,
                                 const T *t, float4 *received, uint64_t *barrier) {
    const int lane = (int)threadIdx.x % 32, sources = a.cluster * a.up_parts;
    stream_multiply<T, NT>(
        ring, ring.segments, t, a.t_pitch, a.tokens, [&](const segment_t &s, const float(*acc)[4]) {
            const int source = item.rank * a.up_parts + s.part;
            float4 *const to =
                received + (source * a.owned + (int)(s.out & 0xffff)) * NT * 32 + lane;
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const float4 sum = make_float4(acc[j][0], acc[j][1], acc[j][2], acc[j][3]);
                if (sources == 1)
                    y_store<T>(a, item, s.tile, j, sum);
                else if (a.cluster == 1)
                    to[j * 32] = sum;
                else
                    cluster_store(to + j * 32, barrier, (int)(s.out >> 16), sum);
            }
        });
    if (sources == 1) return;
    if (a.cluster > 1)
        barrier_wait(barrier, 0);
    else
        __syncthreads();
#pragma unroll 1
    for (int i = (int)threadIdx.x / 32; i < a.owned * NT; i += STREAM_WARPS) {
        const int tile = item.rank * a.owned + i / NT;
        if (tile >= item.tiles) break;
        y_store<T>(a, item, tile, i % NT,
                   vectors_sum(received + i * 32 + lane, a.owned * NT * 32, sources));
    }
}

/* Tells the peers of the cluster that this CTA has begun, and expects what they will send. */
template <int NT>
__device__ inline void peers_meet(const stream_up_t &a, const up_item_t &item, uint64_t *barrier) {
    const int tiles = min(a.owned, max(item.tiles - item.rank * a.owned, 0));
    if (threadIdx.x == 0)
        barrier_expect(barrier, tiles * NT * a.cluster * a.up_parts * FRAGMENT_BYTES);
    cluster_arrive();
    cluster_wait();
}

template <typename T, int NT, bool PAIRED>
static __global__ void __launch_bounds__(STREAM_THREADS, stream_ctas(NT))
    stream_up_kernel(const __grid_constant__ stream_up_t a) {
    extern __shared__ uint4 smem[];
    uint64_t *const barriers = (uint64_t *)((char *)smem + a.depth * STREAM_GROUP_BYTES);
    segment_t *const table = (segment_t *)((char *)barriers + STREAM_BARRIER_BYTES);
    uint16_t *const x = (uint16_t *)((char *)barriers + stream_head_bytes(a.segments));
    T *const t = (T *)((char *)smem + a.t_at);
    float4 *const partials = (float4 *)((char *)smem + a.partials_at);
    float4 *const received = (float4 *)((char *)smem + a.received_at);
    dependents_launch();
    if (blockIdx.y >= a.sets * a.out_blocks) {
        dependency_wait();
        return;
    }
    shared_barriers_open(barriers);
    const up_item_t item = up_item<PAIRED>(a);
    stream_ring_t ring = ring_make(smem, barriers, table, a.segments, a.depth);
    if constexpr (!PAIRED && NT == 1) ring_early(ring, item.up);
    const int padded = tiles_of(a.width) * FRAGMENT_SIDE,
              input0 = PAIRED ? (int)quotient(item.rank0, a.pair_tiles) : 0;
    if constexpr (PAIRED)
        ring_add(ring, item.down, [&](int tile) -> place_t {
            return {((int)quotient(item.rank0 + tile, a.pair_tiles) - input0) * padded, 0};
        });
    const int down_end = ring.segments;
    ring_add(ring, item.up, [&](int tile) -> place_t {
        const unsigned owner = quotient(tile, a.owned);
        return {0, owner << 16 | (tile - owner * a.owned)};
    });
    ring_start(ring);
    input_t input = {};
    if constexpr (PAIRED) {
        const int last = (int)quotient(item.rank0 + item.ranks - 1, a.pair_tiles);
        input = {.x = a.x,
                 .ld = a.in_features,
                 .first = (int64_t)input0 * a.width,
                 .tokens = a.tokens,
                 .blocks = last - input0 + 1,
                 .width = a.width,
                 .block_stride = a.width,
                 .vector = a.width % 8 == 0 && a.in_features % 8 == 0 && aligned16(a.x)};
        input_prefetch(input);
    }
    const chunk_t first =
        chunk_first(a.tokens, (PAIRED ? input.blocks * padded : item.ranks * FRAGMENT_SIDE) / 8);
    if (a.cluster > 1) peers_meet<NT>(a, item, barriers + STREAM_RECEIVED);
    __syncthreads(); /* for the barriers */
    dependency_wait();
    if constexpr (PAIRED) {
        input_stage(input, padded, first, x, a.x_pitch, barriers + STREAM_OPERAND);
        stream_multiply_sum<T, NT>(ring, down_end, item.down, (const T *)x, a.x_pitch, a.tokens,
                                   partials, [&](int tile, unsigned, int j, float4 sum) {
                                       fragment_store<T>(t + tile * FRAGMENT_SIDE, a.t_pitch, j,
                                                         a.tokens, sum);
                                   });
        __syncthreads();
    } else {
        t_stage<T>(a, item, first, t, barriers + STREAM_OPERAND);
    }
    y_compute<T, NT>(a, item, ring, t, received, barriers + STREAM_RECEIVED);
}

template <typename T, int NT>
static status_t up_launch(const stream_up_t *a, int layers, const stream_device_t *device,
                          cudaStream_t stream) {
    static uint64_t opted_in[2];
    stream_up_t args = *a;
    args.pairs = a->out_width % 2 == 0;
    for (int i = 0; i < layers; i++) args.pairs = args.pairs && (uintptr_t)a->y[i] % 4 == 0;
    const unsigned places = stream_places(a->sets * a->out_blocks, a->cluster, device);
    return stream_launch(a->paired ? stream_up_kernel<T, NT, true> : stream_up_kernel<T, NT, false>,
                         args, dim3((unsigned)a->cluster, places, (unsigned)layers), a->cluster,
                         a->smem_bytes, device, &opted_in[a->paired], stream);
}

/* ---- The dtype and the columns of tokens, from run time to compile time ---- */

/* function<dtype, columns>(...) */
#define DISPATCH_STREAM(dtype, tokens, function, ...)                                              \
    do {                                                                                           \
        const int columns = stream_columns(tokens);                                                \
        if (dtype == DTYPE_BF16) {                                                                 \
            if (columns == 1) return function<__nv_bfloat16, 1>(__VA_ARGS__);                      \
            if (columns == 2) return function<__nv_bfloat16, 2>(__VA_ARGS__);                      \
            if (columns == 4) return function<__nv_bfloat16, 4>(__VA_ARGS__);                      \
            return function<__nv_bfloat16, 8>(__VA_ARGS__);                                        \
        }                                                                                          \
        if (columns == 1) return function<__half, 1>(__VA_ARGS__);                                 \
        if (columns == 2) return function<__half, 2>(__VA_ARGS__);                                 \
        if (columns == 4) return function<__half, 4>(__VA_ARGS__);                                 \
        return function<__half, 8>(__VA_ARGS__);                                                   \
    } while (0)

static status_t stream_down(const stream_down_t *a, int layers, dtype_t dtype,
                            const stream_device_t *device, stream_t stream) {
    DISPATCH_STREAM(dtype, a->tokens, down_launch, a, layers, device, (cudaStream_t)stream);
}

static status_t stream_up(const stream_up_t *a, int layers, dtype_t dtype,
                          const stream_device_t *device, stream_t stream) {
    DISPATCH_STREAM(dtype, a->tokens, up_launch, a, layers, device, (cudaStream_t)stream);
}

status_t stream_chain(stream_chain_t *chain, dtype_t dtype, const stream_device_t *device,
                      void *const *const *tensors, void *workspace, stream_t stream) {
    stream_down_t *const down = &chain->down;
    stream_up_t *const up = &chain->up;
    const int u = up->alone ? 1 : down->scaled ? 3 : 2;
    for (int i = 0; i < chain->layers; i++) {
        down->v[i] = up->v[i] = tensors[i][1], down->scales[i] = tensors[i][2];
        up->u[i] = tensors[i][u], up->y[i] = tensors[i][u + 1];
    }
    down->t_layer = up->t_layer = (int64_t)stream_chain_bytes(chain) / 2;
    down->x = up->x = tensors[0][0];
    down->t = workspace, up->t = up->alone ? tensors[0][0] : workspace;
    const status_t st = up->paired || up->alone
                            ? STATUS_OK
                            : stream_down(down, chain->layers, dtype, device, stream);
    return st == STATUS_OK ? stream_up(up, chain->layers, dtype, device, stream) : st;
}
