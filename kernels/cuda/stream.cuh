/*
 * Weight streaming for 1 to 64 tokens: Y^T = W^T X^T on mma.sync, the weights as operand A.
 *
 * Weights are packed offline into fragments, 16 output features x 16 deep, 512 bytes: what the 32
 * lanes of a warp hold of A, lane after lane, 16 bytes each. A warp reads runs of consecutive
 * fragments through a ring of its own in shared memory, so it needs no barrier with other warps.
 * From compute capability 9.0 on, one lane asks the copy engine for whole groups: with cp.async
 * instead, the queue of the load/store unit fills up, and whatever else is loaded or stored on that
 * SM waits behind it (NOTES_stream.md has figures). Before 9.0 a lane copies with cp.async
 * exactly the bytes that it will use itself.
 *
 * Order inside a fragment (lane = 4g + t): rows 2g and 2g+1, depths 4t to 4t+3. So operand B of a
 * lane is 8 neighbouring bytes of a token's row, and its results are pairs of neighbouring features
 * 2g, 2g+1 of the tokens 2t and 2t+1.
 *
 * Kernels overlap by programmatic dependent launch: weights, which no kernel writes, are requested
 * before dependency_wait(), everything else is read and written after it. Reads of what an earlier
 * kernel wrote go past L1 (__ldcg), which may hold lines from before the wait.
 */
#ifndef BLROOF_STREAM_CUH
#define BLROOF_STREAM_CUH

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/stream_ptx.cuh"

enum {
    STREAM_TOKENS = 64, /* the most */
    STREAM_WARPS = 8,
    STREAM_CTAS = 3, /* an SM, of kernels that follow each other */
    STREAM_THREADS = 32 * STREAM_WARPS,
    STREAM_GROUP = 4,  /* fragments that are requested, waited for and multiplied together */
    STREAM_DEPTH = 8,  /* the most groups of a ring */
    STREAM_DIRECT = 4, /* chunks a thread up to which operands come through registers */
    FRAGMENT_SIDE = 16,
    FRAGMENT_ELEMENTS = FRAGMENT_SIDE * FRAGMENT_SIDE,
    FRAGMENT_BYTES = 2 * FRAGMENT_ELEMENTS,
    /* Barriers: of all rings, of the operand, of what peers in the cluster send. */
    STREAM_OPERAND = STREAM_WARPS * STREAM_DEPTH,
    STREAM_RECEIVED,
    STREAM_BARRIERS,
    STREAM_BARRIER_BYTES = (STREAM_BARRIERS * 8 + 127) / 128 * 128,
    STREAM_GROUP_BYTES = STREAM_WARPS * STREAM_GROUP * FRAGMENT_BYTES, /* of all rings */
};

/* CTAs an SM that registers must allow, with this many 8-token columns. */
__host__ __device__ constexpr int stream_ctas(int columns) {
    return columns <= 2 ? STREAM_CTAS : 2;
}

__host__ __device__ inline int tiles_of(int64_t features) {
    return (int)((features + FRAGMENT_SIDE - 1) / FRAGMENT_SIDE);
}

/* Items cut into shares; the division is made on the host. The first `more` shares have one item
 * more than `each`. Share i ends where the next one begins. */
typedef struct {
    int each, more;
} share_t;

static inline share_t share_of(int count, int shares) {
    return {count / shares, count % shares};
}

__host__ __device__ inline int share_begin(share_t share, int i) {
    return i * share.each + (i < share.more ? i : share.more);
}

__host__ __device__ inline int share_count(share_t share, int i) {
    return share.each + (i < share.more);
}

/*
 * n / d for n, d < 2^20 in a few instructions: (n + 1/2) / d is at least 1/2d away from a whole
 * number, and what it is rounded by is less.
 */
__device__ inline unsigned quotient(unsigned n, unsigned d) {
    return (unsigned)__fdividef((float)n + 0.5f, (float)d);
}

