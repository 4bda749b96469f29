/*
 * The Hopper plans of blast/fused and blast/fused_fp8: the mix kernel and the last product, one
 * behind the other, for chunks of tokens whose Z stays in the L2 cache; in fp8 behind a kernel that
 * quantises X. Plans differ in tiles; which suit a problem is estimated from waves of tiles and
 * bytes a tile, for a chip of 132 SMs.
 */
#include "kernels/blast/hopper.h"

#include "kernels/blast/hopper_fp8.h"
#include "kernels/blast/hopper_stages.h"
#include "kernels/cuda/launch.cuh"

static constexpr hopper_tiles_t TILES[] = {{128, 256}, {128, 192}, {96, 256}, {96, 232},
                                           {96, 128},  {64, 256},  {32, 128}, {32, 64}};
enum { SMS = 132, PAIRS = SMS / 2, Z_BYTES_MOST = 56 << 20 };

/* Sizes of a problem in tiles of a plan. */
typedef struct {
    int token_tiles, rank_tiles, column_tiles, strips;
    int64_t z_bytes;                /* of a token tile */
    double mix_clocks, last_clocks; /* of a tile */
} sizes_t;

/* SM clocks of a tile's product: what L2 delivers, or the tensor cores compute. The figures here
 * and below are fits to measurements (NOTES.md). */
static double product_clocks(double rows, double columns, double depth, int bytes) {
    static const double L2_BYTES_A_CLOCK = 45, FMA_BYTES_A_CLOCK = 3800;
    const double loads = (rows + columns) * depth * bytes / L2_BYTES_A_CLOCK;
    const double product = rows * columns * depth * bytes / FMA_BYTES_A_CLOCK;
    return loads > product ? loads : product;
}

/* bytes: of an element of X, V, Z and U. */
static sizes_t sizes_of(const problem_t *p, hopper_tiles_t tiles, int bytes) {
    const int64_t b = p->blocks, in_block = p->in_features / b, out_block = p->out_features / b;
    const int64_t rank_tiles = ceil_div(p->rank, tiles.ranks);
    sizes_t s = {.token_tiles = (int)ceil_div(p->tokens, TILE_TOKENS),
                 .rank_tiles = (int)rank_tiles,
                 .column_tiles = (int)ceil_div(out_block, tiles.columns),
                 .strips = (int)(rank_tiles * tiles.ranks * bytes / 16)};
    s.z_bytes = b * s.strips * STRIP_BYTES;
    const int64_t inputs = ceil_div(b, 2);
    static const double SEND_CLOCKS = 5, MIX_CLOCKS = 4, PAIR_CLOCKS = 2500; /* of a rank */
    static const double STORED_BYTES_A_CLOCK = 40;
    const double tokens = TILE_TOKENS, ranks = tiles.ranks, columns = tiles.columns;
    s.mix_clocks =
        product_clocks(tokens, ranks, (double)(inputs * round_up(in_block, 128 / bytes)), bytes) +
        SEND_CLOCKS * (double)inputs * ranks + MIX_CLOCKS * (double)b * ranks + PAIR_CLOCKS;
    s.last_clocks = product_clocks(tokens, columns, (double)round_up(p->rank, 32 / bytes), bytes) +
                    tokens * columns * 2 / STORED_BYTES_A_CLOCK;
    return s;
}

static double chunk_clocks(const problem_t *p, const sizes_t *s, int64_t token_tiles) {
    static const double LAUNCH_CLOCKS = 14000; /* of both kernels: filling, draining the SMs */
    return (double)ceil_div(token_tiles * s->rank_tiles, PAIRS) * s->mix_clocks +
           (double)ceil_div(token_tiles * s->column_tiles * p->blocks, SMS) * s->last_clocks +
           LAUNCH_CLOCKS;
}

