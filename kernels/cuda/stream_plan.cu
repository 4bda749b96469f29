/* How stream_down and stream_up are cut into CTAs, and what these hold in shared memory. */
#include "kernels/cuda/stream_stages.h"

enum { PARTIALS_BYTES = 32 << 10 }; /* at most, of the parts into which warps share a tile */

/* Shared memory of a CTA where `ctas` of them fill an SM; each costs 1 KB more. */
static int64_t slot_bytes(const stream_device_t *device, int ctas) {
    return (device->smem_bytes + 1024) / ctas / 128 * 128 - 1024;
}

/*
 * How deep the rings can be beside `fixed` bytes where a warp has `groups` groups to read and an SM
 * `ctas` CTAs; 0 if that is too little to have enough under way.
 */
static int stream_depth(const stream_device_t *device, int ctas, int64_t fixed, int groups) {
    const int64_t most = groups < STREAM_DEPTH ? groups : STREAM_DEPTH;
    const int64_t depth = (slot_bytes(device, ctas) - fixed) / STREAM_GROUP_BYTES;
    if (depth >= most) return (int)most;
    return depth >= (ctas > 1 ? 3 : 2) ? (int)depth : 0;
}

/* The groups of a warp that has `segments` segments of `steps` fragments. */
static int stream_groups(int segments, int steps) {
    return segments * (int)ceil_div(steps, STREAM_GROUP);
}

/* The most segments that a warp has of `count` tiles. */
static int stream_segments(int count, int parts) {
    return (int)ceil_div((int64_t)count * parts, STREAM_WARPS);
}

/* Among how many warps to share a tile's depth, so that the busiest warp has the least to do. */
static int stream_parts(int count, int steps, int most) {
    int best = 1;
    int64_t best_cost = INT64_MAX;
    for (int parts = 1; parts <= most && parts <= STREAM_WARPS && parts <= steps; parts++) {
        if (ceil_div(steps, ceil_div(steps, parts)) != parts) continue; /* one would be empty */
        const int64_t cost = ceil_div((int64_t)count * parts, STREAM_WARPS) *
                             (ceil_div(steps, parts) + 1); /* 1: opening a segment */
        if (cost < best_cost) best = parts, best_cost = cost;
    }
    return best;
}

/* The most groups of `each` items that a share of at most `most` items touches. */
static int most_inputs(share_t share, int most, int each) {
    if (share.more == 0 && each % most == 0) return 1;
    if (share.more == 0 && most % each == 0) return most / each;
    return (most - 2) / each + 2;
}

enum { MOST_COUNT = 1 << 20 }; /* of what quotient() divides */

static bool down_fit_parts(stream_down_t *a, const stream_device_t *device, int ctas,
                           int64_t most_bytes) {
    const int columns = stream_columns(a->tokens), steps = tiles_of(a->width);
    const int tiles = (int)ceil_div(a->tiles, a->sets), share = a->blocks > 1 ? a->blocks : steps;
    const int most = (int)ceil_div(share, a->shares);
    const int blocks = a->blocks > 1 ? most : 1, deep = a->blocks > 1 ? steps : most;
    a->set_share = share_of(a->tiles, a->sets);
    a->unit_share = share_of(share, a->shares);
    const int inputs = a->blocks > 1 ? blocks : most_inputs(a->set_share, tiles, a->input_tiles);
    const int64_t results = (int64_t)tiles * blocks * columns * FRAGMENT_BYTES;
    a->parts = stream_parts(tiles * blocks, deep, (int)(most_bytes / results));
    a->pitch = operand_pitch(inputs * deep * FRAGMENT_SIDE);
    a->segments = stream_segments(tiles * blocks, a->parts);
    const int64_t operand = stream_head_bytes(a->segments) + (int64_t)a->tokens * a->pitch * 2;
    const int64_t partials = a->parts > 1 || a->scaled ? results * a->parts : 0;
    const int64_t scales =
        a->scaled ? (int64_t)tiles * blocks * a->out_blocks * FRAGMENT_SIDE * 2 : 0;
    const int groups = stream_groups(a->segments, (int)ceil_div(deep, a->parts));
    a->depth = stream_depth(device, ctas, operand + partials + scales, groups);
    a->partials_at = (int)(a->depth * STREAM_GROUP_BYTES + operand);
    a->s_at = (int)(a->partials_at + partials);
    a->smem_bytes = (int)(a->s_at + scales);
    return a->depth > 0 && a->pitch <= UINT16_MAX && a->tiles < MOST_COUNT;
}