/* Elements a row of an operand in shared memory: rows begin 32 bytes apart modulo 128. */
__host__ __device__ inline int operand_pitch(int columns) {
    return (columns + 63) / 64 * 64 + 16;
}

/* ---- The stream of one warp. ---- */

/*
 * Tiles of 16 features that a CTA multiplies, all `steps` fragments deep. Tile i begins
 * i/inner * outer_stride + i%inner * inner_stride fragments after `first`. `parts` warps share the
 * depth of a tile, part_steps fragments each as far as there are any; warp w takes the segments
 * (tile * parts + part) w, w + STREAM_WARPS, ...
 */
typedef struct {
    const uint4 *first;
    int count, inner, outer_stride, inner_stride, steps, parts, part_steps;
} tiles_t;

/* Where in the operand a tile's depth begins, and a number of the caller's: where it goes. */
typedef struct {
    int column;
    unsigned out;
} place_t;

/* One warp's part of a tile: `steps` fragments from `at` on, the operand from `column` on. */
typedef struct {
    const uint4 *at;
    unsigned out;
    uint16_t tile, part, steps, column;
} segment_t;

/*
 * A ring of `depth` groups that runs through the warp's segments. Their table is worked out by all
 * lanes at once before anything is waited for: the divisions cost nothing there.
 */
typedef struct {
    segment_t *tables, *table; /* of warp 0 (the others follow), of this warp */
    int most;                  /* room in each */
    int segments, next, left;  /* segments; the next to request; fragments left of the one before */
    const uint4 *at;           /* the next of them */
    uint4 *ring;               /* of warp 0 */
    int lane;                  /* this lane's part of this warp's first fragment */
    uint64_t *full;            /* a barrier for each group */
    int depth, in, out;
    unsigned phase; /* of the barriers, at `out` */
    int read;       /* segments multiplied */
    int early;      /* groups requested before the table was there */
} stream_ring_t;

/*
 * A ring of this warp in smem (depth * STREAM_GROUP_BYTES), with room for STREAM_BARRIERS barriers
 * in `full` and for `segments` segments a warp in `tables`. Only this warp uses its barriers.
 */
__device__ inline stream_ring_t ring_make(uint4 *smem, uint64_t *full, segment_t *tables,
                                          int segments, int depth) {
    const int warp = (int)threadIdx.x / 32;
    stream_ring_t r = {};
    r.tables = tables, r.table = tables + warp * segments, r.most = segments;
    r.ring = smem;
    r.full = full + warp * STREAM_DEPTH;
    r.depth = depth;
    r.lane = warp * depth * STREAM_GROUP * 32 + (int)threadIdx.x % 32;
    asm volatile("" : "+r"(r.lane)); /* not to be worked out again and again */
    if (threadIdx.x % 32 == 0) {
#pragma unroll 1
        for (int i = 0; i < depth; i++) barrier_init(r.full + i);
        barrier_init_fence();
    }
    return r;
}

/* Appends this warp's segments of `tiles`; place(tile) is a place_t. */
template <typename PLACE>
__device__ inline void ring_add(stream_ring_t &r, const tiles_t &tiles, PLACE place) {
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32;
    const int total = tiles.count * tiles.parts;
#pragma unroll 1
    for (int i = lane; warp + i * STREAM_WARPS < total; i += 32) {
        const unsigned s = warp + i * STREAM_WARPS, tile = quotient(s, tiles.parts);
        const int part = (int)(s - tile * tiles.parts), begin = part * tiles.part_steps;
        const unsigned outer = quotient(tile, tiles.inner), inner = tile - outer * tiles.inner;
        const int64_t fragment =
            (int64_t)outer * tiles.outer_stride + (int)inner * tiles.inner_stride + begin;
        const place_t to = place((int)tile);
        r.table[r.segments + i] = {tiles.first + fragment * 32,
                                   to.out,
                                   (uint16_t)tile,
                                   (uint16_t)part,
                                   (uint16_t)max(min(tiles.part_steps, tiles.steps - begin), 0),
                                   (uint16_t)(to.column + begin * FRAGMENT_SIDE)};
    }
    r.segments += max(total - warp + STREAM_WARPS - 1, 0) / STREAM_WARPS;
}

