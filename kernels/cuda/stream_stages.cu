#include "kernels/cuda/stream_stages.h"

enum {
    MOST_SHARES = 8,
    PARTIALS_BYTES = 32 << 10,
    MANY = 2
}; /* MANY: CTAs an SM that registers must allow */

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
    const int set = (int)blockIdx.x, steps = tiles_of(a.width);
    item.share = (int)blockIdx.y;
    item.tile0 = share_begin(a.set_share, set);
    const int tiles = share_count(a.set_share, set);
    /* A share is whole blocks where there are several, else steps. */
    const int unit0 = share_begin(a.unit_share, item.share);
    const int count = share_count(a.unit_share, item.share);
    const int blocks = a.blocks > 1 ? count : 1, step0 = a.blocks > 1 ? 0 : unit0;
    const int deep = a.blocks > 1 ? steps : count;
    item.block0 = a.blocks > 1 ? unit0 : 0;
    item.tiles = {.first = (const uint4 *)a.v +
                           (((int64_t)item.tile0 * a.blocks + item.block0) * steps + step0) * 32,
                  .count = tiles * blocks,
                  .inner = blocks,
                  .outer_stride = a.blocks * steps,
                  .inner_stride = steps,
                  .steps = deep,
                  .parts = a.parts,
                  .part_steps = (deep + a.parts - 1) / a.parts};
    item.input0 = item.tile0 / a.input_tiles;
    const int inputs = (item.tile0 + tiles - 1) / a.input_tiles - item.input0 + 1;
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

/* Z_k of this CTA's blocks from their Y, fragments in shared memory. */
template <typename T, int NT>
__device__ inline void scale_blocks(const stream_down_t &a, const down_item_t &item,
                                    const float4 *y, const uint16_t *scales) {
    const int lane = (int)threadIdx.x % 32, blocks = item.tiles.inner;
    const int tiles = share_count(a.set_share, (int)blockIdx.x);
    const int64_t ld = (int64_t)a.rank_tiles * FRAGMENT_SIDE;
    const int stride = a.out_blocks * FRAGMENT_SIDE / 2; /* words from one l to the next */
    for (int k = (int)threadIdx.x / 32; k < a.out_blocks; k += STREAM_WARPS)
        for (int i = 0; i < tiles * NT; i++) {
            const int tile = i / NT, j = i % NT;
            const float4 *const from = y + (tile * blocks * NT + j) * 32 + lane;
            const uint32_t *const s = (const uint32_t *)scales + tile * blocks * stride +
                                      k * FRAGMENT_SIDE / 2 + lane / 4;
            float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 4
            for (int l = 0; l < blocks; l++) {
                const float4 part = from[l * NT * 32];
                const float2 factor = widen_pair<T>(s[l * stride]);
                sum.x += part.x * factor.x, sum.y += part.y * factor.x;
                sum.z += part.z * factor.y, sum.w += part.w * factor.y;
            }
            T *const to = (T *)a.t + (int64_t)(item.share * a.out_blocks + k) * a.tokens * ld;
            fragment_store<T>(to + (item.tile0 + tile) * FRAGMENT_SIDE, ld, j, a.tokens, sum);
        }
}

/* The scales of a CTA: contiguous within each of its tiles. */
__device__ inline void scales_stage(const stream_down_t &a, const down_item_t &item, uint4 *to) {
    const int words = a.out_blocks * FRAGMENT_SIDE / 8, each = item.tiles.inner * words;
    const uint4 *from =
        (const uint4 *)a.scales + ((int64_t)item.tile0 * a.blocks + item.block0) * words;
    for (int i = 0; i < item.tiles.count; i += item.tiles.inner) {
#pragma unroll 2
        for (int word = (int)threadIdx.x; word < each; word += STREAM_THREADS)
            to[word] = __ldg(from + word);
        from += a.blocks * words, to += each;
    }
}

