/*
 * attention/flash on Hopper.
 *
 *   producer warp     Q once, then tiles of K and of V into a ring each, from the last key back, so
 *                     that tiles that need a mask come first
 *   consumers         a warpgroup for each 64 queries. S = Q K^T of the next tile is issued before
 *                     O += P V of this one, so that the softmax of S runs beside it; P stays in
 *                     registers as the A operand. Warpgroups take turns in issuing: while one has
 *                     the tensor cores, the others are at their softmax
 *
 * Blocks of the longest causal rows start first, and those that run together share heads, as many
 * as have their K and V in L2. A head dim between the sizes of tiles is padded by the copy engine,
 * which gives zeros outside a tensor: K and Q beyond the head's features, keys beyond the context.
 */
#include "kernels/attention/attention.h"
#include "kernels/attention/flash.h"
#include "kernels/attention/flash_rows.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/cuda/tma.cuh"
#include "kernels/cuda/wgmma.cuh"

enum { WARPGROUP = 128, WARPGROUP_ROWS = 64, SMEM_ALIGN = 1024, SMEM_PER_SM = 228 * 1024 };
static const int64_t TOGETHER_BYTES = 24 << 20; /* K and V of the heads that run together */

/* HEAD is 64, 72 or 128. Features lie in sections of 64 (128 bytes wide), and what K and Q of head
 * dim 72 have beyond 64 in one of 16. */
template <int HEAD_, int WARPGROUPS_, int KEYS_, int STAGES_, int BLOCKS_> struct tile_shape {
    static constexpr int HEAD = HEAD_, WARPGROUPS = WARPGROUPS_, KEYS = KEYS_, STAGES = STAGES_;
    static constexpr int BLOCKS = BLOCKS_; /* that an SM holds */
    static constexpr int QUERIES = WARPGROUPS * WARPGROUP_ROWS;
    static constexpr int THREADS = (WARPGROUPS + 1) * WARPGROUP;
    static constexpr int SECTIONS = HEAD / 64, REST = HEAD % 64 ? 16 : 0;
    static constexpr int V_SECTIONS = (HEAD + 63) / 64;
    static constexpr int STEPS = (HEAD + 15) / 16, WEIGHT_STEPS = KEYS / 16;
    static constexpr int Q_BYTES = QUERIES * 2 * (SECTIONS * 64 + REST);
    static constexpr int K_LOADED = KEYS * 2 * (SECTIONS * 64 + REST);
    static constexpr int K_BYTES = (K_LOADED + SMEM_ALIGN - 1) / SMEM_ALIGN * SMEM_ALIGN;
    static_assert(Q_BYTES % SMEM_ALIGN == 0);
    static constexpr int V_BYTES = KEYS * 2 * V_SECTIONS * 64;
    static constexpr int BARRIERS = 1 + 4 * STAGES;
    static constexpr int SMEM = Q_BYTES + STAGES * (K_BYTES + V_BYTES) + BARRIERS * MBARRIER_BYTES;
    static constexpr bool TAKE_TURNS = WARPGROUPS > 1;
    /* Registers a thread: of consumers, and of the producer. */
    static constexpr int CONSUMER = WARPGROUPS == 3 ? 160 : WARPGROUPS == 2 ? 240 : 208;
    static constexpr int PRODUCER = WARPGROUPS == 3 ? 32 : WARPGROUPS == 2 ? 24 : 40;
    static_assert((SMEM + 1024) * BLOCKS <= SMEM_PER_SM && KEYS % 16 == 0 && KEYS <= 256);
};

struct maps_t {
    CUtensorMap q, q_rest, k, k_rest, v;
};

struct flash_t {
    int tokens, context, features, head_dim, heads, group, sequences; /* x heads */
    int tiles, together;                                              /* of a head; heads */
    bool causal;
    float factor;
};

/* What a block owns: queries from `token` on; it reads the key tiles below `key_tiles`. */
struct work_t {
    int batch, head, token, key_tiles;
};

