#include "harness/point.h"

#include <math.h>
#include <string.h>

#include "harness/registry.h"
#include "results/csv_table.h"
#include "results/throttle.h"

/* Rotating over four times the cache leaves little of it to a cache that replaces at random. */
static const double ROTATE_CACHES = 4;
/* A point this far above its roof is impossible, so a ceiling or a byte count must be wrong. */
static const double ROOF_LIMIT_PCT = 102, IMPOSSIBLE_PCT = 105;

static int64_t whole(double value) {
    return isnan(value) ? 0 : (int64_t)value;
}

status_t point_problem(const point_row_t *row, problem_t *problem, cache_t *cache) {
    *problem = (problem_t){.tokens = whole(row->tokens),
                           .in_features = whole(row->in_features),
                           .out_features = whole(row->out_features),
                           .blocks = whole(row->blocks),
                           .rank = whole(row->rank),
                           .batch = whole(row->batch),
                           .heads = whole(row->heads),
                           .kv_heads = whole(row->kv_heads),
                           .context = whole(row->context),
                           .causal = row->causal > 0};
    const status_t st = cache_parse(row->cache, cache);
    if (st != STATUS_OK) return st;
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (!strcmp(row->dtype, dtype_name((dtype_t)d))) {
            problem->dtype = (dtype_t)d;
            return STATUS_OK;
        }
    return fail(STATUS_USAGE, "'%s' is no dtype", row->dtype);
}

const variant_t *point_plan(const point_row_t *row, device_kind_t kind) {
    for (int i = 0; i < variant_count(); i++) {
        const variant_t *v = variant_at(i);
        if (v->device != kind || strcmp(v->structure, row->structure) ||
            strcmp(v->name, row->variant))
            continue;
        if (!v->plans) return v;
        for (const variant_t *const *plan = v->plans; *plan; plan++)
            if (!strcmp((*plan)->name, row->plan)) return *plan;
    }
    return NULL;
}

double point_rotate_bytes(const device_info_t *device, cache_t cache) {
    return cache == CACHE_ROTATE ? ROTATE_CACHES * (double)device->cache_bytes : 0;
}

double point_limit_s(const problem_t *p, const structure_t *structure,
                     const roof_ceilings_t *ceilings, double budget_s) {
    /* Not of its tensors: their sizes may be beyond any integer. */
    const double flops = structure->flops(p), tokens = (double)p->tokens;
    const double weights = flops / 2 / tokens;
    const double values = weights + tokens * ((double)p->in_features + (double)p->out_features);
    const demand_t demand = {.compute_flops = flops, .dram_bytes = 4 * values, .kernels = 1};
    const double roof_s = roof_time(&demand, ceilings).seconds;
    const double host_s = fmax(6e9, 32 * weights) / 1e8 + values / 1e6;
    return 60 + 20 * budget_s + host_s + (isnan(roof_s) ? 0 : 20 * 20 * roof_s);
}

void point_fill_costs(const problem_t *p, const variant_t *plan, point_row_t *row) {
    const structure_t *structure = structure_find(plan->structure);
    double intermediates[MAX_INTERMEDIATES];
    const int count = plan->intermediates ? plan->intermediates(p, intermediates) : 0;
    row->flops = structure->flops(p);
    if (p->heads == 0) row->dense_flops = 2 * row->tokens * row->in_features * row->out_features;
    row->cuda_core_flops = plan->cuda_core_flops ? plan->cuda_core_flops(p) : 0;
    row->bytes_min = problem_bytes_min(structure, p);
    row->weight_bytes = problem_weight_bytes(structure, p);
    row->bytes_model = row->bytes_min;
    row->intermediates = count;
    row->intermediate_max_bytes = 0;
    for (int i = 0; i < count; i++) {
        row->bytes_model += 2 * intermediates[i];
        row->intermediate_max_bytes = fmax(row->intermediate_max_bytes, intermediates[i]);
    }
}

void point_fill_timing(const timing_t *t, point_row_t *row) {
    row->samples = t->samples_len;
    row_set_text(row->stop_reason, "%s", t->stop_reason);
    row->time_us = t->summary.median;
    row->time_min_us = t->summary.min;
    row->time_q1_us = t->summary.q1;
    row->time_q3_us = t->summary.q3;
    row->time_ci_low_us = t->summary.ci_low;
    row->time_ci_high_us = t->summary.ci_high;
    row->sm_clock_mhz = t->state.sm_clock_mhz;
    row->power_w = t->state.power_w;
    row->temperature_c = t->state.temperature_c;
    row_set_text(row->throttle, "%s", t->state.throttle);
    row->remeasured = t->remeasured;
    row->stream_time_us = t->stream_us;
    if (t->kernels > 0) row->kernels = t->kernels;
    row->tflops = row->flops / row->time_us * 1e-6;
    row->gbps = row->bytes_model / row->time_us * 1e-3;
}

/* By the model alone. */
static demand_t model_demand(const problem_t *p, const variant_t *plan, cache_t cache,
                             double cache_bytes, const point_row_t *row) {
    double intermediates[MAX_INTERMEDIATES];
    const int count = plan->intermediates ? plan->intermediates(p, intermediates) : 0;
    demand_t demand = {.l2_bytes = row->bytes_model,
                       .cuda_core_flops = row->cuda_core_flops,
                       .compute_flops = row->flops - row->cuda_core_flops,
                       .kernels = row->kernels > 0 ? (int)row->kernels : 1};
    const bool in_cache = cache == CACHE_HOT && row->bytes_model <= cache_bytes;
    demand.dram_bytes =
        in_cache ? 0 : dram_bytes_floor(row->bytes_min, intermediates, count, cache_bytes);
    return demand;
}

void point_fill_roof(const problem_t *p, const variant_t *plan, cache_t cache,
                     const device_info_t *device, const roof_ceilings_t *ceilings,
                     point_row_t *row) {
    demand_t demand = model_demand(p, plan, cache, (double)device->cache_bytes, row);
    row->intensity_model = intensity(row->flops, fmax(demand.dram_bytes, row->bytes_min));
    const double dram_bytes = row->dram_read_bytes + row->dram_write_bytes;
    const double measured = intensity(row->flops, dram_bytes);
    row->intensity = isnan(measured) ? row->intensity_model : measured;
    row_set_text(row->intensity_source, isnan(measured) ? "model" : "counters");
    if (!isnan(dram_bytes)) demand.dram_bytes = dram_bytes;
    if (!isnan(row->l2_bytes)) demand.l2_bytes = row->l2_bytes;

    const roof_t roof = roof_time(&demand, ceilings);
    row->roof_us = roof.seconds * 1e6;
    if (!isnan(roof.seconds)) row_set_text(row->bound, "%s", bound_name(roof.bound));
    row->roof_pct = 100 * row->roof_us / row->time_us;
    const executed_t executed = {row->tensor_flops_measured, row->cuda_core_flops_measured,
                                 dram_bytes, row->l2_bytes};
    const bool never = row->roof_pct > IMPOSSIBLE_PCT ||
                       impossible(&executed, row->flops, row->time_us * 1e-6, ceilings);
    const bool over = row->roof_pct > ROOF_LIMIT_PCT;
    const bool disturbed = throttle_disturbs(row->throttle);
    row_set_text(row->flags, "%s%s%s%s%s", over ? "over_roof" : "", over && never ? "+" : "",
                 never ? "impossible" : "", (over || never) && disturbed ? "+" : "",
                 disturbed ? "disturbed" : "");
}
