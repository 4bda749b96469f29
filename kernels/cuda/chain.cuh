/*
 * Two products in one kernel, for compute capability 8.0 and later; the product between them never
 * leaves the chip. For every output block k
 *
 *     Y_k = sum_l (X_l V_lk) U_kl              X_l: tokens x p, V_lk: p x r', U_kl: r' x q
 *
 * A block of threads owns TOKENS rows and COLUMNS columns of one Y_k in mma.m16n8k16 accumulators
 * and walks over "links" of the inner dimension: RANK columns of T = X V of GROUP input blocks at a
 * time. T is rounded to shared memory, two links
 * deep, and becomes the A operand of the second product, whose K steps (slices, 16 deep) are spread
 * over the steps of the next link's first product: one barrier a step, and both products'
 * instructions between two barriers. Beyond COLUMNS columns of Y_k, other blocks compute T again.
 *
 * Weights are packed offline into the images that shared memory holds, zeros in every padding;
 * only X and Y are ragged. cp.async feeds two rings: STAGES of X and V tiles (K 64), SLICES of U.
 */
#ifndef BLROOF_CHAIN_CUH
#define BLROOF_CHAIN_CUH

#include <string.h>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/tile.cuh"

/* Warps along tokens and columns, fragments of each; warps along tokens in the first product; DEPTH
 * tiles of 64 a step. */
template <int WARPS_M_, int WARPS_N_, int MT_, int NT_, int RANK_, int GROUP_, int INNER_M_,
          int DEPTH_, int STAGES_, int SLICES_, int BLOCKS_>
struct chain_tile {
    static constexpr int WARPS_M = WARPS_M_, WARPS_N = WARPS_N_, MT = MT_, NT = NT_, RANK = RANK_;
    static constexpr int GROUP = GROUP_, DEPTH = DEPTH_, STAGES = STAGES_, SLICES = SLICES_,
                         BLOCKS = BLOCKS_;
    static constexpr int THREADS = WARPS_M * WARPS_N * 32, TOKENS = WARPS_M * MT * 16;
    static constexpr int WIDTH = NT * 8, COLUMNS = WARPS_N * WIDTH;
    static constexpr int INNER_WARPS = WARPS_M * WARPS_N / GROUP; /* on one input block */
    static constexpr int INNER_N = INNER_WARPS / INNER_M_;
    static constexpr int INNER_MT = TOKENS / INNER_M_ / 16, INNER_NT = RANK / INNER_N / 8;
    static constexpr int X_TILE = TOKENS * TILE_K, V_TILE = RANK * TILE_K;
    static constexpr int TILES = DEPTH * GROUP /* a stage */;
    static constexpr int STAGE = TILES * (X_TILE + V_TILE), SLICE = COLUMNS * SLICE_K;
    static constexpr int INNER = GROUP * RANK * TOKENS; /* T of one link */
    static constexpr size_t SMEM_BYTES = 2 * (size_t)(STAGES * STAGE + SLICES * SLICE + 2 * INNER);
    static_assert(INNER_M_ * INNER_MT * 16 == TOKENS && INNER_N * INNER_NT * 8 == RANK, "");
};

/* What a kernel has to know of a problem and its tile; counts per block of threads. */
typedef struct {
    const void *x, *v, *u;
    void *y;
    int64_t tokens, in_features, out_features, block_in, block_out;
    int64_t packed_columns; /* rows of a packed slice: block_out in whole tiles */
    int blocks, token_tiles, column_tiles;
    int links, rank_tiles; /* links in all; of one group of input blocks */
    int chunks;            /* steps of a link */
    int slices;            /* of U, one link */
} chain_args_t;

/* The problem in the words above; `rank` is r'. */
typedef struct {
    int64_t tokens, in_features, out_features, blocks, rank;
} chain_problem_t;

template <typename TILE> static chain_args_t chain_geometry(const chain_problem_t *p) {
    chain_args_t a = {};
    a.tokens = p->tokens, a.in_features = p->in_features, a.out_features = p->out_features;
    a.blocks = (int)p->blocks;
    a.block_in = p->in_features / p->blocks, a.block_out = p->out_features / p->blocks;
    a.token_tiles = (int)ceil_div(p->tokens, TILE::TOKENS);
    a.column_tiles = (int)ceil_div(a.block_out, TILE::COLUMNS);
    a.packed_columns = (int64_t)a.column_tiles * TILE::COLUMNS;
    a.rank_tiles = (int)ceil_div(p->rank, TILE::RANK);
    a.links = (int)ceil_div(p->blocks, TILE::GROUP) * a.rank_tiles;
    a.slices =
        TILE::GROUP * (a.rank_tiles > 1 ? TILE::RANK / SLICE_K : (int)ceil_div(p->rank, SLICE_K));
    /* The ring of slices holds what STAGES steps use: a link may need steps without work. */
    const int64_t least = ceil_div(TILE::STAGES * a.slices, TILE::SLICES);
    const int64_t chunks = ceil_div(a.block_in, TILE::DEPTH * TILE_K);
    a.chunks = (int)(chunks < least ? least : chunks);
    return a;
}