template <typename T, int NT, bool SCALED>
static __global__ void __launch_bounds__(STREAM_THREADS, MANY)
    stream_down_kernel(const __grid_constant__ stream_down_t a) {
    extern __shared__ uint4 smem[];
    uint64_t *const barriers = (uint64_t *)((char *)smem + a.depth * STREAM_GROUP_BYTES);
    segment_t *const table = (segment_t *)((char *)barriers + STREAM_BARRIER_BYTES);
    uint16_t *const operand = (uint16_t *)((char *)barriers + stream_head_bytes(a.segments));
    float4 *const partials = (float4 *)((char *)smem + a.partials_at);
    uint16_t *const scales = (uint16_t *)((char *)smem + a.s_at);
    dependents_launch();
    barriers_open(barriers);
    const down_item_t item = down_item(a);
    stream_ring_t ring = ring_make(smem, barriers, table, a.segments, a.depth);
    ring_add(ring, item.tiles, [&](int tile) {
        const int block =
            SCALED ? tile % item.tiles.inner : (item.tile0 + tile) / a.input_tiles - item.input0;
        return block * item.padded;
    });
    ring_start(ring);
    input_prefetch(item.input);
    if constexpr (SCALED) scales_stage(a, item, (uint4 *)scales);
    dependency_wait();
    input_stage(item.input, item.padded, operand, a.pitch, barriers + STREAM_BARRIERS - 1);
    if constexpr (SCALED) __syncthreads(); /* for the scales */
    const T *const x = (const T *)operand;
    if constexpr (SCALED) {
        const int lane = (int)threadIdx.x % 32;
        float4 *const y = (float4 *)((char *)smem + a.y_at);
        stream_multiply_sum<T, NT>(
            ring, ring.segments, item.tiles, x, a.pitch, a.tokens, partials,
            [&](int tile, int j, float4 sum) { y[(tile * NT + j) * 32 + lane] = sum; });
        __syncthreads();
        scale_blocks<T, NT>(a, item, y, scales);
    } else {
        const int64_t ld = (int64_t)a.rank_tiles * FRAGMENT_SIDE;
        stream_multiply_sum<T, NT>(
            ring, ring.segments, item.tiles, x, a.pitch, a.tokens, partials,
            [&](int tile, int j, float4 sum) {
                int k = 0, to = item.tile0 + tile;
                if (a.out_blocks > 1) {
                    const int input = to / a.input_tiles, pair = to % a.input_tiles;
                    k = pair / a.pair_tiles;
                    to = input * a.pair_tiles + pair % a.pair_tiles;
                }
                T *const rows = (T *)a.t + (item.share * a.out_blocks + k) * a.tokens * ld;
                fragment_store<T>(rows + to * FRAGMENT_SIDE, ld, j, a.tokens, sum);
            });
    }
}

bool stream_down_fit(stream_down_t *a, const stream_device_t *device) {
    const int columns = stream_columns(a->tokens), steps = tiles_of(a->width);
    const int tiles = (int)ceil_div(a->tiles, a->sets), share = a->blocks > 1 ? a->blocks : steps;
    const int most = (int)ceil_div(share, a->shares);
    const int blocks = a->blocks > 1 ? most : 1, deep = a->blocks > 1 ? steps : most;
    int inputs = blocks;
    a->set_share = share_of(a->tiles, a->sets);
    a->unit_share = share_of(share, a->shares);
    for (int i = 0; a->blocks == 1 && i < a->sets; i++) {
        const int first = share_begin(a->set_share, i) / a->input_tiles;
        const int last = (share_begin(a->set_share, i + 1) - 1) / a->input_tiles;
        if (last - first + 1 > inputs) inputs = last - first + 1;
    }
    const int64_t results = (int64_t)tiles * blocks * columns * FRAGMENT_BYTES;
    a->parts = stream_parts(tiles * blocks, deep, (int)(PARTIALS_BYTES / results));
    a->pitch = operand_pitch(inputs * deep * FRAGMENT_SIDE);
    a->segments = stream_segments(tiles * blocks, a->parts);
    const int64_t operand = stream_head_bytes(a->segments) + (int64_t)a->tokens * a->pitch * 2;
    const int64_t partials = a->parts > 1 ? results * a->parts : 0;
    const int64_t y = a->scaled ? results : 0;
    const int64_t scales =
        a->scaled ? (int64_t)tiles * blocks * a->out_blocks * FRAGMENT_SIDE * 2 : 0;
    a->depth = stream_depth(device, operand + partials + y + scales);
    a->partials_at = (int)(a->depth * STREAM_GROUP_BYTES + operand);
    a->y_at = (int)(a->partials_at + partials);
    a->s_at = (int)(a->y_at + y);
    a->smem_bytes = (int)(a->s_at + scales);
    return a->depth > 0 && a->pitch <= UINT16_MAX;
}