/* Token tiles of a chunk: those that take the least time, as far as Z stays in L2. */
static int chunk_tiles(const problem_t *p, const sizes_t *s, double *clocks) {
    int best = 0;
    for (int64_t tiles = 1; tiles <= s->token_tiles; tiles++) {
        if (tiles > 1 && tiles * s->z_bytes > Z_BYTES_MOST && tiles < s->token_tiles) break;
        const int64_t rest = s->token_tiles % tiles;
        double sum = (double)(s->token_tiles / tiles) * chunk_clocks(p, s, tiles);
        if (rest) sum += chunk_clocks(p, s, rest);
        if (best && sum >= *clocks) continue;
        best = (int)tiles;
        *clocks = sum;
    }
    return best;
}

static bool supports_tiles(const problem_t *p, const device_info_t *device, hopper_tiles_t tiles,
                           int bytes, char *why, size_t why_len) {
    static const double SLACK = 1.2; /* of the estimate */
    if (!supports_hopper(device, why, why_len)) return false;
    const int64_t in_block = p->in_features / p->blocks, out_block = p->out_features / p->blocks;
    const int most = tiles.ranks > 64 ? 16 : 32;
    if (p->blocks < 2 || p->blocks > most) {
        snprintf(why, why_len, "takes 2 to %d blocks", most);
    } else if (in_block % 8 || out_block % 8) { /* where boxes of X and vectors of Y may start */
        snprintf(why, why_len, "in or out features of a block are not a multiple of 8");
    } else if (bytes == 1 && (in_block % 16 || p->in_features > FP8_ROW_MOST)) {
        snprintf(why, why_len, "fp8 takes input blocks of a multiple of 16, %d features at most",
                 FP8_ROW_MOST);
    } else if (p->tokens < 17) {
        snprintf(why, why_len, "tiles are %d tokens, too many for %lld", TILE_TOKENS,
                 (long long)p->tokens);
    } else if (p->tokens > INT32_MAX / 2 || p->in_features > INT32_MAX / 2 ||
               p->out_features > INT32_MAX / 2 || p->rank > INT32_MAX / 2) {
        snprintf(why, why_len, "a dimension is beyond 2^30");
    } else {
        double clocks = 0;
        const sizes_t sizes = sizes_of(p, tiles, bytes);
        chunk_tiles(p, &sizes, &clocks);
        for (size_t i = 0; i < sizeof TILES / sizeof *TILES; i++) {
            double other = 0;
            const sizes_t others = sizes_of(p, TILES[i], bytes);
            if (p->blocks > 16 && TILES[i].ranks > 64) continue;
            chunk_tiles(p, &others, &other);
            if (clocks <= SLACK * other) continue;
            snprintf(why, why_len, "tiles of %d ranks and %d columns fit better", TILES[i].ranks,
                     TILES[i].columns);
            return false;
        }
        return true;
    }
    return false;
}

/* x: X in fp8, or NULL. */
static status_t launch_tiles(const problem_t *p, hopper_tiles_t tiles, const fp8_rows_t *x,
                             void *const *tensors, void *z, stream_t stream) {
    double clocks = 0;
    const sizes_t sizes = sizes_of(p, tiles, x ? 1 : 2);
    const int step = chunk_tiles(p, &sizes, &clocks);
    status_t st = STATUS_OK;
    for (int first = 0; first < sizes.token_tiles && st == STATUS_OK; first += step) {
        const int left = sizes.token_tiles - first;
        const hopper_chunk_t chunk = {first, left < step ? left : step, sizes.strips};
        st = x ? hopper_mix_fp8(p, tiles, chunk, x, tensors, z, stream)
               : hopper_mix(p, tiles, chunk, tensors, z, stream);
        if (st != STATUS_OK) break;
        st = x ? hopper_last_fp8(p, tiles, chunk, x, tensors, z, stream)
               : hopper_last(p, tiles, chunk, tensors, z, stream);
    }
    return st;
}