/* Segment `s` of the first tiles that were added, whichever warp has it. */
__device__ inline const segment_t &ring_segment(const stream_ring_t &r, int s) {
    return r.tables[s % STREAM_WARPS * r.most + s / STREAM_WARPS];
}

/* Requests the next group, if there is one. Before 9.0 groups are counted, empty ones too. */
__device__ inline void ring_fetch(stream_ring_t &r) {
    while (r.left == 0 && r.next < r.segments) {
        r.at = r.table[r.next].at, r.left = r.table[r.next].steps;
        r.next++;
    }
    const int lane = (int)threadIdx.x % 32, count = min(r.left, (int)STREAM_GROUP);
    uint4 *const to = r.ring + r.lane - lane + r.in * STREAM_GROUP * 32;
#if __CUDA_ARCH__ >= 900
    if (count == 0) return;
    __syncwarp(); /* all lanes have read what was there */
    if (lane == 0) {
        barrier_expect(r.full + r.in, count * FRAGMENT_BYTES);
        bulk_copy_once(to, r.at, count * FRAGMENT_BYTES, r.full + r.in);
    }
#else
#pragma unroll
    for (int i = 0; i < STREAM_GROUP; i++)
        if (i < count) cp_async(to + i * 32 + lane, r.at + i * 32 + lane, true);
    cp_async_commit();
#endif
    r.at += STREAM_GROUP * 32;
    r.left -= count;
    if (++r.in == r.depth) r.in = 0;
}

/*
 * Requests what the ring holds of this warp's first segment of `tiles`, which are to be the first
 * that are added: for kernels whose CTAs begin when those of the kernel ahead end.
 */
__device__ inline void ring_early(stream_ring_t &r, const tiles_t &tiles) {
    const unsigned warp = threadIdx.x / 32, tile = quotient(warp, tiles.parts);
    const int begin = (int)(warp - tile * tiles.parts) * tiles.part_steps;
    if ((int)tile >= tiles.count) return;
    const unsigned outer = quotient(tile, tiles.inner), inner = tile - outer * tiles.inner;
    r.at = tiles.first +
           ((int64_t)outer * tiles.outer_stride + (int)inner * tiles.inner_stride + begin) * 32;
    r.left = max(min(tiles.part_steps, tiles.steps - begin), 0);
    r.next = 1;
#pragma unroll 1
    for (; r.early < r.depth && r.left > 0; r.early++) ring_fetch(r);
}

/* Begins to request, once all segments were added. */
__device__ inline void ring_start(stream_ring_t &r) {
    __syncwarp();
#pragma unroll 1
    for (int i = r.early; i < r.depth; i++) ring_fetch(r);
}

/* Waits for the oldest group and returns this lane's part; ring_fetch() gives its place away. */
__device__ inline const uint4 *ring_take(stream_ring_t &r) {
#if __CUDA_ARCH__ >= 900
    barrier_wait(r.full + r.out, r.phase);
#else
    switch (r.depth) {
    case 2:
        cp_async_wait<1>();
        break;
    case 3:
        cp_async_wait<2>();
        break;
    case 4:
        cp_async_wait<3>();
        break;
    case 5:
        cp_async_wait<4>();
        break;
    case 6:
        cp_async_wait<5>();
        break;
    case 7:
        cp_async_wait<6>();
        break;
    case 8:
        cp_async_wait<7>();
        break;
    default:
        cp_async_wait<0>();
        break;
    }
#endif
    const uint4 *const group = r.ring + r.lane + r.out * STREAM_GROUP * 32;
    if (++r.out == r.depth) r.out = 0, r.phase ^= 1;
    return group;
}