template <typename T, int NT>
static status_t down_launch(const stream_down_t *a, const stream_device_t *device,
                            cudaStream_t stream) {
    static uint64_t opted_in[2];
    return stream_launch(a->scaled ? stream_down_kernel<T, NT, true>
                                   : stream_down_kernel<T, NT, false>,
                         *a, dim3((unsigned)a->sets, (unsigned)a->shares), 1, a->smem_bytes, device,
                         &opted_in[a->scaled], stream);
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
    const int set = (int)blockIdx.y, out_tiles = tiles_of(a.out_width);
    item.k = (int)blockIdx.z;
    item.rank = (int)blockIdx.x;
    item.tile0 = share_begin(a.set_share, set);
    item.tiles = share_count(a.set_share, set);
    item.rank0 = share_begin(a.rank_share, item.rank);
    item.ranks = share_count(a.rank_share, item.rank);
    const int64_t row = (int64_t)item.k * out_tiles + item.tile0;
    item.up = {.first = (const uint4 *)a.u + (row * a.rank_tiles + item.rank0) * 32,
               .count = item.tiles,
               .inner = 1,
               .outer_stride = a.rank_tiles,
               .inner_stride = 0,
               .steps = item.ranks,
               .parts = a.up_parts,
               .part_steps = (item.ranks + a.up_parts - 1) / a.up_parts};
    if constexpr (PAIRED) {
        const int steps = tiles_of(a.width);
        const int64_t tile = (int64_t)item.k * a.rank_tiles + item.rank0;
        item.down = {.first = (const uint4 *)a.v + tile * steps * 32,
                     .count = item.ranks,
                     .inner = 1,
                     .outer_stride = steps,
                     .inner_stride = 0,
                     .steps = steps,
                     .parts = a.parts,
                     .part_steps = (steps + a.parts - 1) / a.parts};
    }
    return item;
}

/* Eight neighbours of T, the sum over the shares in which stream_down left it. */
template <typename T> __device__ inline uint4 t_sum(const T *from, int shares, int64_t stride) {
    float2 sum[4] = {};
    uint4 part[MOST_SHARES];
#pragma unroll
    for (int i = 0; i < MOST_SHARES; i++) {
        part[i] = make_uint4(0, 0, 0, 0);
        if (i < shares) part[i] = __ldcg((const uint4 *)(from + i * stride));
    }
#pragma unroll
    for (int i = 0; i < MOST_SHARES; i++) {
        const uint32_t word[4] = {part[i].x, part[i].y, part[i].z, part[i].w};
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float2 pair = widen_pair<T>(word[e]);
            sum[e].x += pair.x, sum[e].y += pair.y;
        }
    }
    return make_uint4(round_pair<T>(sum[0].x, sum[0].y), round_pair<T>(sum[1].x, sum[1].y),
                      round_pair<T>(sum[2].x, sum[2].y), round_pair<T>(sum[3].x, sum[3].y));
}

/* The CTA's columns of T_k. */
template <typename T>
__device__ inline void t_stage(const stream_up_t &a, const up_item_t &item, T *operand,
                               uint64_t *barrier) {
    const int64_t ld = (int64_t)a.rank_tiles * FRAGMENT_SIDE;
    const int64_t first = item.k * a.tokens * ld + item.rank0 * FRAGMENT_SIDE;
    if (a.shares == 1) {
        const input_t input = {.x = a.t,
                               .ld = ld,
                               .first = first,
                               .tokens = a.tokens,
                               .blocks = 1,
                               .width = item.ranks * FRAGMENT_SIDE,
                               .block_stride = 0,
                               .vector = true};
        input_stage(input, input.width, (uint16_t *)operand, a.t_pitch, barrier);
        return;
    }
    const int chunks = item.ranks * 2;
    const int64_t stride = a.out_blocks * (int64_t)a.tokens * ld;
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < a.tokens * chunks; i += STREAM_THREADS) {
        const int token = i / chunks, column = i % chunks * 8;
        *(uint4 *)(operand + token * a.t_pitch + column) =
            t_sum((const T *)a.t + first + token * ld + column, a.shares, stride);
    }
    __syncthreads();
}

/* The same computed here, T_lk = X_l V_lk. */
template <typename T, int NT>
__device__ inline void t_compute(const stream_up_t &a, const up_item_t &item, const input_t &input,
                                 stream_ring_t &ring, int end, uint16_t *x, T *t, float4 *partials,
                                 uint64_t *barrier) {
    input_stage(input, tiles_of(a.width) * FRAGMENT_SIDE, x, a.x_pitch, barrier);
    stream_multiply_sum<T, NT>(ring, end, item.down, (const T *)x, a.x_pitch, a.tokens, partials,

                               [&](int tile, int j, float4 sum) {
                                   fragment_store<T>(t + tile * FRAGMENT_SIDE, a.t_pitch, j,
                                                     a.tokens, sum);
                               });
}