template <typename T, typename TILE, bool VECTOR>
__global__ void __launch_bounds__(TILE::THREADS, TILE::BLOCKS) chain_kernel(chain_args_t args) {
    constexpr int THREADS = TILE::THREADS, STAGES = TILE::STAGES, GROUP = TILE::GROUP;
    constexpr int DEPTH = TILE::DEPTH, TILES = TILE::TILES;
    constexpr int INNER_MT = TILE::INNER_MT, INNER_NT = TILE::INNER_NT;
    extern __shared__ __align__(128) uint4 smem[];
    T *const stages = (T *)smem, *const ring = stages + STAGES * TILE::STAGE;
    T *const inner = ring + TILE::SLICES * TILE::SLICE;
    const int warp = (int)threadIdx.x / 32;
    const int row_out = warp / TILE::WARPS_N * TILE::MT * 16;
    const int column_out = warp % TILE::WARPS_N * TILE::WIDTH;
    const int member = warp / TILE::INNER_WARPS, inner_warp = warp % TILE::INNER_WARPS;
    const int row_in = inner_warp / TILE::INNER_N * INNER_MT * 16;
    const int column_in = inner_warp % TILE::INNER_N * INNER_NT * 8;
    const int64_t token0 = (int64_t)(blockIdx.x % args.token_tiles) * TILE::TOKENS;
    int column0 = (int)(blockIdx.x / args.token_tiles % args.column_tiles) * TILE::COLUMNS;
    const int block = (int)(blockIdx.x / args.token_tiles / args.column_tiles);
    const int rows = (int)min((int64_t)TILE::TOKENS, args.tokens - token0);
    const int steps = args.links * args.chunks, slices = args.links * args.slices;
    const T *v = (const T *)args.v + (int64_t)block * steps * TILES * TILE::V_TILE;
    const T *u =
        (const T *)args.u + ((int64_t)block * slices * args.packed_columns + column0) * SLICE_K;

    /* The step that the next load brings: where this thread's part of X lies, and how much is left
     * of its block; what is valid of the rows is the same in every step. */
    constexpr int ROW_STEP = THREADS / TILE_CHUNKS, PASSES = TILE::TOKENS / ROW_STEP;
    const int thread_row = (int)threadIdx.x / TILE_CHUNKS;
    const int thread_chunk = (int)threadIdx.x % TILE_CHUNKS;
    const int64_t x_step = ROW_STEP * args.in_features;
    const T *x_block =
        (const T *)args.x + (token0 + thread_row) * args.in_features + thread_chunk * 8;
    const T *x_from = x_block;
    T *const x_to = stages + tile_offset(thread_row, thread_chunk);
    const int x_columns = (int)args.block_in - thread_chunk * 8;
    int ahead = 0, ahead_chunk = 0, ahead_rank = 0, ahead_l = 0, left = x_columns;
    int to_stage = 0, v_stage = 0;
    T *const v_to = stages + TILES * TILE::X_TILE;
    unsigned rows_valid = 0; /* a bit for each pass */
    for (int pass = 0; pass < PASSES; pass++)
        rows_valid |= (unsigned)(thread_row + pass * ROW_STEP < rows) << pass;
    asm volatile("" : "+r"(rows_valid)); /* kept, not worked out for every load */
    const auto load_v = [&]() {
        linear_load<TILES * TILE::V_TILE / 8, THREADS>(v_to + v_stage, v);
        v += TILES * TILE::V_TILE;
        v_stage = v_stage == (STAGES - 1) * TILE::STAGE ? 0 : v_stage + TILE::STAGE;
    };
    const auto load = [&](int deep, int part) {
        if (ahead < steps) {
            if (deep == 0 && part == 0 && ahead >= STAGES - 1) load_v();
#pragma unroll
            for (int g = 0; g < GROUP; g++)
#pragma unroll
                for (int pass = part * PASSES / TILE_PARTS; pass < (part + 1) * PASSES / TILE_PARTS;
                     pass++) {
                    const bool inside = rows_valid >> pass & 1 && ahead_l + g < args.blocks;
                    chunk_load<VECTOR>(x_to + to_stage + (deep * GROUP + g) * TILE::X_TILE +
                                           pass * ROW_STEP * TILE_K,
                                       x_from + deep * TILE_K + g * args.block_in + pass * x_step,
                                       inside ? left - deep * TILE_K : 0);
                }
        }
        if (deep < DEPTH - 1 || part < TILE_PARTS - 1) return;
        ahead++, ahead_chunk++;
        to_stage = to_stage == (STAGES - 1) * TILE::STAGE ? 0 : to_stage + TILE::STAGE;
        x_from += DEPTH * TILE_K, left -= DEPTH * TILE_K;
        if (ahead_chunk < args.chunks) return;
        ahead_chunk = 0; /* a group is read again for each of its rank tiles */
        if (++ahead_rank == args.rank_tiles)
            ahead_rank = 0, ahead_l += GROUP, x_block += GROUP * args.block_in;
        x_from = x_block, left = x_columns;
    };
    int used = 0, loaded = 0, used_slot = 0, loaded_slot = 0; /* slices of U */
    const auto load_slices = [&]() {
#pragma unroll 1
        for (const int end = min(slices, used + TILE::SLICES); loaded < end; loaded++) {
            linear_load<TILE::SLICE / 8, THREADS>(ring + loaded_slot, u);
            u += args.packed_columns * SLICE_K;
            loaded_slot =
                loaded_slot == (TILE::SLICES - 1) * TILE::SLICE ? 0 : loaded_slot + TILE::SLICE;
        }
    };

    float out[TILE::MT][TILE::NT][4] = {}, acc[INNER_MT][INNER_NT][4] = {};
    /* Weights of the first steps come while the kernel ahead ends; it may write X or read Y. */
    dependents_launch();
    for (int step = 0; step < min(steps, STAGES - 1); step++) load_v();
    dependency_wait();
    for (int step = 0; step < STAGES - 1; step++) {
#pragma unroll
        for (int part = 0; part < DEPTH * TILE_PARTS; part++)
            load(part / TILE_PARTS, part % TILE_PARTS);
        if (step == min(args.chunks, STAGES - 2)) load_slices();
        cp_async_commit();
    }
    int link = 0, chunk = 0, due = 0; /* due: slices of this step, times chunks */
    int stage_at = 0;
    const int members = args.slices / GROUP; /* slices of one input block */
    const T *a = inner;
    int member_slice = 0;
    const auto use_slice = [&]() {
        slice_mma<T, TILE::MT, TILE::NT>(out, a, ring + used_slot, row_out, column_out);
        used_slot = used_slot == (TILE::SLICES - 1) * TILE::SLICE ? 0 : used_slot + TILE::SLICE;
        a += TILE::TOKENS * SLICE_K, used++;
        if (GROUP == 1 || ++member_slice < members) return;
        a += (TILE::RANK / SLICE_K - members) * TILE::TOKENS * SLICE_K, member_slice = 0;
    };
    for (int step = 0; step < steps; step++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        load_slices();
        const T *const stage = stages + stage_at;
#pragma unroll
        for (int deep = 0; deep < DEPTH; deep++)
            tile_mma<T, INNER_MT, INNER_NT, false>(
                acc, stage + (deep * GROUP + member) * TILE::X_TILE,
                stage + TILES * TILE::X_TILE + (deep * GROUP + member) * TILE::V_TILE, row_in,
                column_in, [&](int part) { load(deep, part); });
        stage_at = stage_at == (STAGES - 1) * TILE::STAGE ? 0 : stage_at + TILE::STAGE;
        cp_async_commit();
        if (link > 0)
#pragma unroll 1
            for (due += args.slices; due >= args.chunks; due -= args.chunks) use_slice();
        if (++chunk < args.chunks) continue;
        chunk = 0;
        a = inner + link % 2 * TILE::INNER;
        T *const to = inner + link++ % 2 * TILE::INNER + member * TILE::RANK * TILE::TOKENS;
        slices_store<T, INNER_MT, INNER_NT, TILE::TOKENS>(to, acc, row_in, column_in);
#pragma unroll
        for (int i = 0; i < INNER_MT * INNER_NT * 4; i++) (&acc[0][0][0])[i] = 0;
    }
    while (used < slices) { /* the last link's second product, as much at a time as the ring has */
        __syncthreads();
        load_slices();
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        for (const int end = loaded; used < end;) use_slice();
    }
    column0 += column_out;
    results_store<T, TILE::MT, TILE::NT, VECTOR>(
        (uint16_t *)args.y + block * args.block_out + column0, args.out_features, out,
        token0 + row_out, args.tokens, (int)args.block_out - column0);
}

