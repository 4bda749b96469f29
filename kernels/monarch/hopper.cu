/*
 * monarch/fused on Hopper, the plans where a block needs nothing from other blocks.
 *
 * T_lk = X_l V_lk feeds output block k alone. So a thread block that owns TOKENS tokens and COLUMNS
 * columns of Y_k walks l, and T never leaves its registers: flash attention without the softmax.
 * Where q is beyond COLUMNS, each column tile computes T again.
 *
 *   producer warp 0   X (TOKENS x 64) and V (RANK x 64), chunk after chunk, into a ring of slots
 *   producer warp 1   U (COLUMNS x RANK), a tile a pass, into a ring of two
 *   consumers         a warpgroup for each 64 tokens. The chunks of the first product of the next
 *                     pass alternate with the K steps of the second product of this one, so the
 *                     tensor cores have work while slots are waited for, and T is rounded to the A
 *                     operand of its second product while the last K step runs
 *
 * The grid is persistent: as many blocks as fill the waves evenly, and the rings run on from tile
 * to tile, so that the next tile loads during the store of the last.
 */
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/tensor_map.h"
#include "kernels/monarch/hopper.h"
#include "kernels/monarch/hopper_tile.cuh"

enum { SMEM_BYTES = 227 * 1024, SMEM_ALIGN = 1024 };

template <int TOKENS_, int COLUMNS_, int RANK_> struct tile_shape {
    static constexpr int TOKENS = TOKENS_, COLUMNS = COLUMNS_, RANK = RANK_;
    static constexpr int CONSUMERS = TOKENS / WARPGROUP_ROWS;
    static constexpr int THREADS = (CONSUMERS + 1) * WARPGROUP;
    static constexpr int STEPS = RANK / 16; /* K steps of the second product */
    /* Two operands for T, so that rounding overlaps with wgmma, where registers allow. */
    static constexpr bool TWO_OPERANDS = COLUMNS / 2 + RANK <= 192;

    static constexpr int X_BYTES = TOKENS * CHUNK * 2, V_BYTES = RANK * CHUNK * 2;
    static constexpr int SLOT_BYTES = X_BYTES + V_BYTES;
    static constexpr int U_BYTES = COLUMNS * RANK * 2, U_SLOTS = 2;
    static constexpr int U_PITCH = (U_BYTES + SMEM_ALIGN - 1) / SMEM_ALIGN * SMEM_ALIGN;
    static constexpr int ROOM = SMEM_BYTES - 2 * SMEM_ALIGN - U_SLOTS * U_PITCH;
    static constexpr int SLOTS = ROOM / SLOT_BYTES < 12 ? ROOM / SLOT_BYTES : 12;
    static constexpr int BARRIERS = 2 * (SLOTS + U_SLOTS);
    static constexpr int SMEM =
        SMEM_ALIGN + SLOTS * SLOT_BYTES + U_SLOTS * U_PITCH + BARRIERS * MBARRIER_BYTES;
    static_assert(SLOTS >= 3 && SMEM <= SMEM_BYTES && SLOT_BYTES % SMEM_ALIGN == 0);
};

/* Addresses of a block's shared memory. */
template <typename S> struct layout_t {
    uint32_t slots, u_slots, barriers;

    __device__ uint32_t x(int slot) const {
        return slots + slot * S::SLOT_BYTES;
    }
    __device__ uint32_t v(int slot) const {
        return x(slot) + S::X_BYTES;
    }
    __device__ uint32_t u(int slot) const {
        return u_slots + slot * S::U_PITCH;
    }
    __device__ uint32_t full(int slot) const {
        return barriers + slot * MBARRIER_BYTES;
    }
    __device__ uint32_t empty(int slot) const {
        return full(S::SLOTS + slot);
    }
    __device__ uint32_t u_full(int slot) const {
        return full(2 * S::SLOTS + slot);
    }
    __device__ uint32_t u_empty(int slot) const {
        return full(2 * S::SLOTS + S::U_SLOTS + slot);
    }
};