template <typename S> __device__ inline work_t work_of(const flash_t &f) {
    const int some = f.together * f.tiles, first = (int)blockIdx.x / some * f.together;
    const int heads = min(f.together, f.sequences - first), at = (int)blockIdx.x % some;
    const int sequence = first + at % heads, token = (f.tiles - 1 - at / heads) * S::QUERIES;
    const int seen =
        f.causal ? min(f.context, f.context - f.tokens + token + S::QUERIES) : f.context;
    return {sequence / f.heads, sequence % f.heads, token, (seen + S::KEYS - 1) / S::KEYS};
}

template <typename S> struct layout_t {
    uint32_t base;

    __device__ uint32_t q() const {
        return base;
    }
    __device__ uint32_t k(int slot) const {
        return base + S::Q_BYTES + slot * S::K_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return base + S::Q_BYTES + S::STAGES * S::K_BYTES + slot * S::V_BYTES;
    }
    __device__ uint32_t barrier(int index) const {
        return v(S::STAGES) + index * MBARRIER_BYTES;
    }
    __device__ uint32_t q_full() const {
        return barrier(0);
    }
    __device__ uint32_t k_full(int slot) const {
        return barrier(1 + slot);
    }
    __device__ uint32_t k_empty(int slot) const {
        return barrier(1 + S::STAGES + slot);
    }
    __device__ uint32_t v_full(int slot) const {
        return barrier(1 + 2 * S::STAGES + slot);
    }
    __device__ uint32_t v_empty(int slot) const {
        return barrier(1 + 3 * S::STAGES + slot);
    }
};

/* `rows` tokens of a head of Q, K or V, section by section. */
template <int SECTIONS, int REST>
__device__ inline void load_rows(uint32_t to, const CUtensorMap *map, const CUtensorMap *rest,
                                 int rows, int head, int token, int batch, uint32_t barrier) {
#pragma unroll
    for (int i = 0; i < SECTIONS; i++)
        tma_load_4d(to + i * rows * 128, map, 64 * i, head, token, batch, barrier);
    if constexpr (REST > 0)
        tma_load_4d(to + SECTIONS * rows * 128, rest, 64 * SECTIONS, head, token, batch, barrier);
}

/* One thread. K is a tile ahead of V, as the consumers are. */
template <typename S>
__device__ void produce(const layout_t<S> &smem, const maps_t &maps, const flash_t &f,
                        const work_t &work) {
    const int kv_head = work.head / f.group;
    ring_t k = {0, 1}, v = {0, 1};
    tma_prefetch(&maps.q);
    tma_prefetch(&maps.k);
    tma_prefetch(&maps.v);
    dependency_wait();
    mbarrier_arrive_expect(smem.q_full(), S::Q_BYTES);
    load_rows<S::SECTIONS, S::REST>(smem.q(), &maps.q, &maps.q_rest, S::QUERIES, work.head,
                                    work.token, work.batch, smem.q_full());
    for (int tile = work.key_tiles - 1; tile >= -1; tile--) {
        if (tile >= 0) {
            mbarrier_wait(smem.k_empty(k.slot), k.parity);
            mbarrier_arrive_expect(smem.k_full(k.slot), S::K_LOADED);
            load_rows<S::SECTIONS, S::REST>(smem.k(k.slot), &maps.k, &maps.k_rest, S::KEYS, kv_head,
                                            tile * S::KEYS, work.batch, smem.k_full(k.slot));
            ring_advance<S::STAGES>(k);
        }
        if (tile < work.key_tiles - 1) {
            mbarrier_wait(smem.v_empty(v.slot), v.parity);
            mbarrier_arrive_expect(smem.v_full(v.slot), S::V_BYTES);
            load_rows<S::V_SECTIONS, 0>(smem.v(v.slot), &maps.v, &maps.v, S::KEYS, kv_head,
                                        (tile + 1) * S::KEYS, work.batch, smem.v_full(v.slot));
            ring_advance<S::STAGES>(v);
        }
    }
}

