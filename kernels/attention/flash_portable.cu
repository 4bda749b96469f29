/*
 * attention/flash without Hopper's instructions, and its path for few queries.
 *
 * The queries of the heads that share K and V lie side by side: row r is token r / group of head
 * r % group. A warp owns 16 rows and walks the keys, which come in double-buffered tiles of shared
 * memory. Few rows are too little work for a GPU: then blocks share out the keys of the same rows
 * (`split`), and a second kernel puts their parts together.
 */
#include "kernels/attention/attention.h"
#include "kernels/attention/flash.h"
#include "kernels/attention/flash_rows.cuh"
#include "kernels/cuda/launch.cuh"

enum { WARP_ROWS = 16, PAD = 8, COMBINE_THREADS = 128, SPLITS_MAX = 64, BLOCKS_WANTED = 512 };

template <int HEAD_, int WARPS_, int KEYS_> struct tile_shape {
    static constexpr int HEAD = HEAD_, WARPS = WARPS_, KEYS = KEYS_;
    static constexpr int ROWS = WARPS * WARP_ROWS, THREADS = WARPS * 32;
    static constexpr int PITCH = HEAD + PAD; /* elements; rows fall into different banks */
    static constexpr int STEPS = HEAD / 16, KEY_STEPS = KEYS / 16;
    static constexpr int Q_ELEMENTS = ROWS * PITCH, TILE_ELEMENTS = KEYS * PITCH;
    static constexpr int SMEM = 2 * (Q_ELEMENTS + 4 * TILE_ELEMENTS);
};

struct flash_t {
    int64_t q_stride, kv_stride, kv_batch_stride;
    int tokens, context, features, head_dim, kv_heads, group;
    int tiles, splits, split_keys; /* of a K and V head; key tiles are whole in a split */
    bool causal, vectors;          /* vectors: 16-byte accesses are aligned */
    float factor;
    float *parts; /* of split s, row r of all: head_dim + 2 floats at (r * splits + s) */
};

/* A block's rows of one K and V head, and its keys. */
struct work_t {
    int batch, kv_head, row, first_key, last_key;
};

template <typename S> __device__ inline work_t work_of(const flash_t &f) {
    const int sequences = (int)gridDim.x / f.tiles, sequence = (int)blockIdx.x % sequences;
    const int row = (f.tiles - 1 - (int)blockIdx.x / sequences) * S::ROWS; /* longest first */
    const int last_token = min(f.tokens - 1, (row + S::ROWS - 1) / f.group);
    const int seen = f.causal ? f.context - f.tokens + last_token + 1 : f.context;
    const int first_key = (int)blockIdx.y * f.split_keys;
    return {sequence / f.kv_heads, sequence % f.kv_heads, row, first_key,
            f.splits > 1 ? min(seen, first_key + f.split_keys) : seen};
}

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
    for (int i = (int)threadIdx.x / LANES; i < 2 * S::KEYS; i += S::THREADS / LANES) {
        const int token = key + i % S::KEYS;
        const bool exists = token < work.last_key;
        const T *const from = (i < S::KEYS ? k : v) + (exists ? token : 0) * f.kv_stride;
        load_row<T, S>(to + i * S::PITCH, from, exists, (int)threadIdx.x % LANES, LANES, f);
    }
}

