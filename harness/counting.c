#include "harness/counting.h"

#include <math.h>
#include <string.h>

#include "harness/point.h"
#include "harness/progress.h"
#include "harness/registry.h"
#include "results/csv_table.h"

enum { HOT_LAUNCHES = 16 };
static const double SECONDS_A_FILE = 60; /* lost at most to a kill: the file is replaced then */

static const char *const COLD_REASON =
    "a flush between launches would be counted too: count with --cache rotate or hot";

status_t counting_parse(const char *name, counting_t *out) {
    static const char *const names[] = {"auto", "off", "require"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (counting_t)i;
            return STATUS_OK;
        }
    return fail(STATUS_USAGE, "--counters is auto, off or require, not '%s'", name);
}

/* counters_t points at its source. */
static const char *keep_source(const char *source) {
    static char kept[TEXT_LEN];
    row_set_text(kept, "%s", source);
    return kept;
}

static counter_status_t status_named(const char *name) {
    for (int i = 0; i < COUNTERS_OFF; i++)
        if (!strcmp(name, counter_status_name((counter_status_t)i))) return (counter_status_t)i;
    return COUNTERS_UNSUPPORTED;
}

status_t counting_probe(counting_t counting, const char *device_name, counters_t *out) {
    worker_t worker;
    point_row_t row;
    *out = (counters_t){.source = "none", .status = COUNTERS_OFF};
    if (counting == COUNTING_OFF) return STATUS_OK;
    out->status = COUNTERS_UNSUPPORTED;
    status_t st = worker_start(device_name, 0, &worker);
    if (st == STATUS_OK) st = worker_probe(&worker, &row);
    worker_stop(&worker);
    if (st == STATUS_INTERRUPTED) return st;
    if (st == STATUS_OK) {
        out->source = keep_source(row.counter_source);
        out->status = status_named(row.counter_status);
        snprintf(out->reason, sizeof out->reason, "%s", row.reason);
    } else {
        snprintf(out->reason, sizeof out->reason, "%.200s", last_error());
    }
    if (counting != COUNTING_REQUIRE || out->status == COUNTERS_OK) return STATUS_OK;
    return fail(STATUS_ENVIRONMENT, "--counters require: %s: %s", counter_status_name(out->status),
                out->reason);
}

static counts_t counts_unknown(void) {
    return (counts_t){NAN, NAN, NAN, NAN, NAN, NAN};
}

status_t counting_measure(counters_t *counters, binding_t *binding, cache_t cache, counts_t *out) {
    *out = counts_unknown();
    if (counters->status != COUNTERS_OK || cache == CACHE_COLD) return STATUS_OK;
    const int launches = cache == CACHE_HOT ? HOT_LAUNCHES : binding->sets;
    if (cache == CACHE_HOT) {
        device_t *device = binding->device;
        const status_t st = device->ops->run(device, binding_launch, binding, 0);
        if (st != STATUS_OK) return st;
    }
    return counters_measure(counters, binding_launch, binding, launches, out);
}

void counting_fill(const counters_t *counters, cache_t cache, const counts_t *counts,
                   point_row_t *row) {
    const bool cold = counters->status == COUNTERS_OK && cache == CACHE_COLD;
    const counter_status_t status = cold ? COUNTERS_UNSUPPORTED : counters->status;
    row_set_text(row->counter_source, "%s", counters->source);
    row_set_text(row->counter_status, "%s", counter_status_name(status));
    row_set_text(row->reason, "%s", "");
    if (status == COUNTERS_UNSUPPORTED || status == COUNTERS_DENIED)
        row_set_text(row->reason, "not counted: %s", cold ? COLD_REASON : counters->reason);
    if (status != COUNTERS_OK) return;
    /* A count that fell short says why here: a metric that the chip lacks. */
    if (counters->reason[0]) row_set_text(row->reason, "counted: %s", counters->reason);
    row->dram_read_bytes = rint(counts->dram_read_bytes);
    row->dram_write_bytes = rint(counts->dram_write_bytes);
    row->l2_bytes = rint(counts->l2_bytes);
    row->l1_bytes = rint(counts->l1_bytes);
    row->tensor_flops_measured = rint(counts->tensor_flops);
    row->cuda_core_flops_measured = rint(counts->cuda_core_flops);
    row->flops_measured = rint(counts->tensor_flops + counts->cuda_core_flops);
    row->flops_waste = times_needed(row->flops_measured, row->flops);
    row->l2_intensity = intensity(row->flops, row->l2_bytes);
}