/* One warpgroup. */
template <typename T, typename S> struct consumer_t {
    float s[S::KEYS / 2], o[S::HEAD / 2];
    uint32_t p[S::KEYS / 4];
    rows_t rows;
    ring_t k = {0, 0}, v = {0, 0};
    const layout_t<S> &smem;
    const flash_t &f;
    const int warpgroup, row; /* row: the first of this thread's two, among the tokens */
    const bool signals;       /* one thread of the warpgroup frees slots */

    __device__ consumer_t(const layout_t<S> &layout, const flash_t &flash, const work_t &work,
                          int index)
        : smem(layout), f(flash), warpgroup(index),
          row(work.token + index * WARPGROUP_ROWS + (int)threadIdx.x % WARPGROUP / 32 * 16 +
              (int)threadIdx.x % 32 / 4),
          signals(threadIdx.x % WARPGROUP == 0) {}

    /* S = Q K^T of the next tile. */
    __device__ void start_scores() {
        const uint32_t q = smem.q(), tile = smem.k(k.slot);
#pragma unroll
        for (int step = 0; step < S::SECTIONS * 4; step++) {
            const int section = step / 4;
            const uint64_t a =
                wgmma_tile<128>(q + section * S::QUERIES * 128 + warpgroup * WARPGROUP_ROWS * 128);
            const uint64_t b = wgmma_tile<128>(tile + section * S::KEYS * 128);
            wgmma<T>(s, wgmma_step(a, step % 4), wgmma_step(b, step % 4), step > 0);
        }
        if constexpr (S::REST > 0)
            wgmma<T>(s,
                     wgmma_tile<32>(q + S::SECTIONS * S::QUERIES * 128 +
                                    warpgroup * WARPGROUP_ROWS * 32),
                     wgmma_tile<32>(tile + S::SECTIONS * S::KEYS * 128), 1);
        wgmma_commit();
    }

    /* O += P V. */
    __device__ void start_output(int accumulate) {
        const uint64_t b = wgmma_across_tile(smem.v(v.slot), S::KEYS * 128);
#pragma unroll
        for (int step = 0; step < S::WEIGHT_STEPS; step++)
            wgmma_across<T>(o, p + 4 * step, wgmma_across_step(b, step), accumulate || step > 0);
        wgmma_commit();
    }

    __device__ void scores_done() {
        registers_fence(s);
        if (signals) mbarrier_arrive(smem.k_empty(k.slot));
        ring_advance<S::STAGES>(k);
    }

    __device__ void output_done() {
        registers_fence(o);
        if (signals) mbarrier_arrive(smem.v_empty(v.slot));
        ring_advance<S::STAGES>(v);
    }

    __device__ void weigh(int tile, bool masked, float (&scale)[2]) {
        if (masked) {
            const int behind = f.context - f.tokens + row + 1; /* keys that the first row sees */
            const int limit[2] = {f.causal ? min(f.context, behind) : f.context,
                                  f.causal ? min(f.context, behind + 8) : f.context};
            mask_scores(s, tile * S::KEYS + (int)threadIdx.x % 4 * 2, limit);
        }
        soften(s, rows, f.factor, scale);
    }

    __device__ void round_weights() {
#pragma unroll
        for (int i = 0; i < S::KEYS / 4; i++) p[i] = round_pair<T>(s[2 * i], s[2 * i + 1]);
    }

    /* Named barrier 1 + i is the turn of warpgroup i. */
    __device__ void my_turn() {
        if constexpr (S::TAKE_TURNS) named_barrier_sync(1 + warpgroup, 2 * WARPGROUP);
    }

    __device__ void next_turn(bool last) {
        if constexpr (S::TAKE_TURNS)
            if (!(last && warpgroup == S::WARPGROUPS - 1))
                named_barrier_arrive(1 + (warpgroup + 1) % S::WARPGROUPS, 2 * WARPGROUP);
    }

    /* All of a tile but the first: its scores beside the output of the one before. */
    __device__ void step(int tile, bool masked, bool first_output) {
        float scale[2];
        mbarrier_wait(smem.k_full(k.slot), k.parity);
        my_turn();
        wgmma_fence();
        start_scores();
        mbarrier_wait(smem.v_full(v.slot), v.parity);
        wgmma_fence();
        start_output(!first_output);
        next_turn(tile == 0);
        wgmma_wait<1>();
        scores_done();
        weigh(tile, masked, scale);
        wgmma_wait<0>();
        output_done();
        scale_rows(o, scale);
        round_weights();
    }

    __device__ void run(const work_t &work) {
        /* Tiles from here on need a mask for some row of this warpgroup. */
        const int lowest = work.token + warpgroup * WARPGROUP_ROWS + f.context - f.tokens + 1;
        const int unmasked = (f.causal ? min(lowest, f.context) : f.context) / S::KEYS;
        float scale[2];
        int tile = work.key_tiles - 1;
        if (S::TAKE_TURNS && warpgroup == 0) named_barrier_arrive(1, 2 * WARPGROUP);
        mbarrier_wait(smem.q_full(), 0);
        mbarrier_wait(smem.k_full(k.slot), k.parity);
        wgmma_fence();
        start_scores();
        wgmma_wait<0>();
        scores_done();
        weigh(tile, true, scale);
        round_weights();
#pragma unroll
        for (int i = 0; i < S::HEAD / 2; i++) o[i] = 0;
        for (tile--; tile >= unmasked; tile--) step(tile, true, false);
        for (; tile >= 0; tile--) step(tile, false, false);
        mbarrier_wait(smem.v_full(v.slot), v.parity);
        wgmma_fence();
        start_output(1);
        wgmma_wait<0>();
        registers_fence(o);
    }

    __device__ void store(T *out, const work_t &work) {
        float inverse[2];
        inverse_sums(rows, inverse);
        scale_rows(o, inverse);
        T *const to = out + ((int64_t)work.batch * f.tokens + row) * f.features +
                      (int64_t)work.head * f.head_dim;
#pragma unroll
        for (int r = 0; r < 2; r++)
            store_row(o, r, to + 8 * r * (int64_t)f.features, f.head_dim, row + 8 * r < f.tokens);
    }
};

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, S::BLOCKS)
    flash_tiles(const __grid_constant__ maps_t maps, T *out, const __grid_constant__ flash_t f) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ __align__(SMEM_ALIGN) uint8_t raw[];
    const layout_t<S> smem = {smem_address(raw)};
    const work_t work = work_of<S>(f);
    if (threadIdx.x == 0) {
        mbarrier_init(smem.q_full(), 1);
        for (int i = 0; i < S::STAGES; i++) {
            mbarrier_init(smem.k_full(i), 1);
            mbarrier_init(smem.k_empty(i), S::WARPGROUPS);
            mbarrier_init(smem.v_full(i), 1);
            mbarrier_init(smem.v_empty(i), S::WARPGROUPS);
        }
        mbarrier_init_done();
    }
    __syncthreads();
    dependents_launch();
    const int warpgroup = __shfl_sync(0xffffffffu, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == S::WARPGROUPS) {
        registers_lower<S::PRODUCER>();
        if (threadIdx.x == S::WARPGROUPS * WARPGROUP) produce<S>(smem, maps, f, work);
    } else {
        registers_raise<S::CONSUMER>();
        consumer_t<T, S> consumer(smem, f, work, warpgroup);
        consumer.run(work);
        consumer.store(out, work);
    }