/* What a tile is about. Column tiles come first: blocks that run together share X in L2. */
struct place_t {
    int k, column_tile, token;
};

template <typename S> __device__ inline place_t place_of(const monarch_tiling_t &tiling, int tile) {
    const int columns = tiling.blocks * tiling.column_tiles, column = tile % columns;
    return {column / tiling.column_tiles, column % tiling.column_tiles, tile / columns * S::TOKENS};
}

/* Loads X and V of all tiles of this block; one thread. V is a constant, so the first slots get it
 * before the kernel ahead has ended. */
template <typename S>
__device__ void produce_xv(const layout_t<S> &smem, const CUtensorMap *x_map, const uint8_t *v,
                           const monarch_tiling_t &tiling, int tiles) {
    const int chunks_per_k = tiling.blocks * tiling.parts * tiling.chunks;
    const int early = chunks_per_k < S::SLOTS ? chunks_per_k : S::SLOTS;
    const uint8_t *early_v =
        v + (int64_t)place_of<S>(tiling, blockIdx.x).k * chunks_per_k * S::V_BYTES;
    for (int slot = 0; slot < early; slot++, early_v += S::V_BYTES) {
        mbarrier_arrive_expect(smem.full(slot), S::SLOT_BYTES);
        bulk_load(smem.v(slot), early_v, S::V_BYTES, smem.full(slot));
    }
    dependency_wait();
    ring_t ring = {0, 1};
    int chunk = 0; /* since the start of the kernel */
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const place_t place = place_of<S>(tiling, tile);
        const uint8_t *tile_v = v + (int64_t)place.k * chunks_per_k * S::V_BYTES;
        for (int pass = 0; pass < tiling.blocks * tiling.parts; pass++)
            for (int c = 0; c < tiling.chunks; c++, chunk++, tile_v += S::V_BYTES) {
                const uint32_t full = smem.full(ring.slot);
                if (chunk >= early) {
                    mbarrier_wait(smem.empty(ring.slot), ring.parity);
                    mbarrier_arrive_expect(full, S::SLOT_BYTES);
                    bulk_load(smem.v(ring.slot), tile_v, S::V_BYTES, full);
                }
                tma_load_2d(smem.x(ring.slot), x_map,
                            pass / tiling.parts * tiling.in_block + c * CHUNK, place.token, full);
                ring_advance<S::SLOTS>(ring);
            }
    }
}

template <typename S>
__device__ void produce_u(const layout_t<S> &smem, const uint8_t *u, const monarch_tiling_t &tiling,
                          int tiles) {
    const int passes = tiling.blocks * tiling.parts;
    ring_t ring = {0, 1};
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const place_t place = place_of<S>(tiling, tile);
        const int column_tile = place.k * tiling.column_tiles + place.column_tile;
        for (int pass = 0; pass < passes; pass++) {
            mbarrier_wait(smem.u_empty(ring.slot), ring.parity);
            mbarrier_arrive_expect(smem.u_full(ring.slot), S::U_BYTES);
            bulk_load(smem.u(ring.slot), u + ((int64_t)column_tile * passes + pass) * S::U_BYTES,
                      S::U_BYTES, smem.u_full(ring.slot));
            ring_advance<S::U_SLOTS>(ring);
        }
    }
}