static bool up_fit_parts(stream_up_t *a, const stream_device_t *device, int ctas,
                         int64_t most_bytes) {
    const int columns = stream_columns(a->tokens), steps = tiles_of(a->width);
    const int ranks = (int)ceil_div(a->rank_tiles, a->cluster);
    const int least = a->rank_tiles / a->cluster; /* ranks of the smallest share */
    const int tiles = (int)ceil_div(tiles_of(a->out_width), a->sets);
    a->owned = (int)ceil_div(tiles, a->cluster);
    const int64_t owned = (int64_t)a->owned * a->cluster;
    const int64_t results = (int64_t)ranks * columns * FRAGMENT_BYTES;
    int64_t operand = 0, partials = 0;
    a->set_share = share_of(tiles_of(a->out_width), a->sets);
    a->rank_share = share_of(a->rank_tiles, a->cluster);
    a->parts = 1;
    if (a->paired) {
        a->parts = stream_parts(ranks, steps, (int)(most_bytes / results));
        a->x_pitch =
            operand_pitch(most_inputs(a->rank_share, ranks, a->pair_tiles) * steps * FRAGMENT_SIDE);
        operand = (int64_t)a->tokens * a->x_pitch * 2;
        partials = a->parts > 1 ? results * a->parts : 0;
    }
    a->up_parts =
        stream_parts(tiles, least, (int)(most_bytes / (owned * columns * FRAGMENT_BYTES)));
    a->t_pitch = operand_pitch(ranks * FRAGMENT_SIDE);
    const int up_segments = stream_segments(tiles, a->up_parts);
    int groups = stream_groups(up_segments, (int)ceil_div(ranks, a->up_parts));
    a->segments = up_segments;
    if (a->paired) {
        const int segments = stream_segments(ranks, a->parts);
        a->segments += segments;
        groups += stream_groups(segments, (int)ceil_div(steps, a->parts));
    }
    operand += stream_head_bytes(a->segments);
    const int64_t t = (int64_t)a->tokens * a->t_pitch * 2;
    const int64_t received =
        a->cluster * a->up_parts > 1 ? owned * a->up_parts * columns * FRAGMENT_BYTES : 0;
    a->depth = stream_depth(device, ctas, operand + partials + t + received, groups);
    a->t_at = (int)(a->depth * STREAM_GROUP_BYTES + operand);
    a->partials_at = (int)(a->t_at + t);
    a->received_at = (int)(a->partials_at + partials);
    a->smem_bytes = (int)(a->received_at + received);
    return a->depth > 0 && least > 0 && a->t_pitch <= UINT16_MAX && a->x_pitch <= UINT16_MAX;
}

/*
 * Completes the last lines of the struct, so that `ctas` CTAs fit on an SM. False if shared memory
 * cannot hold what is needed, even where warps do not share tiles.
 */
static bool down_fit(stream_down_t *a, const stream_device_t *device, int ctas) {
    return down_fit_parts(a, device, ctas, PARTIALS_BYTES) || down_fit_parts(a, device, ctas, 0);
}

static bool up_fit(stream_up_t *a, const stream_device_t *device, int ctas) {
    return up_fit_parts(a, device, ctas, PARTIALS_BYTES) || up_fit_parts(a, device, ctas, 0);
}

/*
 * Cuts are compared by the bytes that pass through the busiest SM (T that is read as the sum of
 * shares costs more), and what costs as much time as so many bytes: a cluster's exchange, more
 * where clusters are too large to fill the GPU, and fewer CTAs an SM, so that those of the next
 * kernels cannot begin early.
 */
enum {
    MOST_TILES = 32,
    MOST_CLUSTER = 8,
    PAIR_COST = 48 << 10,
    CLUSTER_COST = 96 << 10,
    CHAIN_CTAS = 2, /* an SM, where these take all places; fewer where so many do not fit */
    SCALED_CTAS = 3,
    FEW_BYTES = 128 << 10 /* that a CTA reads of a small layer: see pairs_busy() */
};
static const int64_t SLOTS_COST[] = {0, 64 << 10, 12 << 10, 0};

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
    return waves * ranks * (tiles * FRAGMENT_BYTES + (3 * a->shares - 1) / 2 * a->tokens * 32) +
           (a->cluster > 2    ? CLUSTER_COST
            : a->cluster == 2 ? PAIR_COST
                              : 0);
}