/* BYTES: 2, or 1 for fp8. Workspace: Z | X in fp8. */
template <int PLAN, int BYTES> struct chain_plan {
    static bool supports(const problem_t *p, const device_info_t *device, char *why,
                         size_t why_len) {
        return supports_tiles(p, device, TILES[PLAN], BYTES, why, why_len);
    }

    static int intermediates(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
        bytes[0] = (double)p->tokens * (double)p->rank * (double)p->blocks * BYTES;
        bytes[1] = (double)p->tokens * (double)p->in_features;
        return BYTES == 1 ? 2 : 1;
    }

    static int64_t pack(const problem_t *p, int tensor, const void *src, void *dst) {
        const auto packer = BYTES == 1    ? tensor == 1   ? hopper_fp8_pack_v
                                            : tensor == 2 ? hopper_fp8_pack_s
                                                          : hopper_fp8_pack_u
                            : tensor == 1 ? hopper_pack_v
                            : tensor == 2 ? hopper_pack_s
                                          : hopper_pack_u;
        return packer(p, TILES[PLAN], (const uint16_t *)src, (uint16_t *)dst);
    }

    static size_t z_bytes(const problem_t *p) {
        double clocks = 0;
        const sizes_t sizes = sizes_of(p, TILES[PLAN], BYTES);
        return (size_t)chunk_tiles(p, &sizes, &clocks) * (size_t)sizes.z_bytes;
    }

    static size_t workspace(const problem_t *p, const device_info_t *) {
        return z_bytes(p) + (BYTES == 1 ? fp8_rows_bytes(p) : 0);
    }

    static status_t launch(const problem_t *p, void *const *tensors, void *workspace,
                           stream_t stream) {
        if (BYTES == 2) return launch_tiles(p, TILES[PLAN], NULL, tensors, workspace, stream);
        const fp8_rows_t x = fp8_rows_at(p, (char *)workspace + z_bytes(p));
        const status_t st = fp8_quantise_rows_by_norm(p, tensors[0], x, stream);
        return st == STATUS_OK ? launch_tiles(p, TILES[PLAN], &x, tensors, workspace, stream) : st;
    }
};

#define HOPPER_PLAN(KIND, NAME, PLAN, BYTES, SUMMARY)                                              \
    extern const variant_t blast_##KIND##_##NAME = {                                               \
        .structure = "blast",                                                                      \
        .name = #KIND "_" #NAME,                                                                   \
        .summary = SUMMARY,                                                                        \
        .device = DEVICE_CUDA,                                                                     \
        .baseline = false,                                                                         \
        .output_order = ORDER_KJ,                                                                  \
        .dtypes = DTYPE_BIT(DTYPE_BF16) | DTYPE_BIT(DTYPE_FP16),                                   \
        .tolerance = BYTES == 1 ? BLAST_FP8_TOLERANCE : 0,                                         \
        .supports = chain_plan<PLAN, BYTES>::supports,                                             \
        .intermediates = chain_plan<PLAN, BYTES>::intermediates,                                   \
        .pack = chain_plan<PLAN, BYTES>::pack,                                                     \
        .workspace = chain_plan<PLAN, BYTES>::workspace,                                           \
        .launch = chain_plan<PLAN, BYTES>::launch,                                                 \
    };
#define HOPPER_PLANS(NAME, PLAN, SUMMARY)                                                          \
    HOPPER_PLAN(hopper, NAME, PLAN, 2, SUMMARY)                                                    \
    HOPPER_PLAN(fp8, NAME, PLAN, 1, SUMMARY)

HOPPER_PLANS(128x256, 0, "tiles of 128 ranks (stages 1, 2) and 256 columns (3)")
HOPPER_PLANS(128x192, 1, "tiles of 128 ranks and 192 columns")
HOPPER_PLANS(96x256, 2, "tiles of 96 ranks and 256 columns")
HOPPER_PLANS(96x232, 3, "tiles of 96 ranks and 232 columns")
HOPPER_PLANS(96x128, 4, "tiles of 96 ranks and 128 columns")
HOPPER_PLANS(64x256, 5, "tiles of 64 ranks and 256 columns")
HOPPER_PLANS(32x128, 6, "tiles of 32 ranks and 128 columns")
HOPPER_PLANS(32x64, 7, "tiles of 32 ranks and 64 columns")
