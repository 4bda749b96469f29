#include "harness/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/list.h"
#include "harness/point.h"
#include "harness/progress.h"
#include "harness/registry.h"
#include "harness/tuning.h"
#include "results/csv_table.h"

typedef struct {
    const workload_t *workload;
    int entry;
    dtype_t dtype;
    const variant_t *variant;
    const variant_t *plan; /* what runs as the variant; the first that can, until one is chosen */
} task_t;

typedef struct {
    run_t *run;
    device_t *device;
    const counters_t *counters; /* how they will open, after all timing */
    const sweep_options_t *options;
    sweep_counts_t *counts;
    roof_ceilings_t ceilings[DTYPE_COUNT];
    double budget_s;
    tuning_t tuning;
    case_t c; /* of the entry and dtype under way; structure NULL if none */
    status_t case_status;
} sweep_t;

/* ---- which points ---- */

static status_t check_names(const char *list, const char *what, bool (*known)(const char *, int),
                            int kind, const char *where) {
    char name[64];
    for (const char *at = list; at && *at;) {
        const size_t len = strcspn(at, ",");
        if (len == 0 || len >= sizeof name)
            return fail(STATUS_USAGE, "--%s: empty or overlong name in '%s'", what, list);
        memcpy(name, at, len);
        name[len] = '\0';
        if (!known(name, kind))
            return fail(STATUS_USAGE, "--%s: no %s '%s'%s: see 'blroof list'", what, what, name,
                        where);
        at += len + (at[len] == ',');
    }
    return STATUS_OK;
}

static bool known_structure(const char *name, int kind) {
    (void)kind;
    return structure_find(name) != NULL;
}

static bool known_variant(const char *name, int kind) {
    for (int i = 0; i < variant_count(); i++)
        if ((int)variant_at(i)->device == kind && !strcmp(variant_at(i)->name, name)) return true;
    return false;
}

static bool known_dtype(const char *name, int kind) {
    (void)kind;
    for (int d = 0; d < DTYPE_COUNT; d++)
        if (!strcmp(dtype_name((dtype_t)d), name)) return true;
    return false;
}

status_t sweep_check_options(const sweep_options_t *options, device_kind_t kind) {
    char where[32];
    snprintf(where, sizeof where, " on %s", device_kind_name(kind));
    status_t st = check_names(options->structures, "structure", known_structure, (int)kind, "");
    if (st == STATUS_OK)
        st = check_names(options->variants, "variant", known_variant, (int)kind, where);
    if (st == STATUS_OK) st = check_names(options->dtypes, "dtype", known_dtype, (int)kind, "");
    return st;
}

static bool wanted_dtype(const sweep_options_t *options, device_kind_t kind, dtype_t dtype) {
    if (options->dtypes) return name_list_has(options->dtypes, dtype_name(dtype));
    return dtype == (kind == DEVICE_CPU ? DTYPE_FP32 : DTYPE_BF16);
}

static int list_tasks(const sweep_t *s, const workload_t *workloads, int workloads_len,
                      task_t *tasks) {
    const sweep_options_t *options = s->options;
    const device_kind_t kind = s->device->info.kind;
    int count = 0, index = 0;
    for (int w = 0; w < workloads_len; w++)
        for (int e = 0; e < workloads[w].count; e++) {
            const char *structure = workloads[w].entries[e].structure->name;
            if (!name_list_has(options->structures, structure)) continue;
            for (int d = 0; d < DTYPE_COUNT; d++) {
                if (!wanted_dtype(options, kind, (dtype_t)d)) continue;
                for (int v = 0; v < variant_count(); v++) {
                    const variant_t *variant = variant_at(v);
                    if (variant->device != kind || strcmp(variant->structure, structure) ||
                        !name_list_has(options->variants, variant->name))
                        continue;
                    if (index++ % options->shards != options->shard) continue;
                    if (tasks) tasks[count] = (task_t){&workloads[w], e, (dtype_t)d, variant, NULL};
                    count++;
                }
            }
        }
    return count;
}

/* ---- one point ---- */

static problem_t task_problem(const task_t *task) {
    problem_t problem = task->workload->entries[task->entry].problem;
    problem.dtype = task->dtype;
    return problem;
}

static void describe(const sweep_t *s, const task_t *task, point_row_t *row) {
    const problem_t p = task_problem(task);
    row_clear(&POINTS_TABLE, row);
    row_set_text(row->run_id, "%s", s->run->run_id);
    row_set_text(row->device, "%s", s->device->id);
    row_set_text(row->workload, "%s", task->workload->name);
    row_set_text(row->layer, "%s", task->workload->entries[task->entry].layer);
    row_set_text(row->structure, "%s", task->variant->structure);
    row_set_text(row->variant, "%s", task->variant->name);
    row_set_text(row->dtype, "%s", dtype_name(p.dtype));
    row->tokens = (double)p.tokens;
    row->in_features = (double)p.in_features;
    row->out_features = (double)p.out_features;
    if (p.blocks > 0) row->blocks = (double)p.blocks;
    if (p.rank > 0) row->rank = (double)p.rank;
    ROW_SET_ATTENTION(row, &p);
    row_set_text(row->cache, "%s", cache_name(s->options->cache));
    row_set_text(row->launch, "%s", s->device->ops->fixed_sequence ? "graph" : "stream");
    row_set_text(row->counter_source, "%s", s->counters->source);
    row_set_text(row->counter_status, "%s", counter_status_name(COUNTERS_OFF));
}

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