static bool down_choose(stream_down_t *best, int shares, int ctas, const stream_device_t *device,
                        int64_t *cost) {
    const stream_down_t given = *best;
    *cost = INT64_MAX;
    for (int tiles = 1; tiles <= MOST_TILES && tiles <= given.tiles; tiles++) {
        stream_down_t a = given;
        a.shares = shares;
        a.sets = (int)ceil_div(a.tiles, tiles);
        const int64_t now = down_cost(&a, device);
        if (now < *cost && down_fit(&a, device, ctas)) *best = a, *cost = now;
    }
    return *cost < INT64_MAX;
}

static bool up_choose(stream_up_t *best, int shares, int ctas, const stream_device_t *device,
                      int64_t *cost) {
    const stream_up_t given = *best;
    const int tiles = tiles_of(given.out_width);
    *cost = INT64_MAX;
    const int most = device->capability >= HOPPER_CAPABILITY ? MOST_CLUSTER : 1;
    for (int cluster = 1; cluster <= most; cluster *= 2) {
        stream_up_t a = given;
        a.shares = shares, a.cluster = cluster;
        int sets = device->sms / (a.out_blocks * cluster);
        sets = sets < 1 ? 1 : sets > tiles ? tiles : sets;
        a.sets = (int)ceil_div(tiles, ceil_div(tiles, sets));
        const int64_t now = up_cost(&a, device);
        if (now < *cost && up_fit(&a, device, ctas)) *best = a, *cost = now;
    }
    return *cost < INT64_MAX;
}

/* Shares for which both kernels of a chain together cost least, with `ctas` CTAs an SM. */
static int64_t two_fit(stream_down_t *down, stream_up_t *up, const stream_device_t *places,
                       int ctas) {
    const stream_down_t down_given = *down;
    const stream_up_t up_given = *up;
    const int units = down->blocks > 1 ? down->blocks : tiles_of(down->width);
    int64_t best = INT64_MAX;
    for (int shares = 1; shares <= MOST_SHARES && shares <= units; shares++) {
        stream_down_t a = down_given;
        stream_up_t b = up_given;
        int64_t down_bytes, up_bytes;
        if (!down_choose(&a, shares, ctas, places, &down_bytes)) continue;
        if (!up_choose(&b, shares, ctas, places, &up_bytes)) continue;
        if (down_bytes + up_bytes >= best) continue;
        best = down_bytes + up_bytes;
        *down = a, *up = b;
    }
    return best;
}

/* Whether the rings of the busiest CTAs hold all that these read. */
static bool rings_hold(const stream_down_t *down, const stream_up_t *up) {
    const int steps = tiles_of(down->width), units = down->blocks > 1 ? down->blocks : steps;
    const int64_t deep = ceil_div(units, down->shares) * (down->blocks > 1 ? steps : 1);
    const int64_t up_tiles = ceil_div(tiles_of(up->out_width), up->sets);
    return ceil_div(down->tiles, down->sets) * deep * FRAGMENT_BYTES <=
               (int64_t)down->depth * STREAM_GROUP_BYTES &&
           up_tiles * ceil_div(up->rank_tiles, up->cluster) * FRAGMENT_BYTES <=
               (int64_t)up->depth * STREAM_GROUP_BYTES;
}

/* One CTA of each kernel on every SM, as long as such kernels run behind each other. */
static bool one_each_choose(stream_chain_t *chain, const stream_device_t *device) {
    int64_t best = INT64_MAX;
    const stream_chain_t given = *chain;
    for (int ctas = stream_ctas(stream_columns(chain->down.tokens)); ctas > 0; ctas--) {
        stream_chain_t now = given;
        const int64_t cost = two_fit(&now.down, &now.up, device, ctas);
        if (cost == INT64_MAX || cost + SLOTS_COST[ctas] >= best) continue;
        best = cost + SLOTS_COST[ctas];
        /* The same for both, so that no SM has place for one CTA more than the others. */
        now.down.smem_bytes = now.up.smem_bytes = (int)slot_bytes(device, ctas);
        *chain = now;
    }
    return best < INT64_MAX;
}

/* All places of the GPU taken by each: as many CTAs on every SM, whatever ran before. */
static bool all_places_choose(stream_chain_t *chain, const stream_device_t *device) {
    for (int ctas = chain->down.scaled ? SCALED_CTAS : CHAIN_CTAS; ctas > 0; ctas--) {
        stream_device_t places = *device;
        places.sms = device->sms * ctas / chain->layers;
        if (two_fit(&chain->down, &chain->up, &places, ctas) == INT64_MAX) continue;
        chain->down.smem_bytes = chain->up.smem_bytes = (int)slot_bytes(device, ctas);
        return true;
    }
    return false;
}