#else
    (void)maps, (void)out, (void)f;
    __trap();
#endif
}

/* ---- host ---- */

/* A map of Q, K or V with boxes of `rows` tokens x `width` features. */
static status_t map_tensor(CUtensorMap *map, const problem_t *p, const void *base, bool q, int rows,
                           int width) {
    const int64_t d = attention_head_dim(p), tokens = q ? p->tokens : p->context;
    const int64_t stride = q ? attention_q_stride(p) : attention_kv_stride(p);
    const int64_t dims[4] = {d, q ? p->heads : p->kv_heads, tokens, p->batch};
    const int64_t strides[4] = {1, d, stride, q ? tokens * stride : attention_kv_batch_stride(p)};
    const int box[4] = {width, 1, rows, 1};
    return tensor_map_4d(map, p->dtype, base, dims, strides, box, 2 * width);
}

template <typename S>
static status_t map_tensors(const problem_t *p, void *const *tensors, maps_t *maps) {
    status_t st = map_tensor(&maps->q, p, tensors[0], true, S::QUERIES, 64);
    if (st == STATUS_OK) st = map_tensor(&maps->k, p, tensors[1], false, S::KEYS, 64);
    if (st == STATUS_OK) st = map_tensor(&maps->v, p, tensors[2], false, S::KEYS, 64);
    if (S::REST == 0) return st;
    if (st == STATUS_OK) st = map_tensor(&maps->q_rest, p, tensors[0], true, S::QUERIES, 16);
    return st == STATUS_OK ? map_tensor(&maps->k_rest, p, tensors[1], false, S::KEYS, 16) : st;
}