static void set_status(point_row_t *row, const char *status, const char *reason) {
    row_set_text(row->status, "%s", status);
    row_set_text(row->reason, "%s", reason);
}

/* How many plans can run it. 0, and the row says why, if the mathematics or the variant does not
 * allow the problem. */
static int supported(const sweep_t *s, task_t *task, const variant_t *plans[MAX_PLANS],
                     point_row_t *row) {
    const problem_t p = task_problem(task);
    const structure_t *structure = structure_find(task->variant->structure);
    char why[WHY_LEN] = "";
    if (too_large(&p)) {
        set_status(row, "oom", "more than 2^50 elements");
        return 0;
    }
    int count = 0;
    if (structure->validate(&p, why, sizeof why))
        count = variant_plans(task->variant, &p, &s->device->info, plans, why, sizeof why);
    if (count == 0) set_status(row, "unsupported", why);
    task->plan = plans[0];
    return count;
}

static status_t choose_plan(sweep_t *s, task_t *task, const variant_t *const *plans, int count,
                            point_row_t *row) {
    const problem_t problem = task_problem(task);
    const status_t st = tuning_choose(&s->tuning, &s->c, task->variant, s->device,
                                      s->options->cache, plans, count, &task->plan, &row->tuning_s);
    point_fill_costs(&problem, task->plan, row);
    if (task->variant->plans) row_set_text(row->plan, "%s", task->plan->name);
    if (row->tuning_s > 0) s->counts->tuned++;
    if (row->tuning_s > 0) s->counts->tuning_s += row->tuning_s;
    return st;
}

/* Counting comes after all timing; what stands in its way is known before. */
static bool will_count(const sweep_t *s) {
    return s->counters->status == COUNTERS_OK && s->options->cache != CACHE_COLD;
}

static status_t measure(sweep_t *s, const task_t *task, point_row_t *row, timing_t *timing) {
    const cache_t cache = s->options->cache;
    const problem_t problem = task_problem(task);
    const double rotate = point_rotate_bytes(&s->device->info, cache);
    binding_t binding = {0};
    check_t check = {0};
    status_t st = STATUS_OK;
    if (!task->variant->baseline && isnan(s->c.baseline_error))
        TRY(case_baseline(&s->c, s->device));
    TRY(binding_open(&s->c, task->plan, s->device, rotate, &binding));
    row->workspace_bytes = (double)binding.workspace_bytes;
    row->packed_bytes = 0;
    for (int t = 0; t < s->c.tensors_len; t++)
        if (s->c.tensors[t].role == TENSOR_WEIGHT) row->packed_bytes += (double)binding.bytes[t];
    TRY(binding_check(&binding, &check));
    row->error = check.error;
    row->error_worst_row = check.error_worst_row;
    row->tolerance = check.tolerance;
    if (!check.ok) {
        set_status(row, "mismatch", check.reason);
        goto cleanup;
    }
    if (task->variant->baseline) s->c.baseline_error = check.error;
    TRY(timing_run(s->device, binding_launch, &binding, binding.sets, cache, s->budget_s, timing));
    point_fill_timing(timing, row);
    point_fill_roof(&problem, task->plan, cache, &s->device->info, &s->ceilings[task->dtype], row);
    set_status(row, "ok", "");
    if (!will_count(s)) counting_fill(s->counters, cache, NULL, row);
cleanup:
    binding_close(&binding);
    return st;
}

/* The case of the task, opened when the entry or the dtype changes. */
static status_t enter_case(sweep_t *s, const task_t *task, const task_t *previous) {
    const bool same = previous && s->c.structure && previous->workload == task->workload &&
                      previous->entry == task->entry && previous->dtype == task->dtype;
    if (same) return STATUS_OK;
    case_close(&s->c);
    const problem_t problem = task_problem(task);
    return case_open(structure_find(task->variant->structure), &problem, &s->c);
}

/* A power cap is how a GPU works under load; these are not. */
static bool disturbed(const char *throttle) {
    return strstr(throttle, "other_load") || strstr(throttle, "thermal") || strstr(throttle, "hw_");
}

static void count_status(sweep_counts_t *counts, const char *status) {
    if (!strcmp(status, "ok")) counts->ok++;
    if (!strcmp(status, "unsupported")) counts->unsupported++;
    if (!strcmp(status, "mismatch")) counts->mismatch++;
    if (!strcmp(status, "oom")) counts->oom++;
    if (!strcmp(status, "error")) counts->error++;
}

