/*
 * Attention by mma.sync (compute capability 8.0 and later): a warp owns 16 rows and walks keys that
 * come in tiles through a ring in shared memory. The queries of the heads that share K and V lie
 * side by side: row r is token r / group of head r % group. S::WARPS warps share tiles; a block may
 * hold several such teams.
 */
#ifndef BLROOF_ATTENTION_FLASH_MMA_CUH
#define BLROOF_ATTENTION_FLASH_MMA_CUH

#include "kernels/attention/attention.h"
#include "kernels/attention/flash_rows.cuh"
#include "kernels/cuda/launch.cuh"

enum { WARP_ROWS = 16, PAD = 8 };

template <int HEAD_, int WARPS_, int KEYS_, int STAGES_> struct tile_shape {
    static constexpr int HEAD = HEAD_, WARPS = WARPS_, KEYS = KEYS_, STAGES = STAGES_;
    static constexpr int ROWS = WARPS * WARP_ROWS, THREADS = WARPS * 32;
    static constexpr int PITCH = HEAD + PAD; /* elements; rows fall into different banks */
    static constexpr int STEPS = HEAD / 16, KEY_STEPS = KEYS / 16;
    static constexpr int SLOT_ELEMENTS = 2 * KEYS * PITCH; /* K and V */
    static constexpr int SMEM = 2 * STAGES * SLOT_ELEMENTS;
};

struct flash_t {
    int64_t q_stride, kv_stride, kv_batch_stride;
    int tokens, context, head_dim, kv_heads, group;
    int tiles, splits, split_keys; /* of a K and V head; splits share out the keys */
    bool causal, vectors;          /* vectors: 16-byte accesses are aligned */
    float factor;
    float *parts; /* of split s, row r of all: head_dim + 2 floats at (r * splits + s) */
};

/* Rows of one K and V head, and the keys that they are to see: tiles that begin key_step apart. */
struct work_t {
    int batch, kv_head, row, first_key, last_key, key_step;
};

/* One row of a head to shared memory; zeros if it does not exist, and beyond the head. */
template <typename T, typename S>
__device__ inline void load_row(T *to, const T *from, bool exists, int lane, int lanes,
                                const flash_t &f) {
    if (f.vectors) {
        for (int i = lane; i < S::HEAD / 8; i += lanes) {
            const bool valid = exists && 8 * i < f.head_dim;
            cp_async(to + 8 * i, valid ? from + 8 * i : from, valid);
        }
    } else {
        for (int i = lane; i < S::HEAD; i += lanes)
            to[i] = exists && i < f.head_dim ? from[i] : T(0.0f);
    }
}

/* `from` is the first of the tile; only what exists of it is read. */
template <typename T, typename S>
__device__ inline void load_keys(T *to, const T *k, const T *v, int key, const work_t &work,
                                 const flash_t &f) {
    constexpr int LANES = 8;
    const int thread = (int)threadIdx.x % S::THREADS;
    for (int i = thread / LANES; i < 2 * S::KEYS; i += S::THREADS / LANES) {
        const int token = key + i % S::KEYS;
        const bool exists = token < work.last_key;
        const T *const from = (i < S::KEYS ? k : v) + (exists ? token : 0) * f.kv_stride;
        load_row<T, S>(to + i * S::PITCH, from, exists, thread % LANES, LANES, f);
    }
}

/* Two neighbours of a row; zeros beyond the head. */
template <typename T>
__device__ inline uint32_t load_pair(const T *from, int column, bool exists, const flash_t &f) {
    if (f.vectors) return exists && column < f.head_dim ? *(const uint32_t *)(from + column) : 0;
    return pack_pair(exists && column < f.head_dim ? from[column] : T(0.0f),
                     exists && column + 1 < f.head_dim ? from[column + 1] : T(0.0f));
}

/* This warp's rows of Q as the A operands of all K steps (ptx.cuh). */
template <typename T, typename S>
__device__ inline void load_queries(uint32_t (&a)[S::STEPS][4], const T *q, int first,
                                    const work_t &work, const flash_t &f) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = first + 8 * r, token = row / f.group, head = row % f.group;
        const bool exists = token < f.tokens;
        const T *const from = q +
                              (work.batch * (int64_t)f.tokens + (exists ? token : 0)) * f.q_stride +
                              (int64_t)(work.kv_head * f.group + head) * f.head_dim;
#pragma unroll
        for (int step = 0; step < S::STEPS; step++)
#pragma unroll
            for (int half = 0; half < 2; half++)
                a[step][r + 2 * half] =
                    load_pair(from, 16 * step + 8 * half + (int)threadIdx.x % 4 * 2, exists, f);
    }
}

/* Address of lane's row of four 8x8 matrices: two down and two across, or the other way round. */
template <int PITCH, bool ACROSS_FIRST, typename T>
__device__ inline const T *matrices_at(const T *tile, int row, int column) {
    const int lane = threadIdx.x % 32, first = lane / 8 % 2, second = lane / 16;
    return tile + (row + lane % 8 + 8 * (ACROSS_FIRST ? second : first)) * PITCH + column +
           8 * (ACROSS_FIRST ? first : second);
}

/* S = Q K^T of this warp's rows and the keys of a tile. */
template <typename T, typename S>
__device__ inline void scores(float (&s)[S::KEYS / 2], const uint32_t (&q)[S::STEPS][4],
                              const T *k) {
#pragma unroll
    for (int i = 0; i < S::KEYS / 2; i++) s[i] = 0;
#pragma unroll
    for (int step = 0; step < S::STEPS; step++) {
        uint32_t b[4];
#pragma unroll
        for (int n = 0; n < S::KEY_STEPS; n++) {
            ldmatrix_x4(b, matrices_at<S::PITCH, true>(k, 16 * n, 16 * step));
            mma_16816<T>(s + 8 * n, q[step], b);
            mma_16816<T>(s + 8 * n + 4, q[step], b + 2);
        }
    }
}