template <typename T, typename TILE, bool VECTOR>
static status_t chain_launch_kernel(const chain_args_t *args, cudaStream_t stream) {
    static uint64_t opted_in;
    const auto kernel = chain_kernel<T, TILE, VECTOR>;
    const int64_t grid = (int64_t)args->token_tiles * args->column_tiles * args->blocks;
    const status_t st = smem_opt_in((const void *)kernel, TILE::SMEM_BYTES, &opted_in);
    if (st != STATUS_OK) return st;
    return launch_overlapped(kernel, grid, TILE::THREADS, 1, TILE::SMEM_BYTES, stream, *args);
}

/* Whether X is read and Y is written by 16 bytes. */
static inline bool chain_vectors(const chain_problem_t *p) {
    return p->in_features / p->blocks % 8 == 0 && p->out_features / p->blocks % 8 == 0;
}

/* Source element (block, k, row, column) of V or (k, block, row, column) of U: strides of each. */
typedef struct {
    const uint16_t *from;
    int64_t block, output, row;
} chain_source_t;

/* V: one image of DEPTH x GROUP x RANK x 64 a step. */
template <typename TILE>
static int64_t chain_pack_v(const chain_problem_t *p, chain_source_t src, uint16_t *dst) {
    const chain_args_t a = chain_geometry<TILE>(p);
    const int64_t tiles = (int64_t)a.blocks * a.links * a.chunks * TILE::TILES;
    if (!dst) return tiles * TILE::V_TILE;
    memset(dst, 0, (size_t)(tiles * TILE::V_TILE) * 2);
#pragma omp parallel for schedule(static)
    for (int64_t tile = 0; tile < tiles; tile++) {
        const int64_t step = tile / TILE::TILES, link = step / a.chunks % a.links;
        const int64_t k = step / a.chunks / a.links, chunk = step % a.chunks;
        const int64_t l = link / a.rank_tiles * TILE::GROUP + tile % TILE::GROUP;
        const int64_t deep = tile % TILE::TILES / TILE::GROUP;
        const int64_t row0 = (chunk * TILE::DEPTH + deep) * TILE_K;
        const int64_t s0 = link % a.rank_tiles * TILE::RANK;
        if (l >= a.blocks) continue;
        for (int64_t i = 0; i < TILE_K && row0 + i < a.block_in; i++)
            for (int64_t s = 0; s < TILE::RANK && s0 + s < p->rank; s++)
                dst[tile * TILE::V_TILE + tile_offset((int)s, (int)i / 8) + i % 8] =
                    src.from[l * src.block + k * src.output + (row0 + i) * src.row + s0 + s];
    }
    return tiles * TILE::V_TILE;
}