/*
 * acc[c] += one group: `left` of its fragments at `group` (this lane's part), all of them with
 * FULL, by the operand at b[row[j]] of every 8-token column j. CHAINS independent sums hide mma's
 * latency; there are no branches, so that the loads of BATCH fragments are under way at once.
 */
template <typename T, int NT, int CHAINS, bool FULL>
__device__ inline void group_multiply(float (&acc)[CHAINS][NT][4], const uint4 *group, const T *b,
                                      const int (&row)[NT], int left) {
    constexpr int BATCH = NT <= 2 ? STREAM_GROUP : NT == 4 ? 2 : 1;
#pragma unroll
    for (int i0 = 0; i0 < STREAM_GROUP; i0 += BATCH) {
        uint4 a[BATCH];
        uint2 words[BATCH][NT];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const bool there = FULL || i0 + i < left;
            a[i] = there ? group[(i0 + i) * 32] : make_uint4(0, 0, 0, 0);
#pragma unroll
            for (int j = 0; j < NT; j++)
                words[i][j] = there ? *(const uint2 *)(b + row[j] + (i0 + i) * FRAGMENT_SIDE)
                                    : make_uint2(0, 0);
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            const uint32_t a_part[4] = {a[i].x, a[i].y, a[i].z, a[i].w};
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const uint32_t b_part[2] = {words[i][j].x, words[i][j].y};
                mma_16816<T>(acc[(i0 + i) % CHAINS][j], a_part, b_part);
            }
        }
    }
}

/*
 * Multiplies this warp's segments up to number `end` of its table.
 * operand: tokens x depth in shared memory, `pitch` elements a row. done(segment, acc): acc[j]
 * holds the lane's results of tokens 8j to 8j+7, in the order {token 2t, 2t+1 of feature 2g, then
 * of 2g+1}. NT 8-token columns; those beyond `tokens` hold copies of the last token.
 */
template <typename T, int NT, typename DONE>
__device__ inline void stream_multiply(stream_ring_t &ring, int end, const T *operand, int pitch,
                                       int tokens, DONE done) {
    constexpr int CHAINS = NT == 1 ? 4 : NT == 2 ? 2 : 1;
    const int lane = (int)threadIdx.x % 32;
    int row[NT];
#pragma unroll
    for (int j = 0; j < NT; j++) {
        row[j] = min(j * 8 + lane / 4, tokens - 1) * pitch + lane % 4 * 4;
        asm volatile("" : "+r"(row[j]));
    }
#pragma unroll 1
    for (; ring.read < end; ring.read++) {
        const segment_t s = ring.table[ring.read];
        const T *b = operand + s.column;
        float acc[CHAINS][NT][4] = {};
#pragma unroll 1
        for (int left = s.steps; left > 0;
             left -= STREAM_GROUP, b += STREAM_GROUP * FRAGMENT_SIDE) {
            const uint4 *const group = ring_take(ring);
            if (left >= STREAM_GROUP)
                group_multiply<T, NT, CHAINS, true>(acc, group, b, row, left);
            else
                group_multiply<T, NT, CHAINS, false>(acc, group, b, row, left);
            ring_fetch(ring);
        }
#pragma unroll
        for (int i = 1; i < CHAINS; i++)
#pragma unroll
            for (int j = 0; j < NT; j++)
#pragma unroll
                for (int e = 0; e < 4; e++) acc[0][j][e] += acc[i][j][e];
        done(s, acc[0]);
    }
}

/* The sum of `count` vectors `stride` apart, in their order; four loads are under way at once. */
__device__ inline float4 vectors_sum(const float4 *from, int stride, int count) {
    float4 sum = make_float4(0, 0, 0, 0);
#pragma unroll 1
    for (int i = 0; i < count; i += 4)
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float4 v = i + e < count ? from[(i + e) * stride] : make_float4(0, 0, 0, 0);
            sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
        }
    return sum;
}

