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
} task_t;

typedef struct {
    run_t *run;
    worker_t *worker;
    const counters_t *counters; /* how they will open, after all timing */
    const sweep_options_t *options;
    sweep_counts_t *counts;
    roof_ceilings_t ceilings[DTYPE_COUNT];
    task_t *tasks; /* of all shards */
    int tasks_len;
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
    const device_kind_t kind = s->worker->device.info.kind;
    int count = 0;
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
                    if (tasks) tasks[count] = (task_t){&workloads[w], e, (dtype_t)d, variant};
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
    row_set_text(row->device, "%s", s->worker->device.id);
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
    row_set_text(row->launch, "%s", s->worker->device.ops->fixed_sequence ? "graph" : "stream");
    row_set_text(row->counter_source, "%s", s->counters->source);
    row_set_text(row->counter_status, "%s", counter_status_name(COUNTERS_OFF));
}

static void set_status(point_row_t *row, const char *status, const char *reason) {
    row_set_text(row->status, "%s", status);
    row_set_text(row->reason, "%s", reason);
}

/* Counting comes after all timing; what stands in its way is known before. */
static bool will_count(const sweep_t *s) {
    return s->counters->status == COUNTERS_OK && s->options->cache != CACHE_COLD;
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

/* What the ceilings and the counters to come make of a point that was timed. */
static void judge(const sweep_t *s, const task_t *task, point_row_t *row) {
    const device_info_t *info = &s->worker->device.info;
    const problem_t problem = task_problem(task);
    const variant_t *plan = point_plan(row, info->kind);
    point_fill_roof(&problem, plan, s->options->cache, info, &s->ceilings[task->dtype], row);
    if (!will_count(s)) counting_fill(s->counters, s->options->cache, NULL, row);
}

static double limit_s(const sweep_t *s, const task_t *task) {
    const problem_t problem = task_problem(task);
    const structure_t *structure = structure_find(task->variant->structure);
    if (s->options->limit_s > 0) return s->options->limit_s;
    return point_limit_s(&problem, structure, &s->ceilings[task->dtype], s->worker->budget_s);
}

/* Measures and files one task. A failure that concerns this point alone becomes its row. */
static status_t do_task(sweep_t *s, const task_t *task, point_row_t *row) {
    const double *samples;
    int samples_len;
    status_t st = worker_ready(s->worker);
    if (st != STATUS_OK) return st;
    st = worker_time(s->worker, limit_s(s, task), row, &samples, &samples_len);
    if (st == STATUS_INTERRUPTED) return st; /* not filed; resuming measures it */
    if (st == STATUS_OOM)
        set_status(row, "oom", last_error());
    else if (st == STATUS_UNSUPPORTED)
        set_status(row, "unsupported", last_error());
    else if (st != STATUS_OK)
        set_status(row, "error", last_error());
    else if (!strcmp(row->status, "ok"))
        judge(s, task, row);
    count_status(s->counts, row->status);
    s->counts->disturbed += disturbed(row->throttle);
    if (row->tuning_s > 0) s->counts->tuned++;
    if (row->tuning_s > 0) s->counts->tuning_s += row->tuning_s;
    return run_add_point(s->run, row, samples, samples_len);
}

static void add_ceiling(void *ctx, const ceiling_t *ceiling) {
    sweep_t *s = ctx;
    for (int d = 0; d < DTYPE_COUNT; d++)
        roof_ceilings_add(&s->ceilings[d], ceiling, dtype_name((dtype_t)d));
}

/* ---- shards ---- */

static bool in_shard(const sweep_t *s, int task) {
    return task % s->options->shard.count == s->options->shard.index;
}

static int count_own(const sweep_t *s) {
    const shard_t *shard = &s->options->shard;
    return s->tasks_len / shard->count + (s->tasks_len % shard->count > shard->index);
}

/* A row of sweep.csv: which point, and whose. */
static void describe_planned(void *ctx, int i, point_row_t *row) {
    const sweep_t *s = ctx;
    describe(s, &s->tasks[i], row);
    row->run_id[0] = row->device[0] = row->launch[0] = '\0';
    row->counter_source[0] = row->counter_status[0] = '\0';
    set_status(row, "planned", "");
    row_set_text(row->reason, "shard %d/%d", i % s->options->shard.count, s->options->shard.count);
}

/* So that shards can be joined, each says what all of them together are to measure. */
static status_t file_plan(sweep_t *s) {
    if (s->options->shard.count == 1) return STATUS_OK;
    const status_t st = run_file_plan(s->run, s->tasks_len, describe_planned, s);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < s->tasks_len; i++) {
        point_row_t row;
        if (in_shard(s, i)) continue;
        describe(s, &s->tasks[i], &row);
        if (run_has_point(s->run, &row))
            return fail(STATUS_USAGE, "%s holds points of shard %d/%d: use another -o",
                        s->run->path, i % s->options->shard.count, s->options->shard.count);
    }
    return STATUS_OK;
}

static status_t run_tasks(sweep_t *s) {
    status_t st = STATUS_OK;
    progress_t progress = progress_begin(count_own(s));
    for (int i = 0; i < s->tasks_len && st == STATUS_OK; i++) {
        point_row_t row;
        char what[TEXT_LEN];
        if (!in_shard(s, i)) continue;
        describe(s, &s->tasks[i], &row);
        if (run_has_point(s->run, &row)) {
            s->counts->skipped++;
            progress.total--;
            continue;
        }
        row_set_text(what, "%s n=%.0f %s/%s", row.layer, row.tokens, row.structure, row.variant);
        progress_show(&progress, what);
        st = interrupted() ? STATUS_INTERRUPTED : do_task(s, &s->tasks[i], &row);
        progress.done++;
    }
    progress_clear(&progress);
    const sweep_counts_t *n = s->counts;
    s->counts->left =
        count_own(s) - n->ok - n->unsupported - n->mismatch - n->oom - n->error - n->skipped;
    return st == STATUS_INTERRUPTED ? fail(st, "interrupted") : st;
}

status_t sweep_run(run_t *run, worker_t *worker, const counters_t *counters,
                   const workload_t *workloads, int workloads_len, const sweep_options_t *options,
                   sweep_counts_t *counts) {
    sweep_t s = {
        .run = run, .worker = worker, .counters = counters, .options = options, .counts = counts};
    status_t st = STATUS_OK;
    const progress_t progress = progress_begin(1);
    *counts = (sweep_counts_t){0};
    for (int d = 0; d < DTYPE_COUNT; d++) s.ceilings[d] = roof_ceilings_none();
    s.tasks_len = list_tasks(&s, workloads, workloads_len, NULL);
    if (s.tasks_len == 0 || count_own(&s) == 0)
        return fail(STATUS_USAGE, "no point is left: the structures, variants and shard chosen "
                                  "select none of the workload");
    s.tasks = malloc((size_t)s.tasks_len * sizeof *s.tasks);
    if (!s.tasks) return fail(STATUS_OOM, "out of host memory for %d points", s.tasks_len);
    list_tasks(&s, workloads, workloads_len, s.tasks);
    progress_show(&progress, "ceilings of the device");
    TRY(run_ceilings(run, &worker->device, add_ceiling, &s));
    progress_clear(&progress);
    device_state_t state;
    TRY(worker->device.ops->state(&worker->device, &state));
    counts->ceilings_disturbed = disturbed(state.throttle);
    TRY(run_open_points(run));
    TRY(file_plan(&s));
    TRY(run_tasks(&s));
    if (will_count(&s))
        st = counting_rows(run, worker, options->counting, s.ceilings, options->limit_s);
cleanup:
    free(s.tasks);
    return st;
}