/* ---- all rows ---- */

typedef struct {
    worker_t *worker;
    counting_t counting;
    const roof_ceilings_t *ceilings;
    double limit_s;
    progress_t progress;
    double pass_end_s;
    bool more; /* rows are left for another pass */
    status_t st;
} pass_t;

static bool to_be_counted(const point_row_t *row) {
    return !strcmp(row->status, "ok") &&
           !strcmp(row->counter_status, counter_status_name(COUNTERS_OFF)) &&
           strcmp(row->cache, cache_name(CACHE_COLD)) != 0;
}

static void place_on_roof(const pass_t *s, const problem_t *problem, const variant_t *plan,
                          cache_t cache, point_row_t *row) {
    const double output_bytes =
        (double)problem_rows(problem) * row->out_features * (double)dtype_size(problem->dtype);
    row->excess_traffic = times_needed(row->dram_read_bytes, row->bytes_min - output_bytes);
    point_fill_roof(problem, plan, cache, &s->worker->device.info, &s->ceilings[problem->dtype],
                    row);
}

static void count_row(pass_t *s, point_row_t *row) {
    char what[TEXT_LEN];
    problem_t problem;
    cache_t cache;
    const variant_t *plan = point_plan(row, s->worker->device.info.kind);
    if (!plan || point_problem(row, &problem, &cache) != STATUS_OK) return;
    row_set_text(what, "counting %s n=%.0f %s/%s", row->layer, row->tokens, row->structure,
                 row->variant);
    progress_show(&s->progress, what);
    const double limit_s = point_limit_s(&problem, structure_find(plan->structure),
                                         &s->ceilings[problem.dtype], s->worker->budget_s);
    status_t st = worker_ready(s->worker);
    const bool ready = st == STATUS_OK;
    if (ready) st = worker_count(s->worker, s->limit_s > 0 ? s->limit_s : limit_s, row);
    s->progress.done++;
    if (ready && (st == STATUS_OOM || st == STATUS_DEVICE)) {
        row_set_text(row->counter_status, "%s", counter_status_name(COUNTERS_UNSUPPORTED));
        row_set_text(row->reason, "not counted: %s", last_error());
        return;
    }
    s->st = st;
    if (st != STATUS_OK) return;
    place_on_roof(s, &problem, plan, cache, row);
    if (s->counting == COUNTING_REQUIRE &&
        strcmp(row->counter_status, counter_status_name(COUNTERS_OK)) != 0)
        s->st = fail(STATUS_ENVIRONMENT, "--counters require: %s: %s (what is measured is kept)",
                     row->counter_status, row->reason);
}

/* Each row of points.csv on its way into the new file. */
static status_t visit(void *ctx, point_row_t *row) {
    pass_t *s = ctx;
    if (!to_be_counted(row) || s->st != STATUS_OK) return STATUS_OK;
    if (interrupted())
        s->st = fail(STATUS_INTERRUPTED, "interrupted");
    else if (now_s() > s->pass_end_s)
        s->more = true;
    else
        count_row(s, row);
    return STATUS_OK;
}

status_t counting_rows(run_t *run, worker_t *worker, counting_t counting,
                       const roof_ceilings_t ceilings[DTYPE_COUNT], double limit_s) {
    pass_t s = {.worker = worker, .counting = counting, .ceilings = ceilings, .limit_s = limit_s};
    status_t st = STATUS_OK;
    s.progress = progress_begin(run_count_points(run));
    do {
        s.more = false;
        s.pass_end_s = now_s() + SECONDS_A_FILE;
        st = run_update_points(run, visit, &s);
    } while (st == STATUS_OK && s.st == STATUS_OK && s.more);
    progress_clear(&s.progress);
    return st == STATUS_OK ? s.st : st;
}