/* The state of one consumer warpgroup. `read` is ahead of `freed` by the wgmma still under way. */
template <typename T, typename S> struct consumer_t {
    float acc[S::COLUMNS / 2], t[S::RANK / 2];
    ring_t read = {0, 0}, freed = {0, 0}, u_read = {0, 0};
    const layout_t<S> &smem;
    const int warpgroup;
    const bool signals; /* one thread of the warpgroup frees slots */

    __device__ consumer_t(const layout_t<S> &layout, int index)
        : smem(layout), warpgroup(index), signals(threadIdx.x % WARPGROUP == 0) {}

    /* Starts T (+)= chunk of X V. */
    __device__ void start_chunk(bool first) {
        mbarrier_wait(smem.full(read.slot), read.parity);
        wgmma_fence();
        const uint64_t x = wgmma_tile<CHUNK_SWIZZLE>(smem.x(read.slot) +
                                                     warpgroup * WARPGROUP_ROWS * CHUNK_SWIZZLE);
        const uint64_t v = wgmma_tile<CHUNK_SWIZZLE>(smem.v(read.slot));
#pragma unroll
        for (int step = 0; step < CHUNK / 16; step++)
            wgmma<T>(t, wgmma_step(x, step), wgmma_step(v, step), !first || step > 0);
        ring_advance<S::SLOTS>(read);
    }

    /* Starts acc += K step of T U. */
    __device__ void start_step(const uint32_t *operand, uint32_t u, int step) {
        wgmma<T>(acc, operand + 4 * step, monarch_u_descriptor<S::COLUMNS, S::RANK>(u, step), 1);
    }

    __device__ void free_chunk() {
        if (signals) mbarrier_arrive(smem.empty(freed.slot));
        ring_advance<S::SLOTS>(freed);
    }

    __device__ uint32_t wait_u() {
        mbarrier_wait(smem.u_full(u_read.slot), u_read.parity);
        wgmma_fence();
        return smem.u(u_read.slot);
    }

    /* Frees the slot before the one that is read next. */
    __device__ void free_u() {
        if (signals) mbarrier_arrive(smem.u_empty(u_read.slot ^ 1));
    }

    /* The first product alone, for the first pass of a tile. */
    __device__ void first_product(uint32_t (&to)[S::RANK / 4], int chunks) {
        for (int c = 0; c < chunks; c++) {
            start_chunk(c == 0);
            wgmma_commit();
            if (c == 0) continue;
            wgmma_wait<1>();
            free_chunk();
        }
        wgmma_wait<0>();
        free_chunk();
        registers_fence(t);
        monarch_round<T>(to, t);
    }

    /*
     * The second product of this pass from `now`, and the first product of the next into `next`:
     * chunk 0 | K step 0, chunk 1 | K step 1, chunk 2 | ... | the last K steps; the bars close
     * groups. At most one group is under way while the next one is put together.
     */
    __device__ void both_products(uint32_t (&now)[S::RANK / 4], uint32_t (&next)[S::RANK / 4],
                                  int chunks, bool free_last_u) {
        start_chunk(true);
        wgmma_commit();
        wgmma_wait<1>(); /* the last K steps of the pass before */
        if (free_last_u) free_u();
        const uint32_t u = wait_u();
#pragma unroll
        for (int c = 1; c < S::STEPS; c++)
            if (c < chunks) {
                start_step(now, u, c - 1);
                start_chunk(false);
                wgmma_commit();
                wgmma_wait<1>();
                free_chunk();
            }
        for (int c = S::STEPS; c < chunks; c++) {
            start_chunk(false);
            wgmma_commit();
            wgmma_wait<1>();
            free_chunk();
        }
#pragma unroll
        for (int step = 0; step < S::STEPS; step++)
            if (step >= chunks - 1 || step == S::STEPS - 1) start_step(now, u, step);
        wgmma_commit();
        ring_advance<S::U_SLOTS>(u_read);
        wgmma_wait<S::TWO_OPERANDS ? 1 : 0>();
        free_chunk();
        registers_fence(t);
        monarch_round<T>(next, t);
    }

    /* The second product alone, for the last pass of a tile. */
    __device__ void second_product(uint32_t (&now)[S::RANK / 4], bool free_last_u) {
        wgmma_wait<0>();
        if (free_last_u) free_u();
        const uint32_t u = wait_u();
#pragma unroll
        for (int step = 0; step < S::STEPS; step++) start_step(now, u, step);
        wgmma_commit();
        ring_advance<S::U_SLOTS>(u_read);
        wgmma_wait<0>();
        free_u();
    }

    __device__ void tile(const monarch_tiling_t &tiling) {
        const int passes = tiling.blocks * tiling.parts;
        uint32_t a[S::RANK / 4];
#pragma unroll
        for (int i = 0; i < S::COLUMNS / 2; i++) acc[i] = 0;
        first_product(a, tiling.chunks);
        int pass = 1;
        if constexpr (S::TWO_OPERANDS) { /* a copy of b to a would serialise wgmma */
            uint32_t b[S::RANK / 4];
            for (; pass + 1 < passes; pass += 2) {
                both_products(a, b, tiling.chunks, pass > 1);
                both_products(b, a, tiling.chunks, true);
            }
            if (pass < passes) {
                both_products(a, b, tiling.chunks, pass > 1);
                second_product(b, true);
            } else {
                second_product(a, pass > 1);
            }
        } else {
            for (; pass < passes; pass++) both_products(a, a, tiling.chunks, pass > 1);
            second_product(a, pass > 1);
        }
        registers_fence(acc);
    }
};