/*
 * stream_multiply() of the tiles that were added first, with done(tile, out, j, results) called
 * once for each tile and 8-token column, after the parts were added in order through `partials`
 * (count * parts * NT * 512 bytes, where parts is more than 1). All threads of the CTA call it.
 */
template <typename T, int NT, typename DONE>
__device__ inline void stream_multiply_sum(stream_ring_t &ring, int end, const tiles_t &tiles,
                                           const T *operand, int pitch, int tokens,
                                           float4 *partials, DONE done) {
    const int lane = (int)threadIdx.x % 32, parts = tiles.parts;
    stream_multiply<T, NT>(
        ring, end, operand, pitch, tokens, [&](const segment_t &s, const float(*acc)[4]) {
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const float4 sum = make_float4(acc[j][0], acc[j][1], acc[j][2], acc[j][3]);
                if (parts == 1)
                    done(s.tile, s.out, j, sum);
                else
                    partials[((s.tile * parts + s.part) * NT + j) * 32 + lane] = sum;
            }
        });
    if (parts == 1) return;
    __syncthreads();
#pragma unroll 1
    for (int i = (int)threadIdx.x / 32; i < tiles.count * NT; i += STREAM_WARPS) {
        const int tile = i / NT, j = i % NT;
        const float4 *const from = partials + (tile * parts * NT + j) * 32 + lane;
        done(tile, ring_segment(ring, tile * parts).out, j, vectors_sum(from, NT * 32, parts));
    }
}

/* ---- Operands. ---- */

/* Where the operand of a CTA lies in X: `blocks` pieces of `width` columns, from column `first`. */
typedef struct {
    const void *x;
    int64_t ld, first;
    int tokens, blocks, width, block_stride;
    bool vector; /* all pieces begin at multiples of 16 bytes, widths are multiples of 8 */
} input_t;

__device__ inline void input_prefetch(const input_t &in) {
    const int row_bytes = ((in.blocks - 1) * in.block_stride + in.width) * 2;
    const int lines = row_bytes / 128 + 1;
    for (int i = (int)threadIdx.x; i < in.tokens * lines; i += STREAM_THREADS) {
        const int token = (int)quotient(i, lines), line = i - token * lines;
        const char *const row = (const char *)in.x + (token * in.ld + in.first) * 2;
        prefetch_l2(row + min(line * 128, row_bytes - 1));
    }
}

/* Element by element: see input_stage(). */
__device__ inline void input_stage_elements(const input_t &in, int padded, uint16_t *operand,
                                            int pitch) {
    const int row = in.blocks * padded;
#pragma unroll 1
    for (int i = (int)threadIdx.x; i < in.tokens * row; i += STREAM_THREADS) {
        const int token = i / row, block = i % row / padded, column = i % row % padded;
        const uint16_t *const from = (const uint16_t *)in.x + token * in.ld + in.first +
                                     (int64_t)block * in.block_stride + column;
        operand[token * pitch + i % row] = column < in.width ? __ldcg(from) : (uint16_t)0;
    }
    __syncthreads();
}

/* A thread's way through `rows` rows of `chunks` times 16 bytes: which one, and how it goes on. */
typedef struct {
    int row, chunk, rows, chunks, row_step, chunk_step;
} chunk_t;

__device__ inline chunk_t chunk_first(int rows, int chunks) {
    const int row = (int)quotient(threadIdx.x, chunks),
              step = (int)quotient(STREAM_THREADS, chunks);
    return {row,  (int)threadIdx.x - row * chunks, rows, chunks,
            step, STREAM_THREADS - step * chunks};
}

__device__ inline void chunk_next(chunk_t &c) {
    c.row += c.row_step, c.chunk += c.chunk_step;
    if (c.chunk >= c.chunks) c.chunk -= c.chunks, c.row++;
}

