#include "harness/counting.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/point.h"
#include "harness/progress.h"
#include "harness/registry.h"
#include "results/csv_table.h"

enum { HOT_LAUNCHES = 16 };
static const double SECONDS_A_FILE = 60; /* lost at most to a kill: the file is replaced then */

static const char *const COLD_REASON =
    "a flush between launches would be counted too: count with --cache rotate or hot";

const char *matrix_dtype_name(int i) {
    return i < DTYPE_COUNT ? dtype_name((dtype_t)i) : "fp8";
}

const roof_ceilings_t *ceilings_of(const device_ceilings_t *ceilings, const point_row_t *row) {
    const char *name = *row->matrix_dtype ? row->matrix_dtype : row->dtype;
    int i = 0;
    while (i < MATRIX_DTYPES - 1 && strcmp(matrix_dtype_name(i), name) != 0) i++;
    return &ceilings->of[i];
}

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
    char first[SPEC_LEN]; /* what one GPU of a machine allows, all do */
    status_t st = worker_start(pool_first(device_name, first), 0, &worker);
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

/* A row that was counted, and which one of points.csv it is. */
typedef struct {
    int index;
    point_row_t row;
} counted_t;

typedef struct {
    run_t *run;
    pool_t *pool;
    counting_t counting;
    const device_ceilings_t *ceilings; /* of each worker */
    double limit_s;
    progress_t progress;
    double pass_end_s;
    bool more;           /* rows are left for another pass */
    counted_t *rows;     /* of this pass, in the order of the file */
    int rows_len, taken; /* taken: those that are in the new file */
    int at;              /* rows of points.csv that were seen */
    int given[POOL_MAX]; /* the row that a busy worker is at */
    status_t st;         /* why there is to be no more counting */
    char why[512];
} pass_t;

static void stop(pass_t *s, status_t st) {
    if (st == STATUS_OK || s->st != STATUS_OK) return;
    s->st = st;
    snprintf(s->why, sizeof s->why, "%s", last_error());
}

static bool to_be_counted(const point_row_t *row) {
    return !strcmp(row->status, "ok") &&
           !strcmp(row->counter_status, counter_status_name(COUNTERS_OFF)) &&
           strcmp(row->cache, cache_name(CACHE_COLD)) != 0;
}

static void place_on_roof(const pass_t *s, int worker, point_row_t *row) {
    const device_info_t *info = &s->pool->workers[worker].device.info;
    const variant_t *plan = point_plan(row, info->kind);
    problem_t problem;
    cache_t cache;
    if (!plan || point_problem(row, &problem, &cache) != STATUS_OK) return;
    const double output_bytes =
        (double)problem_rows(&problem) * row->out_features * (double)dtype_size(problem.dtype);
    row->excess_traffic = times_needed(row->dram_read_bytes, row->bytes_min - output_bytes);
    point_fill_roof(&problem, plan, cache, info, ceilings_of(&s->ceilings[worker], row), row);
}

/* What a worker made of its row. */
static void finish_row(pass_t *s, int worker, status_t st) {
    point_row_t *row = &s->rows[s->given[worker]].row;
    worker_take_row(&s->pool->workers[worker], row);
    s->progress.done++;
    if (st == STATUS_OOM || st == STATUS_DEVICE) {
        row_set_text(row->counter_status, "%s", counter_status_name(COUNTERS_UNSUPPORTED));
        row_set_text(row->reason, "not counted: %s", last_error());
        return;
    }
    stop(s, st);
    if (st != STATUS_OK) return;
    place_on_roof(s, worker, row);
    if (s->counting == COUNTING_REQUIRE &&
        strcmp(row->counter_status, counter_status_name(COUNTERS_OK)) != 0)
        stop(s, fail(STATUS_ENVIRONMENT, "--counters require: %s: %s (what is measured is kept)",
                     row->counter_status, row->reason));
}

