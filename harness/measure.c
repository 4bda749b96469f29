#include "harness/measure.h"

#include <math.h>
#include <string.h>

#include "harness/counting.h"
#include "harness/point.h"
#include "harness/registry.h"
#include "results/csv_table.h"

status_t measure_open(const char *device_spec, double budget_s, measure_t *m) {
    *m = (measure_t){.budget_s = budget_s};
    const status_t st = device_open(device_spec, &m->device);
    if (st == STATUS_OK) tuning_open(&m->tuning, m->device, tuning_build());
    return st;
}

void measure_close(measure_t *m) {
    if (!m->device) return;
    case_close(&m->c);
    if (m->counting) counters_close(&m->counters);
    tuning_close(&m->tuning);
    m->device->ops->close(m->device);
}

static void open_counters(measure_t *m) {
    if (!m->counting) counters_open(m->device, &m->counters);
    m->counting = true;
}

void measure_probe(measure_t *m, point_row_t *row) {
    open_counters(m);
    row_set_text(row->counter_source, "%s", m->counters.source);
    row_set_text(row->counter_status, "%s", counter_status_name(m->counters.status));
    row_set_text(row->reason, "%s", m->counters.reason);
}

/* Neighbouring rows are of one case. */
static status_t enter_case(measure_t *m, const structure_t *structure, const problem_t *problem,
                           bool checked) {
    if (m->c.structure == structure && problem_compare(&m->c.problem, problem) == 0 &&
        (m->c.reference || !checked))
        return STATUS_OK;
    case_close(&m->c);
    return checked ? case_open(structure, problem, &m->c)
                   : case_open_unchecked(structure, problem, &m->c);
}

/* ---- timing ---- */

/* Beyond this the sizes of buffers would not fit into 64 bits, let alone any memory. */
static bool too_large(const problem_t *p) {
    const double n = (double)p->tokens, r = (double)p->rank, b = (double)p->blocks;
    const double features = (double)p->in_features + (double)p->out_features;
    const double limit = 0x1p50;
    const double sequences = (double)p->batch * (n + (double)p->context);
    return sequences * features > limit || n * features > limit ||
           (double)p->in_features * (double)p->out_features > limit || r * features > limit ||
           n * b * r > limit || b * b * r > limit;
}

static const variant_t *variant_of(const point_row_t *row, device_kind_t kind) {
    for (int i = 0; i < variant_count(); i++) {
        const variant_t *v = variant_at(i);
        if (v->device == kind && !strcmp(v->structure, row->structure) &&
            !strcmp(v->name, row->variant))
            return v;
    }
    return NULL;
}

/* Puts into plans[] what can run the problem. */
static status_t find_plans(const measure_t *m, const variant_t *variant, const problem_t *problem,
                           const variant_t *plans[MAX_PLANS], int *count) {
    char why[WHY_LEN] = "";
    *count = 0;
    if (too_large(problem)) return fail(STATUS_OOM, "more than 2^50 elements");
    if (structure_find(variant->structure)->validate(problem, why, sizeof why))
        *count = variant_plans(variant, problem, &m->device->info, plans, why, sizeof why);
    return *count > 0 ? STATUS_OK : fail(STATUS_UNSUPPORTED, "%s", why);
}

static status_t check_and_time(measure_t *m, const variant_t *variant, const variant_t *plan,
                               cache_t cache, point_row_t *row, timing_t *timing) {
    binding_t binding = {0};
    check_t check = {0};
    status_t st = STATUS_OK;
    if (!variant->baseline && isnan(m->c.baseline_error)) TRY(case_baseline(&m->c, m->device));
    TRY(binding_open(&m->c, plan, m->device, point_rotate_bytes(&m->device->info, cache),
                     &binding));
    row->workspace_bytes = (double)binding.workspace_bytes;
    row->packed_bytes = 0;
    for (int t = 0; t < m->c.tensors_len; t++)
        if (m->c.tensors[t].role == TENSOR_WEIGHT) row->packed_bytes += (double)binding.bytes[t];
    TRY(binding_check(&binding, &check));
    row->error = check.error;
    row->error_worst_row = check.error_worst_row;
    row->tolerance = check.tolerance;
    if (!check.ok) {
        row_set_text(row->status, "mismatch");
        row_set_text(row->reason, "%s", check.reason);
        goto cleanup;
    }
    if (variant->baseline) m->c.baseline_error = check.error;
    TRY(timing_run(m->device, binding_launch, &binding, binding.sets, cache, m->budget_s, timing));
    point_fill_timing(timing, row);
    row_set_text(row->status, "ok");
cleanup:
    binding_close(&binding);
    return st;
}

status_t measure_time(measure_t *m, point_row_t *row, timing_t *timing) {
    const variant_t *plans[MAX_PLANS] = {0}, *plan;
    const variant_t *variant = variant_of(row, m->device->info.kind);
    problem_t problem;
    cache_t cache;
    int count;
    status_t st = point_problem(row, &problem, &cache);
    if (st != STATUS_OK) return st;
    if (!variant)
        return fail(STATUS_UNSUPPORTED, "there is no %s/%s", row->structure, row->variant);
    st = find_plans(m, variant, &problem, plans, &count);
    if (st != STATUS_OK) return st;
    point_fill_costs(&problem, plans[0], row);
    st = enter_case(m, structure_find(variant->structure), &problem, true);
    if (st != STATUS_OK) return st;
    st = tuning_choose(&m->tuning, &m->c, variant, m->device, cache, plans, count, &plan,
                       &row->tuning_s);
    point_fill_costs(&problem, plan, row);
    if (variant->plans) row_set_text(row->plan, "%s", plan->name);
    return st == STATUS_OK ? check_and_time(m, variant, plan, cache, row, timing) : st;
}

/* ---- counting ---- */

status_t measure_count(measure_t *m, point_row_t *row) {
    binding_t binding = {0};
    counts_t counts;
    problem_t problem;
    cache_t cache;
    const variant_t *plan = point_plan(row, m->device->info.kind);
    if (!plan)
        return fail(STATUS_UNSUPPORTED, "this program has no %s/%s any more", row->structure,
                    row->variant);
    status_t st = STATUS_OK;
    TRY(point_problem(row, &problem, &cache));
    open_counters(m);
    TRY(enter_case(m, structure_find(plan->structure), &problem, false));
    TRY(binding_open(&m->c, plan, m->device, point_rotate_bytes(&m->device->info, cache),
                     &binding));
    /* The first launch may choose an algorithm, and is not counted. */
    TRY(m->device->ops->run(m->device, binding_launch, &binding, 0));
    TRY(counting_measure(&m->counters, &binding, cache, &counts));
    counting_fill(&m->counters, cache, &counts, row);
cleanup:
    binding_close(&binding);
    return st;
}