/* U: slices of packed_columns x 16, in the order in which they are used. */
template <typename TILE>
static int64_t chain_pack_u(const chain_problem_t *p, chain_source_t src, uint16_t *dst) {
    const chain_args_t a = chain_geometry<TILE>(p);
    const int64_t count = (int64_t)a.blocks * a.links * a.slices;
    const int64_t size = a.packed_columns * SLICE_K, sub = a.slices / TILE::GROUP;
    if (!dst) return count * size;
    memset(dst, 0, (size_t)(count * size) * 2);
#pragma omp parallel for schedule(static)
    for (int64_t slice = 0; slice < count; slice++) {
        const int64_t inside = slice % a.slices, link = slice / a.slices % a.links;
        const int64_t l = link / a.rank_tiles * TILE::GROUP + inside / sub;
        const int64_t k = slice / a.slices / a.links;
        const int64_t s0 = link % a.rank_tiles * TILE::RANK + inside % sub * SLICE_K;
        if (l >= a.blocks) continue;
        for (int64_t s = 0; s < SLICE_K && s0 + s < p->rank; s++)
            for (int64_t j = 0; j < a.block_out; j++)
                dst[slice * size +
                    slice_offset(slice_row_of_column((int)j, TILE::WIDTH), (int)s / 8) + s % 8] =
                    src.from[l * src.block + k * src.output + (s0 + s) * src.row + j];
    }
    return count * size;
}

#endif