template <typename T, typename S>
__global__ void __launch_bounds__(S::THREADS, 1)
    monarch_tiles(const __grid_constant__ CUtensorMap x_map, const uint8_t *v, const uint8_t *u,
                  T *y, const __grid_constant__ monarch_tiling_t tiling) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
    extern __shared__ uint8_t raw[];
    const uint32_t base = (smem_address(raw) + SMEM_ALIGN - 1) & ~(SMEM_ALIGN - 1u);
    const uint32_t u_slots = base + S::SLOTS * S::SLOT_BYTES;
    const layout_t<S> smem = {base, u_slots, u_slots + S::U_SLOTS * S::U_PITCH};
    const int tiles = tiling.blocks * tiling.column_tiles * tiling.token_tiles;
    dependents_launch();
    if (threadIdx.x == 0) {
        for (int i = 0; i < S::SLOTS; i++) {
            mbarrier_init(smem.full(i), 1);
            mbarrier_init(smem.empty(i), S::CONSUMERS);
        }
        for (int i = 0; i < S::U_SLOTS; i++) {
            mbarrier_init(smem.u_full(i), 1);
            mbarrier_init(smem.u_empty(i), S::CONSUMERS);
        }
        mbarrier_init_done();
    }
    __syncthreads();
    /* By a shuffle, so that the compiler sees warps that do not diverge. */
    const int warpgroup = __shfl_sync(~0u, (int)threadIdx.x / WARPGROUP, 0);
    if (warpgroup == S::CONSUMERS) {
        if constexpr (S::CONSUMERS == 2) registers_lower<40>();
        if (threadIdx.x == S::CONSUMERS * WARPGROUP)
            produce_xv(smem, &x_map, v, tiling, tiles);
        else if (threadIdx.x == S::CONSUMERS * WARPGROUP + 32)
            produce_u(smem, u, tiling, tiles);
    } else {
        if constexpr (S::CONSUMERS == 2) registers_raise<232>();
        consumer_t<T, S> consumer(smem, warpgroup);
        for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
            const place_t place = place_of<S>(tiling, tile);
            const int token = place.token + warpgroup * WARPGROUP_ROWS;
            const int column = place.column_tile * S::COLUMNS;
            consumer.tile(tiling);
            dependency_wait(); /* the kernel ahead may still use y */
            monarch_store(y + (int64_t)token * tiling.out_features + place.k * tiling.out_block +
                              column,
                          tiling.out_features, tiling.tokens - token, tiling.out_block - column,
                          consumer.acc);
        }
    }
#else
    __trap();
#endif
}

