#include "harness/pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/facts.h"
#include "results/throttle.h"

static const char ALL[] = ":all";

/* ---- all devices as one ---- */

static void join_fact(void *ctx, const char *key, const char *value) {
    facts_join(ctx, key, value);
}

/* What differs between the devices stands side by side, in their order. */
static void all_facts(device_t *device, fact_t fact, void *ctx) {
    pool_t *pool = (pool_t *)device;
    joined_facts_t facts = {0};
    char count[16];
    snprintf(count, sizeof count, "%d", pool->len);
    fact(ctx, "devices", count);
    fact(ctx, "pin_point", pool->pin_point ? "yes" : "no");
    for (int i = 0; i < pool->len; i++) {
        device_t *one = &pool->workers[i].device;
        one->ops->facts(one, join_fact, &facts);
    }
    for (int i = 0; i < facts.len; i++) fact(ctx, facts.items[i].key, facts.items[i].value);
    facts_free(&facts);
}

/* Of the first device on which something slows it. */
static status_t all_state(device_t *device, device_state_t *out) {
    pool_t *pool = (pool_t *)device;
    for (int i = 0; i < pool->len; i++) {
        device_t *one = &pool->workers[i].device;
        const status_t st = one->ops->state(one, out);
        if (st != STATUS_OK || throttle_any(out->throttle)) return st;
    }
    return STATUS_OK;
}

typedef struct {
    const char *device;
    ceiling_t *items; /* texts are their own */
    int len;
} kept_t;