template <typename T, typename S>
__device__ inline void load_queries(T *to, const T *q, const work_t &work, const flash_t &f) {
    constexpr int LANES = 8;
    for (int i = (int)threadIdx.x / LANES; i < S::ROWS; i += S::THREADS / LANES) {
        const int row = work.row + i, token = row / f.group, head = row % f.group;
        const bool exists = token < f.tokens;
        const T *const from = q +
                              (work.batch * (int64_t)f.tokens + (exists ? token : 0)) * f.q_stride +
                              (int64_t)(work.kv_head * f.group + head) * f.head_dim;
        load_row<T, S>(to + i * S::PITCH, from, exists, (int)threadIdx.x % LANES, LANES, f);
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
__device__ inline void scores(float (&s)[S::KEYS / 2], const T *q, const T *k) {
#pragma unroll
    for (int i = 0; i < S::KEYS / 2; i++) s[i] = 0;
#pragma unroll
    for (int step = 0; step < S::STEPS; step++) {
        uint32_t a[4], b[4];
        ldmatrix_x4(a, matrices_at<S::PITCH, false>(q, 0, 16 * step));
#pragma unroll
        for (int n = 0; n < S::KEY_STEPS; n++) {
            ldmatrix_x4(b, matrices_at<S::PITCH, true>(k, 16 * n, 16 * step));
            mma_16816<T>(s + 8 * n, a, b);
            mma_16816<T>(s + 8 * n + 4, a, b + 2);
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

template <typename T, int VALUES>
__device__ inline void store_elements(const float (&o)[VALUES], int r, T *to, int head_dim) {
    const int t = threadIdx.x % 4;
#pragma unroll
    for (int j = 0; j < VALUES / 4; j++)
#pragma unroll
        for (int i = 0; i < 2; i++)
            if (8 * j + 2 * t + i < head_dim) to[8 * j + 2 * t + i] = T(o[4 * j + 2 * r + i]);
}

template <typename T, typename S>
__device__ inline void store(float (&o)[S::HEAD / 2], const rows_t &rows, T *out,
                             const work_t &work, const flash_t &f) {
    const int first = work.row + (int)threadIdx.x / 32 * WARP_ROWS + (int)threadIdx.x % 32 / 4;
    float inverse[2];
    inverse_sums(rows, inverse);
    if (f.splits == 1) scale_rows(o, inverse);
#pragma unroll
    for (int r = 0; r < 2; r++) {
        const int row = first + 8 * r, token = row / f.group, head = row % f.group;
        const bool exists = token < f.tokens;
        const int64_t all = (work.batch * (int64_t)f.tokens + token) * f.kv_heads * f.group +
                            work.kv_head * f.group + head; /* among the rows of all heads */
        T *const to = out + all * f.head_dim;
        if (f.splits > 1)
            store_part(o, r, rows, f.parts + (all * f.splits + blockIdx.y) * (f.head_dim + 2),
                       f.head_dim, exists);
        else if (f.vectors)
            store_row(o, r, to, f.head_dim, exists);
        else if (exists)
            store_elements(o, r, to, f.head_dim);
    }
}

template <typename T, typename S>
static __global__ void __launch_bounds__(S::THREADS)
    flash_rows(const T *q, const T *k, const T *v, T *out, const flash_t f) {
    extern __shared__ __align__(16) uint8_t raw[];
    T *const q_tile = (T *)raw, *const tiles = q_tile + S::Q_ELEMENTS;
    const work_t work = work_of<S>(f);
    const int64_t kv = work.batch * f.kv_batch_stride + (int64_t)work.kv_head * f.head_dim;
    const int warp_row = (int)threadIdx.x / 32 * WARP_ROWS;
    const int row = work.row + warp_row + (int)threadIdx.x % 32 / 4;
    int limit[2];
#pragma unroll
    for (int r = 0; r < 2; r++)
        limit[r] = f.causal ? min(work.last_key, f.context - f.tokens + (row + 8 * r) / f.group + 1)
                            : work.last_key;
    const int lowest = f.causal ? f.context - f.tokens + (work.row + warp_row) / f.group + 1
                                : f.context; /* keys that every row of the warp sees */
    float o[S::HEAD / 2] = {0}, s[S::KEYS / 2], scale[2];
    rows_t rows;
    load_queries<T, S>(q_tile, q, work, f);
    load_keys<T, S>(tiles, k + kv, v + kv, work.first_key, work, f);
    cp_async_commit();
    for (int key = work.first_key, slot = 0; key < work.last_key; key += S::KEYS, slot ^= 1) {
        const T *const tile = tiles + slot * 2 * S::TILE_ELEMENTS;
        if (key + S::KEYS < work.last_key)
            load_keys<T, S>(tiles + (slot ^ 1) * 2 * S::TILE_ELEMENTS, k + kv, v + kv,
                            key + S::KEYS, work, f);
        cp_async_commit();
        cp_async_wait<1>();
        __syncthreads();
        scores<T, S>(s, q_tile + warp_row * S::PITCH, tile);
        if (key + S::KEYS > min(lowest, work.last_key))
            mask_scores(s, key + (int)threadIdx.x % 4 * 2, limit);
        soften(s, rows, f.factor, scale);
        scale_rows(o, scale);
        outputs<T, S>(o, s, tile + S::TILE_ELEMENTS);
        __syncthreads();
    }
    store<T, S>(o, rows, out, work, f);
}

/* Puts the parts of a row together: one block a row. */
template <typename T>
static __global__ void __launch_bounds__(COMBINE_THREADS)
    flash_combine(const float *parts, T *out, int head_dim, int splits, float factor) {
    const int part = head_dim + 2;
    const float *const from = parts + (int64_t)blockIdx.x * splits * part;
    float largest = -1e30f, sum = 0;
    for (int s = 0; s < splits; s++) largest = fmaxf(largest, from[s * part + head_dim]);
    for (int s = 0; s < splits; s++)
        sum += from[s * part + head_dim + 1] *
               exp2_fast((from[s * part + head_dim] - largest) * factor);
    for (int i = (int)threadIdx.x; i < head_dim; i += COMBINE_THREADS) {
        float o = 0;
#pragma unroll 4
        for (int s = 0; s < splits; s++)
            o += from[s * part + i] * exp2_fast((from[s * part + head_dim] - largest) * factor);
        out[(int64_t)blockIdx.x * head_dim + i] = T(o / sum);
    }
}

/* ---- host ---- */

/* Blocks of `keys` multiples, enough of them to fill a GPU. */
static int splits_of(const problem_t *p, int keys) {
    const int64_t blocks =
        p->batch * p->kv_heads * ceil_div(p->tokens * (p->heads / p->kv_heads), WARP_ROWS);
    int64_t splits = ceil_div(BLOCKS_WANTED, blocks);
    if (splits > ceil_div(p->context, keys)) splits = ceil_div(p->context, keys);
    return splits > SPLITS_MAX ? (int)SPLITS_MAX : (int)splits;
}

static bool aligned(const void *pointer) {
    return ((uintptr_t)pointer & 15) == 0;
}

template <typename T, typename S>
static status_t launch_rows(const problem_t *p, void *const *tensors, void *workspace, bool split,
                            cudaStream_t stream) {
    static uint64_t opted_in;
    const int64_t d = attention_head_dim(p), group = p->heads / p->kv_heads;
    const int64_t tiles = ceil_div(p->tokens * group, S::ROWS);
    const int64_t wanted = split ? splits_of(p, S::KEYS) : 1;
    const int64_t split_keys = round_up(ceil_div(p->context, wanted), S::KEYS);
    const int64_t splits = ceil_div(p->context, split_keys);
    const bool vectors = d % 8 == 0 && attention_q_stride(p) % 8 == 0 &&
                         attention_kv_stride(p) % 8 == 0 && attention_kv_batch_stride(p) % 8 == 0 &&
                         aligned(tensors[0]) && aligned(tensors[1]) && aligned(tensors[2]) &&
                         aligned(tensors[3]);
    const flash_t f = {.q_stride = attention_q_stride(p),
                       .kv_stride = attention_kv_stride(p),
                       .kv_batch_stride = attention_kv_batch_stride(p),
                       .tokens = (int)p->tokens,
                       .context = (int)p->context,
                       .features = (int)p->out_features,
                       .head_dim = (int)d,
                       .kv_heads = (int)p->kv_heads,
                       .group = (int)group,
                       .tiles = (int)tiles,
                       .splits = (int)splits,
                       .split_keys = (int)split_keys,
                       .causal = p->causal,
                       .vectors = vectors,
                       .factor = 1.44269504f / sqrtf((float)d),
                       .parts = (float *)workspace};
    const status_t st = smem_opt_in((const void *)flash_rows<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const dim3 grid((unsigned)(p->batch * p->kv_heads * tiles), (unsigned)splits);
    flash_rows<T, S><<<grid, S::THREADS, S::SMEM, stream>>>(
        (const T *)tensors[0], (const T *)tensors[1], (const T *)tensors[2], (T *)tensors[3], f);
    CUDA_LAUNCHED("flash_rows");
    if (splits == 1) return STATUS_OK;
    flash_combine<T><<<(unsigned)(p->batch * p->tokens * p->heads), COMBINE_THREADS, 0, stream>>>(
        f.parts, (T *)tensors[3], (int)d, (int)splits, f.factor);
    CUDA_LAUNCHED("flash_combine");
    return STATUS_OK;
}

template <typename T>
static status_t launch_whole(const problem_t *p, void *const *tensors, void *workspace,
                             cudaStream_t stream) {
    const int64_t d = attention_head_dim(p);
    if (d <= 64) return launch_rows<T, tile_shape<64, 4, 64>>(p, tensors, workspace, false, stream);
    if (d <= 80) return launch_rows<T, tile_shape<80, 4, 64>>(p, tensors, workspace, false, stream);
    if (d <= 128)
        return launch_rows<T, tile_shape<128, 4, 64>>(p, tensors, workspace, false, stream);
    return launch_rows<T, tile_shape<256, 4, 16>>(p, tensors, workspace, false, stream);
}

template <typename T>
static status_t launch_parts(const problem_t *p, void *const *tensors, void *workspace,
                             cudaStream_t stream) {
    const int64_t d = attention_head_dim(p);
    if (d <= 64) return launch_rows<T, tile_shape<64, 1, 32>>(p, tensors, workspace, true, stream);
    if (d <= 80) return launch_rows<T, tile_shape<80, 1, 32>>(p, tensors, workspace, true, stream);
    return launch_rows<T, tile_shape<128, 1, 32>>(p, tensors, workspace, true, stream);
}

static status_t launch_portable(const problem_t *p, void *const *tensors, void *workspace,
                                stream_t stream) {
    return DISPATCH_DTYPE(p, launch_whole, p, tensors, workspace, (cudaStream_t)stream);
}

static status_t launch_split(const problem_t *p, void *const *tensors, void *workspace,
                             stream_t stream) {
    return DISPATCH_DTYPE(p, launch_parts, p, tensors, workspace, (cudaStream_t)stream);
}

static size_t split_workspace(const problem_t *p, const device_info_t *device) {
    (void)device;
    return (size_t)round_up(
        4 * problem_rows(p) * p->heads * SPLITS_MAX * (attention_head_dim(p) + 2), 256);
}

static bool supports_portable_plan(const problem_t *p, const device_info_t *device, char *why,
                                   size_t why_len) {
    if (!supports_portable(device, why, why_len)) return false;
    if (attention_head_dim(p) > 256)
        snprintf(why, why_len, "takes head dims up to 256");
    else if (p->context > 1 << 30 || problem_rows(p) * p->heads > 1 << 30)
        snprintf(why, why_len, "takes up to 2^30 keys and rows of all heads");
    else
        return true;
    return false;
}

static bool supports_split(const problem_t *p, const device_info_t *device, char *why,
                           size_t why_len) {
    if (!supports_portable_plan(p, device, why, why_len)) return false;
    if (p->tokens <= 64 && p->context >= 128 && attention_head_dim(p) <= 128) return true;
    snprintf(why, why_len, "splits the keys of up to 64 tokens, 128 keys at least, head dim 128");
    return false;
}

extern const variant_t flash_portable = {
    .structure = "attention",
    .name = "portable",
    .summary = "mma.sync, 64 rows a block",
    .device = DEVICE_CUDA,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports_portable_plan,
    .launch = launch_portable,
};

extern const variant_t flash_split = {
    .structure = "attention",
    .name = "split",
    .summary = "mma.sync, blocks share out the keys of 16 rows",
    .device = DEVICE_CUDA,
    .output_order = ORDER_KJ,
    .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),
    .supports = supports_split,
    .workspace = split_workspace,
    .launch = launch_split,
};