template <typename T>
__device__ inline void y_store(const stream_up_t &a, const up_item_t &item, int tile, int j,
                               float4 sum) {
    const int lane = (int)threadIdx.x % 32, token = j * 8 + lane % 4 * 2;
    const int feature = (item.tile0 + tile) * FRAGMENT_SIDE + lane / 4 * 2;
    const int left = a.out_width - feature; /* of the pair and what follows */
    if (left <= 0) return;
    T *const y = (T *)a.y + token * a.out_features + (int64_t)item.k * a.out_width + feature;
    const uint32_t pairs[2] = {round_pair<T>(sum.x, sum.z), round_pair<T>(sum.y, sum.w)};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        T *const to = y + i * a.out_features;
        if (token + i >= a.tokens) break;
        if (left > 1 && ((uintptr_t)to & 3) == 0) {
            *(uint32_t *)to = pairs[i];
        } else {
            ((uint16_t *)to)[0] = (uint16_t)pairs[i];
            if (left > 1) ((uint16_t *)to)[1] = (uint16_t)(pairs[i] >> 16);
        }
    }
}

/*
 * Y from T and U. Where several warps or CTAs share the depth of a tile, they send their results
 * to the CTA that owns the tile, which adds them in the order of their depths.
 */
template <typename T, int NT>
__device__ inline void y_compute(const stream_up_t &a, const up_item_t &item, stream_ring_t &ring,
                                 const T *t, float4 *received) {
    const int lane = (int)threadIdx.x % 32, sources = a.cluster * a.up_parts;
    const int owned = (int)((item.tiles + a.cluster - 1) / a.cluster);
    if (a.cluster > 1) cluster_wait(); /* that all CTAs of the cluster have begun */
    stream_multiply<T, NT>(
        ring, ring.segments, t, a.t_pitch, a.tokens, [&](int tile, int part, const float(*acc)[4]) {
            const int source = item.rank * a.up_parts + part;
            const int owner = a.cluster > 1 ? tile / owned : 0;
            float4 *const to = received + (source * owned + tile - owner * owned) * NT * 32 + lane;
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const float4 sum = make_float4(acc[j][0], acc[j][1], acc[j][2], acc[j][3]);
                if (sources == 1)
                    y_store<T>(a, item, tile, j, sum);
                else if (a.cluster == 1)
                    to[j * 32] = sum;
                else
                    cluster_store(to + j * 32, owner, sum);
            }
        });
    if (sources == 1) return;
    if (a.cluster > 1) {
        cluster_arrive();
        cluster_wait();
    } else {
        __syncthreads();
    }
    for (int i = (int)threadIdx.x / 32; i < owned * NT; i += STREAM_WARPS) {
        const int tile = item.rank * owned + i / NT;
        if (tile >= item.tiles) break;
        const float4 *const from = received + i * 32 + lane;
        float4 sum = from[0];
#pragma unroll 8
        for (int source = 1; source < sources; source++)
            sum = fragment_add(sum, from[source * owned * NT * 32]);
        y_store<T>(a, item, tile, i % NT, sum);
    }
}

