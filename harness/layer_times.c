#include "harness/layer_times.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/point.h"
#include "harness/registry.h"

void layer_times_open(layer_times_t *t, device_t *device, double budget_s) {
    *t = (layer_times_t){.device = device, .budget_s = budget_s};
    tuning_open(&t->tuning, device, tuning_build());
}

void layer_times_close(layer_times_t *t) {
    tuning_close(&t->tuning);
    free(t->items);
    *t = (layer_times_t){0};
}

status_t layer_times_add(layer_times_t *t, const void *items, int len) {
    if (len == 0) return STATUS_OK;
    layer_time_t *grown = realloc(t->items, (size_t)(t->len + len) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for the times of layers");
    memcpy(grown + t->len, items, (size_t)len * sizeof *grown);
    t->items = grown;
    t->len += len;
    return STATUS_OK;
}

/* Alone, a layer has buffers of its own: no slices of wider ones. */
static problem_t contiguous(const problem_t *problem) {
    problem_t p = *problem;
    p.q_stride = p.kv_stride = p.kv_batch_stride = 0;
    return p;
}

static status_t measure_plan(layer_times_t *t, case_t *c, layer_time_t *item) {
    const double rotate = point_rotate_bytes(&t->device->info, CACHE_ROTATE);
    binding_t binding = {0};
    timing_t timing = {0};
    check_t check = {0};
    status_t st = STATUS_OK;
    if (!item->variant->baseline) TRY(case_baseline(c, t->device));
    TRY(binding_open(c, item->plan, t->device, rotate, &binding));
    TRY(binding_check(&binding, &check));
    item->ok = check.ok;
    snprintf(item->reason, sizeof item->reason, "%s", check.reason);
    if (!check.ok) goto cleanup;
    TRY(timing_run(t->device, binding_launch, &binding, binding.sets, CACHE_ROTATE, t->budget_s,
                   &timing));
    item->time_us = timing.summary.median;
cleanup:
    timing_free(&timing);
    binding_close(&binding);
    return st;
}

static status_t measure(layer_times_t *t, const structure_t *structure, layer_time_t *item) {
    const variant_t *plans[MAX_PLANS];
    const problem_t alone = contiguous(&item->problem);
    case_t c = {0};
    double tuning_s;
    status_t st = STATUS_OK;
    const int count = variant_plans(item->variant, &item->problem, &t->device->info, plans,
                                    item->reason, sizeof item->reason);
    if (count == 0) return STATUS_OK;
    item->plan = plans[0];
    item->ok = true;
    TRY(case_open(structure, &alone, &c));
    TRY(tuning_choose(&t->tuning, &c, item->variant, t->device, CACHE_ROTATE, plans, count,
                      &item->plan, &tuning_s));
    st = measure_plan(t, &c, item);
cleanup:
    case_close(&c);
    return st;
}

status_t layer_times_get(layer_times_t *t, const structure_t *structure, const problem_t *problem,
                         const variant_t *variant, const layer_time_t **out) {
    for (int i = 0; i < t->len; i++) {
        if (t->items[i].variant != variant || problem_compare(&t->items[i].problem, problem) != 0)
            continue;
        *out = &t->items[i];
        return STATUS_OK;
    }
    layer_time_t *grown = realloc(t->items, ((size_t)t->len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for the times of layers");
    t->items = grown;
    layer_time_t *item = &t->items[t->len];
    *item = (layer_time_t){.variant = variant, .problem = *problem, .time_us = NAN};
    status_t st = measure(t, structure, item);
    if (interrupted()) return fail(STATUS_INTERRUPTED, "interrupted");
    if (st == STATUS_UNSUPPORTED) item->ok = false;
    if (st == STATUS_OOM || st == STATUS_UNSUPPORTED) {
        snprintf(item->reason, sizeof item->reason, "%s", last_error());
        st = STATUS_OK;
    }
    t->len += st == STATUS_OK;
    *out = item;
    return st;
}

status_t layer_times_best(layer_times_t *t, const structure_t *structure, const problem_t *problem,
                          bool in_order, const layer_time_t **out) {
    int best = -1;
    double best_us = NAN;
    char reason[WHY_LEN] = "the device has no variant of it";
    for (int i = 0; i < variant_count(); i++) {
        const variant_t *v = variant_at(i);
        if (v->device != t->device->info.kind || strcmp(v->structure, structure->name) != 0)
            continue;
        if (in_order && v->output_order != ORDER_KJ) continue;
        if (v->tolerance > 0) continue; /* fewer bits than the dtype has */
        const layer_time_t *item = NULL;
        const status_t st = layer_times_get(t, structure, problem, v, &item);
        if (st != STATUS_OK || !item) return st;
        if (!item->ok) snprintf(reason, sizeof reason, "%s", item->reason);
        if (!item->ok || (best >= 0 && !(item->time_us < best_us) && !isnan(best_us))) continue;
        if (best >= 0 && isnan(item->time_us)) continue;
        best = (int)(item - t->items);
        best_us = item->time_us;
    }
    if (best < 0) return fail(STATUS_UNSUPPORTED, "%s: %s", structure->name, reason);
    *out = &t->items[best];
    return STATUS_OK;
}