/* Until that worker, or any if it is -1 and one is busy, has nothing to do. */
static void await_rows(pass_t *s, int worker) {
    int which, busy = 0;
    for (int i = 0; i < s->pool->len; i++) busy += s->pool->workers[i].busy;
    while (busy-- > 0 && (worker < 0 || s->pool->workers[worker].busy)) {
        const status_t st = worker_await(s->pool->workers, s->pool->len, &which);
        if (which < 0) {
            stop(s, st);
            return;
        }
        finish_row(s, which, st);
    }
}

static status_t keep_row(pass_t *s, const point_row_t *row) {
    counted_t *grown = realloc(s->rows, (size_t)(s->rows_len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for counted rows");
    s->rows = grown;
    s->rows[s->rows_len++] = (counted_t){s->at, *row};
    return STATUS_OK;
}

/* Gives a row to the worker whose device timed it. */
static void give_row(pass_t *s, int worker, const point_row_t *row) {
    worker_t *w = &s->pool->workers[worker];
    char what[TEXT_LEN];
    problem_t problem;
    cache_t cache;
    if (!point_plan(row, w->device.info.kind)) return;
    if (point_problem(row, &problem, &cache) != STATUS_OK) return;
    stop(s, worker_ready(w));
    if (s->st == STATUS_OK) stop(s, keep_row(s, row));
    if (s->st != STATUS_OK) return;
    s->given[worker] = s->rows_len - 1;
    row_set_text(what, "counting %s n=%.0f %s/%s", row->layer, row->tokens, row->structure,
                 row->variant);
    progress_show(&s->progress, what);
    const double limit_s = point_limit_s(&problem, structure_find(row->structure),
                                         ceilings_of(&s->ceilings[worker], row), w->budget_s);
    worker_begin_count(w, s->limit_s > 0 ? s->limit_s : limit_s, row);
}

/* Each row of points.csv. */
static status_t count_row(void *ctx, const void *data, int line) {
    (void)line;
    pass_t *s = ctx;
    const point_row_t *row = data;
    const int worker = s->pool->len == 1 ? 0 : pool_find(s->pool, row->device);
    if (to_be_counted(row) && s->st == STATUS_OK && worker >= 0) {
        await_rows(s, worker);
        if (interrupted())
            stop(s, fail(STATUS_INTERRUPTED, "interrupted"));
        else if (now_s() > s->pass_end_s)
            s->more = true;
        else if (s->st == STATUS_OK)
            give_row(s, worker, row);
    }
    s->at++;
    return STATUS_OK;
}

/* Each row of points.csv on its way into the new file. */
static status_t replace_row(void *ctx, point_row_t *row) {
    pass_t *s = ctx;
    if (s->taken < s->rows_len && s->rows[s->taken].index == s->at) *row = s->rows[s->taken++].row;
    s->at++;
    return STATUS_OK;
}

/* Rows of which nothing came stay as they are. */
static status_t one_pass(pass_t *s) {
    s->more = false;
    s->pass_end_s = now_s() + SECONDS_A_FILE;
    s->at = s->rows_len = s->taken = 0;
    const status_t st = run_read_points(s->run, count_row, s);
    if (st != STATUS_OK) return st;
    await_rows(s, -1);
    s->at = 0;
    return s->rows_len > 0 ? run_update_points(s->run, replace_row, s) : STATUS_OK;
}

status_t counting_rows(run_t *run, pool_t *pool, counting_t counting,
                       const device_ceilings_t *ceilings, double limit_s) {
    pass_t s = {.run = run,
                .pool = pool,
                .counting = counting,
                .ceilings = ceilings,
                .limit_s = limit_s,
                .progress = progress_begin(run_count_points(run))};
    status_t st = STATUS_OK;
    do {
        st = one_pass(&s);
    } while (st == STATUS_OK && s.st == STATUS_OK && s.more);
    progress_clear(&s.progress);
    free(s.rows);
    return st == STATUS_OK && s.st != STATUS_OK ? fail(s.st, "%s", s.why) : st;
}