/* O += P V. */
template <typename T, typename S>
__device__ inline void outputs(float (&o)[S::HEAD / 2], const float (&p)[S::KEYS / 2], const T *v) {
#pragma unroll
    for (int step = 0; step < S::KEY_STEPS; step++) {
        uint32_t a[4], b[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            a[i] = round_pair<T>(p[8 * step + 2 * i], p[8 * step + 2 * i + 1]);
#pragma unroll
        for (int n = 0; n < S::STEPS; n++) {
            ldmatrix_x4_transposed(b, matrices_at<S::PITCH, false>(v, 16 * step, 16 * n));
            mma_16816<T>(o + 8 * n, a, b);
            mma_16816<T>(o + 8 * n + 4, a, b + 2);
        }
    }
}

template <typename S> __device__ inline void team_sync() {
    if constexpr (S::WARPS == 1)
        __syncwarp();
    else
        __syncthreads(); /* the team is the block */
}

/* O and what is known of the rows, over all keys of `work`; `tiles` is the team's shared memory. */
template <typename T, typename S>
__device__ inline void walk_keys(float (&o)[S::HEAD / 2], rows_t &rows, T *tiles, const T *q,
                                 const T *k, const T *v, const work_t &work, const flash_t &f) {
    const int64_t kv = work.batch * f.kv_batch_stride + (int64_t)work.kv_head * f.head_dim;
    const int warp_row = (int)threadIdx.x % S::THREADS / 32 * WARP_ROWS;
    const int row = work.row + warp_row + (int)threadIdx.x % 32 / 4;
    const int before = f.context - f.tokens + 1; /* keys that token 0 sees */
    int limit[2];
#pragma unroll
    for (int r = 0; r < 2; r++)
        limit[r] = f.causal ? min(work.last_key, before + (row + 8 * r) / f.group) : work.last_key;
    /* keys that every row of the warp sees */
    const int lowest = f.causal ? before + (work.row + warp_row) / f.group : f.context;
    float s[S::KEYS / 2], scale[2];
    uint32_t a[S::STEPS][4];
#pragma unroll
    for (int i = 0; i < S::HEAD / 2; i++) o[i] = 0;
    constexpr int AHEAD = S::STAGES - 1;
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
        const int key = work.first_key + i * work.key_step;
        if (key < work.last_key)
            load_keys<T, S>(tiles + i * S::SLOT_ELEMENTS, k + kv, v + kv, key, work, f);
        cp_async_commit();
    }
    load_queries<T, S>(a, q, row, work, f);
    int slot = 0;
    for (int key = work.first_key; key < work.last_key; key += work.key_step) {
        const T *const tile = tiles + slot * S::SLOT_ELEMENTS;
        const int later = key + AHEAD * work.key_step, free = slot == 0 ? AHEAD : slot - 1;
        if (later < work.last_key)
            load_keys<T, S>(tiles + free * S::SLOT_ELEMENTS, k + kv, v + kv, later, work, f);
        cp_async_commit();
        cp_async_wait<AHEAD>();
        team_sync<S>();
        scores<T, S>(s, a, tile);
        if (key + S::KEYS > min(lowest, work.last_key))
            mask_scores(s, key + (int)threadIdx.x % 4 * 2, limit);
        soften(s, rows, f.factor, scale);
        scale_rows(o, scale);
        outputs<T, S>(o, s, tile + S::SLOT_ELEMENTS / 2);
        slot = slot == AHEAD ? 0 : slot + 1;
        team_sync<S>();
    }
}

/* A part of a row: its sums as they are, its maximum and its sum of weights. */
template <int VALUES>
__device__ inline void store_part(const float (&o)[VALUES], int r, const rows_t &rows, float *to,
                                  int head_dim, bool stored) {
    const int t = threadIdx.x % 4;
    float sum = rows.sum[r];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (!stored) return;
#pragma unroll
    for (int j = 0; j < VALUES / 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (8 * j + 2 * t + i < head_dim) to[8 * j + 2 * t + i] = o[4 * j + 2 * r + i];
    if (t == 0) to[head_dim] = rows.largest[r];
    if (t == 1) to[head_dim + 1] = sum;
}

static inline bool aligned_16(const void *pointer) {
    return ((uintptr_t)pointer & 15) == 0;
}

/* What does not depend on how the work is shared out. */
static inline flash_t flash_of(const problem_t *p, void *const *tensors) {
    const int64_t d = attention_head_dim(p);
    bool vectors = d % 8 == 0 && attention_q_stride(p) % 8 == 0 &&
                   attention_kv_stride(p) % 8 == 0 && attention_kv_batch_stride(p) % 8 == 0;
    for (int t = 0; t < 4; t++) vectors = vectors && aligned_16(tensors[t]);
    return {.q_stride = attention_q_stride(p),
            .kv_stride = attention_kv_stride(p),
            .kv_batch_stride = attention_kv_batch_stride(p),
            .tokens = (int)p->tokens,
            .context = (int)p->context,
            .head_dim = (int)d,
            .kv_heads = (int)p->kv_heads,
            .group = (int)(p->heads / p->kv_heads),
            .causal = p->causal,
            .vectors = vectors,
            .factor = 1.44269504f / sqrtf((float)d)};
}

#endif