/* Kept until all are there, so that those of a device stand together. */
static status_t keep_ceiling(void *ctx, const ceiling_t *ceiling) {
    kept_t *kept = ctx;
    ceiling_t *grown = realloc(kept->items, (size_t)(kept->len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for ceilings");
    kept->items = grown;
    ceiling_t *copy = &grown[kept->len++];
    *copy = *ceiling;
    copy->device = kept->device;
    copy->dtype = strdup(ceiling->dtype);
    copy->method = strdup(ceiling->method);
    copy->unit = strdup(ceiling->unit);
    return copy->dtype && copy->method && copy->unit ? STATUS_OK
                                                     : fail(STATUS_OOM, "out of host memory");
}

static status_t emit_kept(const kept_t *kept, ceiling_emit_t emit, void *ctx) {
    status_t st = STATUS_OK;
    for (int i = 0; i < kept->len && st == STATUS_OK; i++) st = emit(ctx, &kept->items[i]);
    return st;
}

static void free_kept(kept_t *kept) {
    for (int i = 0; i < kept->len; i++) {
        free((char *)kept->items[i].dtype);
        free((char *)kept->items[i].method);
        free((char *)kept->items[i].unit);
    }
    free(kept->items);
}

/* At the same time on all of them. */
static status_t all_ceilings(device_t *device, ceiling_emit_t emit, void *ctx) {
    pool_t *pool = (pool_t *)device;
    kept_t kept[POOL_MAX] = {0};
    status_t st = STATUS_OK;
    for (int i = 0; i < pool->len; i++) {
        kept[i].device = pool->workers[i].device.id;
        TRY(worker_ready(&pool->workers[i]));
    }
    for (int i = 0; i < pool->len; i++)
        worker_begin_ceilings(&pool->workers[i], keep_ceiling, &kept[i]);
    for (int i = 0, which; i < pool->len; i++) TRY(worker_await(pool->workers, pool->len, &which));
    for (int i = 0; i < pool->len; i++) TRY(emit_kept(&kept[i], emit, ctx));
cleanup:
    for (int i = 0; i < pool->len; i++) free_kept(&kept[i]);
    return st;
}

/* ---- life ---- */

bool pool_asked(const char *spec) {
    const size_t len = spec ? strlen(spec) : 0, tail = sizeof ALL - 1;
    return len > tail && !strcmp(spec + len - tail, ALL);
}

/* "cuda:1" of "cuda:all" */
static void name_one(const char *spec, int index, char out[SPEC_LEN]) {
    const int len = (int)(strlen(spec) - strlen(ALL));
    snprintf(out, SPEC_LEN, "%.*s:%d", len < 8 ? len : 8, spec, index);
}

const char *pool_first(const char *spec, char buffer[SPEC_LEN]) {
    if (!pool_asked(spec)) return spec;
    name_one(spec, 0, buffer);
    return buffer;
}

static status_t start_others(pool_t *pool, const char *spec, double budget_s) {
    status_t st = STATUS_OK;
    for (int i = 1; i < pool->len; i++) {
        name_one(spec, i, pool->specs[i]);
        pool->workers[i] = (worker_t){.spec = pool->specs[i], .budget_s = budget_s};
        st = worker_begin_start(&pool->workers[i]);
        if (st != STATUS_OK) return st;
    }
    for (int i = 1, which; i < pool->len; i++) {
        st = worker_await(pool->workers, pool->len, &which);
        if (st != STATUS_OK) return st;
    }
    for (int i = 1; i < pool->len; i++) {
        const device_t *first = &pool->workers[0].device, *other = &pool->workers[i].device;
        if (strcmp(first->name, other->name) != 0)
            return fail(STATUS_ENVIRONMENT,
                        "%s is a %s and %s is a %s: sweep each model into its own -o", first->id,
                        first->name, other->id, other->name);
    }
    return STATUS_OK;
}

static status_t start_all(const char *spec, double budget_s, pool_t *pool) {
    static device_ops_t together;
    name_one(spec, 0, pool->specs[0]);
    worker_t first;
    status_t st = worker_start(pool->specs[0], budget_s, &first);
    const int count = st == STATUS_OK && first.siblings <= POOL_MAX ? first.siblings : 1;
    if (st == STATUS_OK && count < first.siblings)
        st = fail(STATUS_ENVIRONMENT, "%d devices are more than %d", first.siblings, POOL_MAX);
    pool->workers = calloc((size_t)count, sizeof *pool->workers);
    if (st != STATUS_OK || !pool->workers) {
        worker_stop(&first);
        return st == STATUS_OK ? fail(STATUS_OOM, "out of host memory for workers") : st;
    }
    pool->workers[0] = first;
    pool->len = count;
    st = start_others(pool, spec, budget_s);
    together = (device_ops_t){.kind = first.device.info.kind,
                              .fixed_sequence = first.device.ops->fixed_sequence,
                              .facts = all_facts,
                              .state = all_state,
                              .ceilings = all_ceilings};
    pool->device = &pool->together;
    pool->together = first.device;
    pool->together.ops = &together;
    snprintf(pool->together.id, sizeof pool->together.id, "%.31s", spec);
    return st;
}

static status_t start_one(const char *spec, double budget_s, pool_t *pool) {
    pool->workers = calloc(1, sizeof *pool->workers);
    if (!pool->workers) return fail(STATUS_OOM, "out of host memory for a worker");
    pool->len = 1;
    pool->device = &pool->workers[0].device;
    return worker_start(spec, budget_s, &pool->workers[0]);
}

status_t pool_start(const char *spec, double budget_s, bool pin_point, pool_t *pool) {
    *pool = (pool_t){.pin_point = pin_point};
    const status_t st =
        pool_asked(spec) ? start_all(spec, budget_s, pool) : start_one(spec, budget_s, pool);
    if (st != STATUS_OK) pool_stop(pool);
    return st;
}

void pool_stop(pool_t *pool) {
    for (int i = 0; i < pool->len; i++) worker_stop(&pool->workers[i]);
    free(pool->workers);
    *pool = (pool_t){0};
}

int pool_find(const pool_t *pool, const char *device_id) {
    for (int i = 0; i < pool->len; i++)
        if (!strcmp(pool->workers[i].device.id, device_id)) return i;
    return -1;
}
