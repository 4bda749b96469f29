/*
 * attention/flash without Hopper's instructions. Few rows are too little work for a GPU: then
 * blocks share out the keys of the same rows (`split`), and a second kernel puts their parts
 * together.
 */
#include "kernels/attention/flash.h"
#include "kernels/attention/flash_mma.cuh"

enum { COMBINE_THREADS = 128, SPLITS_MAX = 64, BLOCKS_WANTED = 512 };

template <typename S> __device__ inline work_t work_of(const flash_t &f) {
    const int sequences = (int)gridDim.x / f.tiles, sequence = (int)blockIdx.x % sequences;
    const int row = (f.tiles - 1 - (int)blockIdx.x / sequences) * S::ROWS; /* longest first */
    const int last_token = min(f.tokens - 1, (row + S::ROWS - 1) / f.group);
    const int seen = f.causal ? f.context - f.tokens + last_token + 1 : f.context;
    const int first_key = (int)blockIdx.y * f.split_keys;
    return {sequence / f.kv_heads,
            sequence % f.kv_heads,
            row,
            first_key,
            f.splits > 1 ? min(seen, first_key + f.split_keys) : seen,
            S::KEYS};
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
static __global__ void __launch_bounds__(S::THREADS, 1)
    flash_rows(const T *q, const T *k, const T *v, T *out, const flash_t f) {
    extern __shared__ __align__(16) uint8_t raw[];
    const work_t work = work_of<S>(f);
    float o[S::HEAD / 2];
    rows_t rows;
    walk_keys<T, S>(o, rows, (T *)raw, q, k, v, work, f);
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

template <typename T, typename S>
static status_t launch_rows(const problem_t *p, void *const *tensors, void *workspace, bool split,
                            cudaStream_t stream) {
    static uint64_t opted_in;
    const int64_t d = attention_head_dim(p), group = p->heads / p->kv_heads;
    const int64_t tiles = ceil_div(p->tokens * group, S::ROWS);
    const int64_t wanted = split ? splits_of(p, S::KEYS) : 1;
    const int64_t split_keys = round_up(ceil_div(p->context, wanted), S::KEYS);
    const int64_t splits = ceil_div(p->context, split_keys);
    flash_t f = flash_of(p, tensors);
    f.tiles = (int)tiles;
    f.splits = (int)splits;
    f.split_keys = (int)split_keys;
    f.parts = (float *)workspace;
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
    if (d <= 64)
        return launch_rows<T, tile_shape<64, 4, 64, 2>>(p, tensors, workspace, false, stream);
    if (d <= 80)
        return launch_rows<T, tile_shape<80, 4, 64, 2>>(p, tensors, workspace, false, stream);
    if (d <= 128)
        return launch_rows<T, tile_shape<128, 4, 64, 2>>(p, tensors, workspace, false, stream);
    return launch_rows<T, tile_shape<256, 4, 16, 2>>(p, tensors, workspace, false, stream);
}

template <typename T>
static status_t launch_parts(const problem_t *p, void *const *tensors, void *workspace,
                             cudaStream_t stream) {
    const int64_t d = attention_head_dim(p);
    if (d <= 64)
        return launch_rows<T, tile_shape<64, 1, 32, 2>>(p, tensors, workspace, true, stream);
    if (d <= 80)
        return launch_rows<T, tile_shape<80, 1, 32, 2>>(p, tensors, workspace, true, stream);
    return launch_rows<T, tile_shape<128, 1, 32, 2>>(p, tensors, workspace, true, stream);
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