/*
 * A chain of two kernels. Where rings hold all weights it does not matter much how CTAs come to lie
 * on SMs; else it does, and at more than 8 tokens there is not the shared memory for many CTAs.
 */
static bool two_choose(stream_chain_t *chain, const stream_device_t *device) {
    stream_chain_t other = *chain;
    if (!one_each_choose(chain, device)) return false;
    if (stream_columns(chain->down.tokens) == 1 && !rings_hold(&chain->down, &chain->up) &&
        all_places_choose(&other, device))
        *chain = other;
    return true;
}

/* An `up` without a kernel of its own ahead: CTAs an SM for which it costs least. */
static bool alone_choose(stream_up_t *up, const stream_device_t *device) {
    const stream_up_t given = *up;
    int64_t best = INT64_MAX;
    for (int ctas = stream_ctas(stream_columns(up->tokens)); ctas > 0; ctas--) {
        stream_up_t a = given;
        int64_t cost;
        if (!up_choose(&a, 1, ctas, device, &cost) || cost + SLOTS_COST[ctas] >= best) continue;
        best = cost + SLOTS_COST[ctas];
        a.smem_bytes = (int)slot_bytes(device, ctas);
        *up = a;
    }
    return best < INT64_MAX;
}

/* The cluster that leaves the least to the busiest SM, two CTAs an SM where they fit. */
static bool pairs_choose(stream_up_t *up, const stream_device_t *device) {
    int64_t best = INT64_MAX;
    stream_up_t a = *up;
    a.shares = 1, a.sets = 1;
    for (a.cluster = 1; a.cluster <= MOST_CLUSTER; a.cluster++) {
        const int64_t waves = ceil_div((int64_t)a.out_blocks * a.cluster, device->sms);
        const int64_t cost = waves * ceil_div(a.rank_tiles, a.cluster);
        if (cost >= best || (!up_fit(&a, device, 2) && !up_fit(&a, device, 1))) continue;
        *up = a, best = cost;
    }
    return best < INT64_MAX;
}

/* Whether clusters keep most SMs busy, or there is too little to read for that to matter. */
static bool pairs_busy(const stream_up_t *a, const stream_device_t *device) {
    const int64_t ctas = (int64_t)a->out_blocks * a->cluster;
    return 2 * ctas >= device->sms ||
           2 * (a->in_features + a->out_features) * a->rank_tiles * FRAGMENT_SIDE / ctas <=
               FEW_BYTES;
}

bool stream_chain_choose(stream_chain_t *chain, const stream_device_t *device, char *why,
                         size_t why_len) {
    stream_up_t *const up = &chain->up;
    if (up->paired && device->capability < HOPPER_CAPABILITY) {
        snprintf(why, why_len, "clusters need compute capability 9.0");
        return false;
    }
    if (!(up->paired  ? pairs_choose(up, device)
          : up->alone ? alone_choose(up, device)
                      : two_choose(chain, device))) {
        snprintf(why, why_len,
                 "%d tokens beside the weights' rings do not fit into %lld bytes of shared memory",
                 up->tokens, (long long)device->smem_bytes);
        return false;
    }
    if (!up->paired || pairs_busy(up, device)) return true;
    snprintf(why, why_len, "%d blocks keep only %d SMs busy", up->out_blocks,
             up->out_blocks * up->cluster);
    return false;
}

size_t stream_chain_bytes(const stream_chain_t *chain) {
    const stream_down_t *const a = &chain->down;
    if (chain->up.paired || chain->up.alone) return 0;
    return (size_t)a->shares * (size_t)a->out_blocks * (size_t)a->tokens * (size_t)a->rank_tiles *
           FRAGMENT_SIDE * 2;
}

bool stream_key_same(stream_key_t *last, const problem_t *problem, int layers,
                     const stream_device_t *device) {
    const problem_t *const a = &last->problem;
    const bool same =
        a->dtype == problem->dtype && a->tokens == problem->tokens &&
        a->in_features == problem->in_features && a->out_features == problem->out_features &&
        a->blocks == problem->blocks && a->rank == problem->rank && last->layers == layers &&
        last->device.sms == device->sms && last->device.capability == device->capability &&
        last->device.smem_bytes == device->smem_bytes;
    if (!same) *last = {*problem, layers, *device};
    return same;
}