template <typename T, typename S>
static status_t launch_shape(const problem_t *p, void *const *tensors, stream_t stream) {
    static uint64_t opted_in;
    const monarch_tiling_t tiling = monarch_tiling(p, S::TOKENS, S::COLUMNS, S::RANK);
    CUtensorMap x_map;
    int sms = 0;
    status_t st = tensor_map_2d(&x_map, p->dtype, tensors[0], p->tokens, p->in_features,
                                p->in_features, S::TOKENS, CHUNK, CHUNK_SWIZZLE);
    if (st == STATUS_OK) st = device_sm_count(&sms);
    if (st == STATUS_OK) st = smem_opt_in((const void *)monarch_tiles<T, S>, S::SMEM, &opted_in);
    if (st != STATUS_OK) return st;
    const int64_t tiles = (int64_t)tiling.blocks * tiling.column_tiles * tiling.token_tiles;
    cudaLaunchAttribute overlap = {};
    overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
    overlap.val.programmaticStreamSerializationAllowed = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = (unsigned)ceil_div(tiles, ceil_div(tiles, sms));
    config.blockDim = S::THREADS;
    config.dynamicSmemBytes = S::SMEM;
    config.stream = (cudaStream_t)stream;
    config.attrs = &overlap;
    config.numAttrs = 1;
    CUDA(cudaLaunchKernelEx(&config, monarch_tiles<T, S>, x_map, (const uint8_t *)tensors[1],
                            (const uint8_t *)tensors[2], (T *)tensors[3], tiling));
    return STATUS_OK;
}

template <typename T, int TOKENS, int COLUMNS>
static status_t launch_rank(const problem_t *p, void *const *tensors, stream_t stream) {
    switch (monarch_pass_rank(p->rank / p->blocks)) {
    case 16:
        return launch_shape<T, tile_shape<TOKENS, COLUMNS, 16>>(p, tensors, stream);
    case 32:
        return launch_shape<T, tile_shape<TOKENS, COLUMNS, 32>>(p, tensors, stream);
    case 48:
        return launch_shape<T, tile_shape<TOKENS, COLUMNS, 48>>(p, tensors, stream);
    case 64:
        return launch_shape<T, tile_shape<TOKENS, COLUMNS, 64>>(p, tensors, stream);
    default:
        return launch_shape<T, tile_shape<TOKENS, COLUMNS, 96>>(p, tensors, stream);
    }
}

template <int TOKENS, int COLUMNS>
static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    (void)workspace;
    if (p->dtype == DTYPE_BF16)
        return launch_rank<__nv_bfloat16, TOKENS, COLUMNS>(p, tensors, stream);
    return launch_rank<__half, TOKENS, COLUMNS>(p, tensors, stream);
}

template <int COLUMNS>
static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
    const int rank = monarch_pass_rank(p->rank / p->blocks);
    if (tensor == 1) return monarch_pack_v(p, rank, (const uint16_t *)src, (uint16_t *)dst);
    return monarch_pack_u(p, COLUMNS, rank, (const uint16_t *)src, (uint16_t *)dst);
}

static bool supports(const problem_t *p, const device_info_t *device, char *why, size_t why_len) {
    return monarch_hopper_supports(p, device, why, why_len);
}

#define HOPPER_PLAN(TOKENS, COLUMNS)                                                               \
    extern const variant_t monarch_hopper_##TOKENS##x##COLUMNS = {                                 \
        .structure = "monarch",                                                                    \
        .name = "hopper_" #TOKENS "x" #COLUMNS,                                                    \
        .summary = "tiles of " #TOKENS " tokens x " #COLUMNS " columns, T in registers",           \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .supports = supports,                                                                      \
        .pack = pack<COLUMNS>,                                                                     \
        .launch = launch<TOKENS, COLUMNS>,                                                         \
    };

HOPPER_PLAN(128, 256)
HOPPER_PLAN(128, 128)
HOPPER_PLAN(64, 256)
HOPPER_PLAN(64, 128)