/* Stores load(row, chunk) to rows of `pitch` elements, BATCH loads under way at once. */
template <int BATCH, typename LOAD>
__device__ inline void chunks_stage(chunk_t c, uint16_t *operand, int pitch, LOAD load) {
#pragma unroll 1
    while (c.row < c.rows) {
        uint4 words[BATCH];
        int to[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
            to[i] = c.row < c.rows ? c.row * pitch + c.chunk * 8 : -1;
            if (to[i] >= 0) words[i] = load(c.row, c.chunk);
            chunk_next(c);
        }
#pragma unroll
        for (int i = 0; i < BATCH; i++)
            if (to[i] >= 0) *(uint4 *)(operand + to[i]) = words[i];
    }
    __syncthreads();
}

/* True if input_stage() can take it 16 bytes at a time: then the pieces are neighbours. */
__device__ inline bool input_whole(const input_t &in, int padded) {
    return in.vector && padded == in.width;
}

/*
 * Copies it to rows of `pitch` elements, each piece padded with zeros to `padded` columns, and
 * waits until all of it is there. `first` is this thread's chunk_first(), worked out earlier.
 * Much of it comes by bulk copies, for which `barrier` is in its first phase; a little comes sooner
 * through registers.
 */
__device__ inline void input_stage(const input_t &in, int padded, const chunk_t &first,
                                   uint16_t *operand, int pitch, uint64_t *barrier) {
    if (!input_whole(in, padded)) {
        input_stage_elements(in, padded, operand, pitch);
        return;
    }
    const uint16_t *const x = (const uint16_t *)in.x + in.first;
#if __CUDA_ARCH__ >= 900
    if (in.tokens * first.chunks > STREAM_DIRECT * STREAM_THREADS) {
        const int bytes = in.blocks * padded * 2;
        if (threadIdx.x == 0) barrier_expect(barrier, in.tokens * bytes);
        if (threadIdx.x < 32) {
            __syncwarp();
#pragma unroll 1
            for (int token = (int)threadIdx.x; token < in.tokens; token += 32)
                bulk_copy(operand + token * pitch, x + token * in.ld, bytes, barrier);
        }
        barrier_wait(barrier, 0);
        return;
    }
#endif
    (void)barrier;
    chunks_stage<2>(first, operand, pitch, [&](int token, int chunk) {
        return __ldcg((const uint4 *)(x + token * in.ld + chunk * 8));
    });
}

/* Eight neighbours of an operand that was left as `shares` shares, at most MOST, `stride` apart. */
template <typename T, int MOST>
__device__ inline uint4 shares_sum(const T *from, int shares, int64_t stride) {
    float2 sum[4] = {};
    uint4 part[MOST];
#pragma unroll
    for (int i = 0; i < MOST; i++, from += stride)
        part[i] = i < shares ? __ldcg((const uint4 *)from) : make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < MOST; i++) {
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

/* Initialises the barriers that all warps use; __syncthreads() before they do. */
__device__ inline void shared_barriers_open(uint64_t *barriers) {
    if (threadIdx.x > 0) return;
    barrier_init(barriers + STREAM_OPERAND);
    barrier_init(barriers + STREAM_RECEIVED);
    barrier_init_fence();
}

/* Rounds a lane's results of one 8-token column into rows of `ld` elements, pairs of features. */
template <typename T>
__device__ inline void fragment_store(T *rows, int64_t ld, int column, int tokens, float4 sum) {
    const int lane = (int)threadIdx.x % 32, token = column * 8 + lane % 4 * 2;
    T *const to = rows + token * ld + lane / 4 * 2;
    if (token < tokens) *(uint32_t *)to = round_pair<T>(sum.x, sum.z);
    if (token + 1 < tokens) *(uint32_t *)(to + ld) = round_pair<T>(sum.y, sum.w);
}

/* Bytes of the barriers and of the tables of segments, which follow the rings. */
__host__ __device__ inline int stream_head_bytes(int segments) {
    return STREAM_BARRIER_BYTES + STREAM_WARPS * segments * (int)sizeof(segment_t);
}

#endif