template <typename T, typename S>
static status_t launch_tiles(const problem_t *p, void *const *tensors, cudaStream_t stream) {
    static uint64_t opted_in;
    const int64_t d = attention_head_dim(p);
    const int64_t tiles = ceil_div(p->tokens, S::QUERIES);
    const int64_t kv_bytes = 4 * p->context * d, sequences = p->batch * p->heads;
    const int64_t together = TOGETHER_BYTES / kv_bytes * (p->heads / p->kv_heads);
    const flash_t f = {.tokens = (int)p->tokens,
                       .context = (int)p->context,
                       .features = (int)p->out_features,
                       .head_dim = (int)d,
                       .heads = (int)p->heads,
                       .group = (int)(p->heads / p->kv_heads),
                       .sequences = (int)sequences,
                       .tiles = (int)tiles,
                       .together = (int)(together < 1           ? 1
                                         : together > sequences ? sequences
                                                                : together),
                       .causal = p->causal,
                       .factor = 1.44269504f / sqrtf((float)d)};
    maps_t maps = {};
    status_t st = map_tensors<S>(p, tensors, &maps);
    if (st == STATUS_OK) st = smem_opt_in((const void *)flash_tiles<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    return launch_overlapped(flash_tiles<T, S>, sequences * tiles, S::THREADS, 1, S::SMEM, stream,
                             maps, (T *)tensors[3], f);
}

template <typename S>
static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace;
    return p->dtype == DTYPE_BF16 ? launch_tiles<__nv_bfloat16, S>(p, tensors, (cudaStream_t)stream)
                                  : launch_tiles<__half, S>(p, tensors, (cudaStream_t)stream);
}

/* Head dims above `over` up to S::HEAD are this shape's. */
template <typename S, int OVER>
static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    const int64_t d = attention_head_dim(p);
    if (!supports_hopper(device, why, why_len)) return false;
    if (d > S::HEAD || d <= OVER) {
        snprintf(why, why_len, "takes head dims from %d to %d", OVER + 1, S::HEAD);
        return false;
    }
    if (d % 8 || attention_q_stride(p) % 8 || attention_kv_stride(p) % 8 ||
        attention_kv_batch_stride(p) % 8) {
        snprintf(why, why_len, "the copy engine needs head dim and strides to be multiples of 8");
        return false;
    }
    if (p->tokens > 1 << 30 || p->context > 1 << 30 ||
        p->batch * p->heads * ceil_div(p->tokens, S::QUERIES) > 0x7fffffff) {
        snprintf(why, why_len, "more tokens or tiles than a 32-bit number counts");
        return false;
    }
    return true;
}

#define PLAN(NAME, TEXT, OVER, ...)                                                                \
    extern const variant_t NAME = {                                                                \
        .structure = "attention",                                                                  \
        .name = TEXT,                                                                              \
        .summary = "wgmma, one warpgroup for 64 queries, copy engine",                             \
        .device = DEVICE_CUDA,                                                                     \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = supports<tile_shape<__VA_ARGS__>, OVER>,                                       \
        .launch = launch<tile_shape<__VA_ARGS__>>,                                                 \
    }

PLAN(flash_128_128x176, "d128_128x176", 72, 128, 2, 176, 2, 1);
PLAN(flash_128_128x128, "d128_128x128", 72, 128, 2, 128, 2, 1);
PLAN(flash_128_64x96, "d128_64x96", 72, 128, 1, 96, 2, 2);
PLAN(flash_72_192x128, "d72_192x128", 64, 72, 3, 128, 2, 1);
PLAN(flash_72_64x96, "d72_64x96", 64, 72, 1, 96, 2, 2);
PLAN(flash_64_192x128, "d64_192x128", 0, 64, 3, 128, 3, 1);
PLAN(flash_64_192x112, "d64_192x112", 0, 64, 3, 112, 3, 1);
PLAN(flash_64_64x128, "d64_64x128", 0, 64, 1, 128, 2, 2);