/* Measures and files one task. A failure that concerns this point alone becomes its row. */
static status_t do_task(sweep_t *s, task_t *task, const task_t *previous, point_row_t *row) {
    timing_t timing = {0};
    const variant_t *plans[MAX_PLANS] = {0};
    status_t st = STATUS_OK;
    const int plans_len = supported(s, task, plans, row);
    if (plans_len > 0) {
        const problem_t problem = task_problem(task);
        point_fill_costs(&problem, task->plan, row);
        st = enter_case(s, task, previous);
        if (st == STATUS_OK) st = choose_plan(s, task, plans, plans_len, row);
        if (st == STATUS_OK) st = measure(s, task, row, &timing);
    }
    if (interrupted() && (!timing.samples || strcmp(timing.stop_reason, "interrupted") == 0)) {
        timing_free(&timing);
        return STATUS_INTERRUPTED; /* a point cut short is not filed; resuming measures it */
    }
    if (st == STATUS_OOM) set_status(row, "oom", last_error());
    if (st == STATUS_UNSUPPORTED) set_status(row, "unsupported", last_error());
    if (st != STATUS_OK && st != STATUS_OOM && st != STATUS_UNSUPPORTED)
        set_status(row, "error", last_error());
    const status_t filed = run_add_point(s->run, row, timing.samples, timing.samples_len);
    timing_free(&timing);
    count_status(s->counts, row->status);
    s->counts->disturbed += disturbed(row->throttle);
    if (filed != STATUS_OK) return filed;
    if (st == STATUS_DEVICE) return st;
    return STATUS_OK;
}

static void add_ceiling(void *ctx, const ceiling_t *ceiling) {
    sweep_t *s = ctx;
    for (int d = 0; d < DTYPE_COUNT; d++)
        roof_ceilings_add(&s->ceilings[d], ceiling, dtype_name((dtype_t)d));
}

static status_t run_tasks(sweep_t *s, task_t *tasks, int tasks_len) {
    status_t st = STATUS_OK;
    progress_t progress = progress_begin(tasks_len);
    const task_t *previous = NULL;
    for (int i = 0; i < tasks_len && st == STATUS_OK; i++) {
        point_row_t row;
        char what[TEXT_LEN];
        describe(s, &tasks[i], &row);
        if (run_has_point(s->run, &row)) {
            s->counts->skipped++;
            progress.total--;
            continue;
        }
        row_set_text(what, "%s n=%.0f %s/%s", row.layer, row.tokens, row.structure, row.variant);
        progress_show(&progress, what);
        st = interrupted() ? STATUS_INTERRUPTED : do_task(s, &tasks[i], previous, &row);
        previous = &tasks[i];
        progress.done++;
    }
    progress_clear(&progress);
    const sweep_counts_t *n = s->counts;
    s->counts->left =
        tasks_len - n->ok - n->unsupported - n->mismatch - n->oom - n->error - n->skipped;
    return st == STATUS_INTERRUPTED ? fail(st, "interrupted") : st;
}

status_t sweep_run(run_t *run, device_t *device, const counters_t *counters,
                   const workload_t *workloads, int workloads_len, const sweep_options_t *options,
                   sweep_counts_t *counts) {
    sweep_t *s = calloc(1, sizeof *s);
    task_t *tasks = NULL;
    status_t st = STATUS_OK;
    const progress_t progress = progress_begin(1);
    if (!s) return fail(STATUS_OOM, "out of host memory");
    *counts = (sweep_counts_t){0};
    *s = (sweep_t){
        .run = run, .device = device, .counters = counters, .options = options, .counts = counts};
    s->budget_s = options->budget_s > 0 ? options->budget_s : 0.6;
    for (int d = 0; d < DTYPE_COUNT; d++) s->ceilings[d] = roof_ceilings_none();
    tuning_open(&s->tuning, device, tuning_build());
    const int tasks_len = list_tasks(s, workloads, workloads_len, NULL);
    if (tasks_len == 0) {
        st = fail(STATUS_USAGE, "no point is left: the structures, variants and shard chosen "
                                "select none of the workload");
        goto cleanup;
    }
    tasks = malloc((size_t)tasks_len * sizeof *tasks);
    if (!tasks) {
        st = fail(STATUS_OOM, "out of host memory for %d points", tasks_len);
        goto cleanup;
    }
    list_tasks(s, workloads, workloads_len, tasks);
    progress_show(&progress, "ceilings of the device");
    TRY(run_ceilings(run, device, add_ceiling, s));
    progress_clear(&progress);
    device_state_t state;
    TRY(device->ops->state(device, &state));
    counts->ceilings_disturbed = disturbed(state.throttle);
    TRY(run_open_points(run));
    TRY(run_tasks(s, tasks, tasks_len));
    if (will_count(s)) st = counting_rows(run, device, options->counting, s->ceilings);
cleanup:
    case_close(&s->c);
    tuning_close(&s->tuning);
    free(tasks);
    free(s);
    return st;
}
