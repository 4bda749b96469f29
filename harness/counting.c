#include "harness/counting.h"

#include <math.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

typedef struct {
    char source[32], reason[sizeof((counters_t *)NULL)->reason];
    counter_status_t status;
} probe_t;

static void probe(const char *device_name, probe_t *out) {
    device_t *device;
    counters_t counters = {.source = "none", .status = COUNTERS_UNSUPPORTED};
    if (device_open(device_name, &device) == STATUS_OK)
        counters_open(device, &counters);
    else
        snprintf(counters.reason, sizeof counters.reason, "%.200s", last_error());
    out->status = counters.status;
    snprintf(out->source, sizeof out->source, "%s", counters.source);
    snprintf(out->reason, sizeof out->reason, "%s", counters.reason);
}

static status_t probe_in_child(const char *device_name, probe_t *out) {
    int ends[2];
    if (pipe(ends) != 0) return fail(STATUS_IO, "cannot make a pipe to try the counters");
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        probe(device_name, out);
        /* _exit(): what the parent has open is not the child's to flush */
        _exit(write(ends[1], out, sizeof *out) != sizeof *out);
    }
    close(ends[1]);
    const bool told = child > 0 && read(ends[0], out, sizeof *out) == sizeof *out;
    close(ends[0]);
    if (child > 0) waitpid(child, NULL, 0);
    if (!told) {
        *out = (probe_t){.source = "none", .status = COUNTERS_UNSUPPORTED};
        snprintf(out->reason, sizeof out->reason, "the process that tried the counters died");
    }
    return STATUS_OK;
}

status_t counting_probe(counting_t counting, const char *device_name, counters_t *out) {
    static probe_t found; /* counters_t points at its source */
    *out = (counters_t){.source = "none", .status = COUNTERS_OFF};
    if (counting == COUNTING_OFF) return STATUS_OK;
    found = (probe_t){0};
    const status_t st = probe_in_child(device_name, &found);
    if (st != STATUS_OK) return st;
    out->source = found.source;
    out->status = found.status;
    snprintf(out->reason, sizeof out->reason, "%s", found.reason);
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
    run_t *run;
    device_t *device;
    counting_t counting;
    const roof_ceilings_t *ceilings;
    counters_t counters;
    case_t c; /* of the row before; structure NULL if none */
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

/* Neighbouring rows are of one case. */
static status_t enter_case(case_t *c, const structure_t *structure, const problem_t *problem) {
    if (c->structure == structure && problem_compare(&c->problem, problem) == 0) return STATUS_OK;
    case_close(c);
    return case_open_unchecked(structure, problem, c);
}

static status_t count_plan(pass_t *s, const problem_t *problem, const variant_t *plan,
                           cache_t cache, point_row_t *row) {
    const device_info_t *info = &s->device->info;
    const double output_bytes =
        (double)problem_rows(problem) * row->out_features * (double)dtype_size(problem->dtype);
    binding_t binding = {0};
    counts_t counts;
    status_t st = STATUS_OK;
    TRY(enter_case(&s->c, structure_find(plan->structure), problem));
    TRY(binding_open(&s->c, plan, s->device, point_rotate_bytes(info, cache), &binding));
    /* The first launch may choose an algorithm, and is not counted. */
    TRY(s->device->ops->run(s->device, binding_launch, &binding, 0));
    TRY(counting_measure(&s->counters, &binding, cache, &counts));
    counting_fill(&s->counters, cache, &counts, row);
    row->excess_traffic = times_needed(row->dram_read_bytes, row->bytes_min - output_bytes);
    point_fill_roof(problem, plan, cache, info, &s->ceilings[problem->dtype], row);
cleanup:
    binding_close(&binding);
    return st;
}

static void count_row(pass_t *s, point_row_t *row) {
    char what[TEXT_LEN];
    problem_t problem;
    cache_t cache;
    const variant_t *plan = point_plan(row, s->device->info.kind);
    if (!plan || point_problem(row, &problem, &cache) != STATUS_OK) return;
    row_set_text(what, "counting %s n=%.0f %s/%s", row->layer, row->tokens, row->structure,
                 row->variant);
    progress_show(&s->progress, what);
    const status_t st = count_plan(s, &problem, plan, cache, row);
    s->progress.done++;
    if (st == STATUS_OOM) {
        row_set_text(row->counter_status, "%s", counter_status_name(COUNTERS_UNSUPPORTED));
        row_set_text(row->reason, "not counted: %s", last_error());
    } else {
        s->st = st;
    }
    if (st == STATUS_OK && s->counting == COUNTING_REQUIRE && s->counters.status != COUNTERS_OK)
        s->st = fail(STATUS_ENVIRONMENT, "--counters require: %s: %s (what is measured is kept)",
                     counter_status_name(s->counters.status), s->counters.reason);
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

status_t counting_rows(run_t *run, device_t *device, counting_t counting,
                       const roof_ceilings_t ceilings[DTYPE_COUNT]) {
    pass_t s = {.run = run, .device = device, .counting = counting, .ceilings = ceilings};
    status_t st = STATUS_OK;
    s.progress = progress_begin(run_count_points(run));
    counters_open(device, &s.counters);
    do {
        s.more = false;
        s.pass_end_s = now_s() + SECONDS_A_FILE;
        st = run_update_points(run, visit, &s);
    } while (st == STATUS_OK && s.st == STATUS_OK && s.more);
    progress_clear(&s.progress);
    case_close(&s.c);
    counters_close(&s.counters);
    return st == STATUS_OK ? s.st : st;
}