template <typename T, int NT, bool PAIRED>
static __global__ void __launch_bounds__(STREAM_THREADS, MANY)
    stream_up_kernel(const __grid_constant__ stream_up_t a) {
    extern __shared__ uint4 smem[];
    uint64_t *const barriers = (uint64_t *)((char *)smem + a.depth * STREAM_GROUP_BYTES);
    uint64_t *const operand_barrier = barriers + STREAM_BARRIERS - 1;
    segment_t *const table = (segment_t *)((char *)barriers + STREAM_BARRIER_BYTES);
    uint16_t *const x = (uint16_t *)((char *)barriers + stream_head_bytes(a.segments));
    T *const t = (T *)((char *)smem + a.t_at);
    float4 *const partials = (float4 *)((char *)smem + a.partials_at);
    float4 *const received = (float4 *)((char *)smem + a.received_at);
    dependents_launch();
    barriers_open(barriers);
    const up_item_t item = up_item<PAIRED>(a);
    if (a.cluster > 1) cluster_arrive();
    stream_ring_t ring = ring_make(smem, barriers, table, a.segments, a.depth);
    if constexpr (PAIRED) {
        const int first = item.rank0 / a.pair_tiles;
        ring_add(ring, item.down, [&](int tile) {
            return ((item.rank0 + tile) / a.pair_tiles - first) * tiles_of(a.width) * FRAGMENT_SIDE;
        });
    }
    const int down_end = ring.segments;
    ring_add(ring, item.up, [](int) { return 0; });
    ring_start(ring);
    if constexpr (PAIRED) {
        const int first = item.rank0 / a.pair_tiles;
        const int last = (item.rank0 + item.ranks - 1) / a.pair_tiles;
        const input_t input = {.x = a.x,
                               .ld = a.in_features,
                               .first = (int64_t)first * a.width,
                               .tokens = a.tokens,
                               .blocks = last - first + 1,
                               .width = a.width,
                               .block_stride = a.width,
                               .vector =
                                   a.width % 8 == 0 && a.in_features % 8 == 0 && aligned16(a.x)};
        input_prefetch(input);
        dependency_wait();
        t_compute<T, NT>(a, item, input, ring, down_end, x, t, partials, operand_barrier);
        __syncthreads();
    } else {
        dependency_wait();
        t_stage<T>(a, item, t, operand_barrier);
    }
    y_compute<T, NT>(a, item, ring, t, received);
}

/* The most blocks of X that the tiles of T_k of one CTA read. */
static int up_inputs(const stream_up_t *a) {
    int most = 0;
    for (int i = 0; i < a->cluster; i++) {
        const int first = share_begin(a->rank_share, i) / a->pair_tiles;
        const int last = (share_begin(a->rank_share, i + 1) - 1) / a->pair_tiles;
        if (last - first + 1 > most) most = last - first + 1;
    }
    return most;
}

bool stream_up_fit(stream_up_t *a, const stream_device_t *device) {
    const int columns = stream_columns(a->tokens), steps = tiles_of(a->width);
    const int ranks = (int)ceil_div(a->rank_tiles, a->cluster);
    const int least = a->rank_tiles / a->cluster; /* ranks of the smallest share */
    const int tiles = (int)ceil_div(tiles_of(a->out_width), a->sets);
    const int64_t owned = ceil_div(tiles, a->cluster) * a->cluster;
    const int64_t results = (int64_t)ranks * columns * FRAGMENT_BYTES;
    int64_t operand = 0, partials = 0;
    a->set_share = share_of(tiles_of(a->out_width), a->sets);
    a->rank_share = share_of(a->rank_tiles, a->cluster);
    a->parts = 1;
    if (a->paired) {
        a->parts = stream_parts(ranks, steps, (int)(PARTIALS_BYTES / results));
        a->x_pitch = operand_pitch(up_inputs(a) * steps * FRAGMENT_SIDE);
        operand = (int64_t)a->tokens * a->x_pitch * 2;
        partials = a->parts > 1 ? results * a->parts : 0;
    }
    a->up_parts =
        stream_parts(tiles, least, (int)(PARTIALS_BYTES / (owned * columns * FRAGMENT_BYTES)));
    a->t_pitch = operand_pitch(ranks * FRAGMENT_SIDE);
    a->segments =
        stream_segments(tiles, a->up_parts) + (a->paired ? stream_segments(ranks, a->parts) : 0);
    operand += stream_head_bytes(a->segments);
    const int64_t t = (int64_t)a->tokens * a->t_pitch * 2;
    const int64_t received =
        a->cluster * a->up_parts > 1 ? owned * a->up_parts * columns * FRAGMENT_BYTES : 0;
    a->depth = stream_depth(device, operand + partials + t + received);
    a->t_at = (int)(a->depth * STREAM_GROUP_BYTES + operand);
    a->partials_at = (int)(a->t_at + t);
    a->received_at = (int)(a->partials_at + partials);
    a->smem_bytes = (int)(a->received_at + received);
    return a->depth > 0 && least > 0 && a->t_pitch <= UINT16_MAX && a->x_pitch <= UINT16_MAX;
}

template <typename T, int NT>
static status_t up_launch(const stream_up_t *a, const stream_device_t *device,
                          cudaStream_t stream) {
    static uint64_t opted_in[2];
    return stream_launch(a->paired ? stream_up_kernel<T, NT, true> : stream_up_kernel<T, NT, false>,
                         *a, dim3((unsigned)a->cluster, (unsigned)a->sets, (unsigned)a->out_blocks),
                         a->cluster, a->smem_bytes, device, &opted_in[a->paired], stream);
}

