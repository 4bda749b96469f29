/*
 * The two kernels from which the decode plans are made, for 1 to 64 tokens (see stream.cuh).
 *
 * stream_down: T = X V. Every CTA computes a set of 16-feature tiles of T over a share of the
 * depth. With `scaled`, Z_k = sum_l s_lk * (X_l V_l) leaves it instead of T.
 *
 * stream_up: Y_k = T_k U_k. Every CTA computes a set of tiles of Y_k over the depth, or, in a
 * cluster, over a share of it; the shares are summed through distributed shared memory. With
 * `paired`, T is not read: each CTA computes its share of it, T_lk = X_l V_lk, on chip.
 *
 * Both add in a fixed order, so results repeat bit for bit.
 */
#ifndef BLROOF_STREAM_STAGES_H
#define BLROOF_STREAM_STAGES_H

#include "kernels/cuda/stream_launch.cuh"

enum { MOST_SHARES = 8 }; /* of a tile's depth in stream_down */

/*
 * V is packed [tile][block][step]: `tiles` tiles of T, each `blocks` blocks of `width` features
 * deep (blocks is 1 without scales). Tile i reads X from column i / input_tiles * width on.
 * T is [share][out_blocks][tokens][16 rank_tiles]. Without scales tile i is
 * T[.][i % input_tiles / pair_tiles][.][i / input_tiles * pair_tiles + i % pair_tiles]; with
 * scales (packed [tile][block][out block][16]), Z of every out block at tile i.
 */
typedef struct {
    const void *x, *v[STREAM_LAYERS], *scales[STREAM_LAYERS];
    void *t;
    int64_t t_layer; /* elements from a layer's T to the next one's */
    int64_t in_features;
    int tokens, tiles, blocks, width, input_tiles, pair_tiles, out_blocks, rank_tiles;
    bool scaled;
    int sets, shares; /* how it is cut into CTAs */
    share_t set_share, unit_share;
    int depth, segments, parts;   /* rings, and warps a tile */
    int pitch, partials_at, s_at; /* of the operand; bytes into shared memory */
    int smem_bytes;
} stream_down_t;

/*
 * U is packed [out block][tile of Y_k][tile of T_k], V (or NULL) [out block][tile of T_k][step];
 * pair_tiles tiles of T_k read the same `width` features of X. T as stream_down writes it.
 */
typedef struct {
    const void *t, *x, *v[STREAM_LAYERS], *u[STREAM_LAYERS];
    void *y[STREAM_LAYERS];
    int64_t t_layer; /* 0: all read the same */
    int64_t in_features, out_features;
    int tokens, out_blocks, out_width, rank_tiles, shares;
    int width, pair_tiles;
    bool paired; /* T is computed from X and V */
    bool alone;  /* T is the layer's input: its features are a multiple of 16 */
    bool pairs;  /* pairs of Y are aligned words; found out at the launch */
    int sets, cluster;
    share_t set_share, rank_share;
    int depth, segments, parts, up_parts;
    int owned; /* tiles of Y_k that each CTA of a cluster adds up; the last ones fewer */
    int x_pitch, t_pitch, t_at, partials_at, received_at;
    int smem_bytes;
} stream_up_t;

/* A chain of both, or an `up` that is paired or alone. */
typedef struct {
    stream_down_t down;
    stream_up_t up;
    int layers; /* of one shape and one X, in the same kernels */
} stream_chain_t;

/*
 * Chooses how a chain is cut into CTAs and completes both structs, from what stands above that in
 * them. False, and the reason in why[why_len], where it does not fit into shared memory.
 */
bool stream_chain_choose(stream_chain_t *chain, const stream_device_t *device, char *why,
                         size_t why_len);

/* Bytes of T between two kernels, of one layer. */
size_t stream_chain_bytes(const stream_chain_t *chain);

/*
 * Enqueues what was chosen; tensors of each layer as in the structures: X, V, (scales,) U, Y.
 * `workspace` has stream_chain_bytes() for each. The pointers in *chain are replaced.
 */
status_t stream_chain(stream_chain_t *chain, dtype_t dtype, const stream_device_t *device,
                      void *const *const *tensors, void *workspace, stream_t stream);

/* True if *last is this problem and so many layers on this device; else it becomes it. */
typedef struct {
    problem_t problem;
    int layers;
    stream_device_t device;
} stream_key_t;

bool stream_key_same(stream_key_t *last, const problem_t *problem, int layers,
                     const stream_device_t *device);

/* ---- The functions of a plan; SHAPE(problem) is a chain before stream_chain_choose(). ---- */

typedef stream_chain_t (*stream_shape_t)(const problem_t *);

static inline bool stream_plan_choose(stream_shape_t shape, const problem_t *p, int layers,
                                      const stream_device_t *device, stream_chain_t *out, char *why,
                                      size_t why_len) {
    *out = shape(p);
    out->layers = layers;
    return stream_chain_choose(out, device, why, why_len);
}

template <stream_shape_t SHAPE>
static bool stream_supports(const problem_t *p, const device_info_t *info, char *why,
                            size_t why_len) {
    const stream_device_t device = stream_device_of(info);
    stream_chain_t chain;
    if (!supports_portable(info, why, why_len)) return false;
    if (p->tokens > STREAM_TOKENS) {
        snprintf(why, why_len, "streams weights for at most %d tokens", (int)STREAM_TOKENS);
        return false;
    }
    return stream_plan_choose(SHAPE, p, 1, &device, &chain, why, why_len);
}

/* Of one layer, however many are launched together: they may be cut in other ways. */
template <stream_shape_t SHAPE>
static size_t stream_workspace(const problem_t *p, const device_info_t *info) {
    const stream_device_t device = stream_device_of(info);
    char why[WHY_LEN];
    size_t most = 0;
    for (int layers = 1; layers <= STREAM_LAYERS; layers++) {
        stream_chain_t chain;
        const bool fits = stream_plan_choose(SHAPE, p, layers, &device, &chain, why, sizeof why);
        const size_t bytes = fits ? stream_chain_bytes(&chain) : 0;
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Depends on how the device cuts the work; as on 132 SMs of compute capability 9.0. */
template <stream_shape_t SHAPE>
static int stream_intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    const stream_device_t device = {132, 90, 227 << 10};
    char why[WHY_LEN];
    stream_chain_t chain;
    const bool fits = stream_plan_choose(SHAPE, p, 1, &device, &chain, why, sizeof why);
    bytes[0] = fits ? (double)stream_chain_bytes(&chain) : 0;
    return 1;
}

/* Choosing takes longer than launching, so what was chosen last is kept. */
template <stream_shape_t SHAPE>
static status_t stream_launch_siblings(const problem_t *p, int layers, void *const *const *tensors,
                                       void *workspace, stream_t stream) {
    static thread_local stream_key_t last;
    static thread_local stream_chain_t chain;
    stream_device_t device;
    char why[WHY_LEN];
    const status_t st = stream_device_current(&device);
    if (st != STATUS_OK) return st;
    if (!stream_key_same(&last, p, layers, &device) &&
        !stream_plan_choose(SHAPE, p, layers, &device, &chain, why, sizeof why)) {
        last = {};
        return fail(STATUS_UNSUPPORTED, "%s", why);
    }
    return stream_chain(&chain, p->dtype, &device, tensors, workspace, stream);
}

template <stream_shape_t SHAPE>
static status_t stream_launch_plan(const problem_t *p, void *const *tensors, void *workspace,
                                   stream_t stream) {
    return stream_launch_siblings<SHAPE>(p, 1, &tensors, workspace, stream);
}

#endif