/* ---- Shapes of a chain ---- */

enum { MOST_TILES = 32, CLUSTER_COST = 48 << 10 };

/* Bytes that pass through the busiest SM: what latency is hidden behind. */
static int64_t down_cost(const stream_down_t *a, const stream_device_t *device) {
    const int steps = tiles_of(a->width), units = a->blocks > 1 ? a->blocks : steps;
    const int64_t deep = ceil_div(units, a->shares) * (a->blocks > 1 ? steps : 1);
    const int64_t waves = ceil_div((int64_t)a->sets * a->shares, device->sms);
    return waves * deep * (ceil_div(a->tiles, a->sets) * FRAGMENT_BYTES + a->tokens * 32);
}

static int64_t up_cost(const stream_up_t *a, const stream_device_t *device) {
    const int64_t ranks = ceil_div(a->rank_tiles, a->cluster);
    const int64_t waves = ceil_div((int64_t)a->out_blocks * a->sets * a->cluster, device->sms);
    const int64_t tiles = ceil_div(tiles_of(a->out_width), a->sets);
    return waves * ranks * (tiles * FRAGMENT_BYTES + a->shares * a->tokens * 32) +
           (a->cluster > 1 ? CLUSTER_COST : 0);
}

static bool down_choose(stream_down_t *best, int shares, const stream_device_t *device,
                        int64_t *cost) {
    const stream_down_t given = *best;
    *cost = INT64_MAX;
    for (int tiles = 1; tiles <= MOST_TILES && tiles <= given.tiles; tiles++) {
        stream_down_t a = given;
        a.shares = shares;
        a.sets = (int)ceil_div(a.tiles, tiles);
        const int64_t now = down_cost(&a, device);
        if (now < *cost && stream_down_fit(&a, device)) *best = a, *cost = now;
    }
    return *cost < INT64_MAX;
}

static bool up_choose(stream_up_t *best, int shares, const stream_device_t *device, int64_t *cost) {
    const stream_up_t given = *best;
    const int tiles = tiles_of(given.out_width);
    *cost = INT64_MAX;
    for (int cluster = 1; cluster <= (device->capability >= 90 ? 8 : 1); cluster *= 2) {
        stream_up_t a = given;
        a.shares = shares, a.cluster = cluster;
        int sets = device->sms / (a.out_blocks * cluster);
        sets = sets < 1 ? 1 : sets > tiles ? tiles : sets;
        a.sets = (int)ceil_div(tiles, ceil_div(tiles, sets));
        const int64_t now = up_cost(&a, device);
        if (now < *cost && stream_up_fit(&a, device)) *best = a, *cost = now;
    }
    return *cost < INT64_MAX;
}

bool stream_chain_choose(stream_down_t *down, stream_up_t *up, const stream_device_t *device,
                         char *why, size_t why_len) {
    const stream_down_t down_given = *down;
    const stream_up_t up_given = *up;
    const int units = down->blocks > 1 ? down->blocks : tiles_of(down->width);
    int64_t best = INT64_MAX;
    for (int shares = 1; shares <= MOST_SHARES && shares <= units; shares++) {
        stream_down_t a = down_given;
        stream_up_t b = up_given;
        int64_t down_bytes, up_bytes;
        if (!down_choose(&a, shares, device, &down_bytes)) continue;
        if (!up_choose(&b, shares, device, &up_bytes)) continue;
        if (down_bytes + up_bytes < best) {
            best = down_bytes + up_bytes;
            *down = a, *up = b;
        }
    }
    if (best < INT64_MAX) return true;
    snprintf(why, why_len,
             "%d tokens beside the weights' rings do not fit into %lld bytes of "
             "shared memory",
             down->tokens, (long long)device->smem_bytes);
    return false;
}

size_t stream_chain_bytes(const stream_down_t *a) {
    return (size_t)a->shares * (size_t)a->out_blocks * (size_t)a->tokens * (size_t)a->rank_tiles *
           FRAGMENT_SIDE * 2;
}

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

status_t stream_down(const stream_down_t *a, dtype_t dtype, const stream_device_t *device,
                     stream_t stream) {
    DISPATCH_STREAM(dtype, a->tokens, down_launch, a, device, (cudaStream_t)stream);
}

status_t stream_up(const stream_up_t *a, dtype_t dtype, const stream_device_t *device,
                   stream_t stream) {
    DISPATCH_STREAM(dtype, a->tokens, up_launch, a, device, (cudaStream_t)stream);
}
