#include "harness/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/list.h"
#include "harness/point.h"
#include "harness/progress.h"
#include "harness/queue.h"
#include "harness/registry.h"
#include "harness/tuning.h"
#include "results/csv_table.h"
#include "results/throttle.h"

typedef struct {
    const workload_t *workload;
    int entry;
    dtype_t dtype;
    const variant_t *variant;
} task_t;

/* What a worker is at. */
typedef struct {
    const task_t *task;
    point_row_t row;
    bool gone; /* it cannot be started any more */
} hand_over_t;

typedef struct {
    run_t *run;
    pool_t *pool;
    const counters_t *counters; /* how they will open, after all timing */
    const sweep_options_t *options;
    sweep_counts_t *counts;
    device_ceilings_t *ceilings; /* of each worker */
    hand_over_t *hands;          /* of each worker */
    task_t *tasks;               /* of all shards */
    int tasks_len;
    int *own; /* those of this shard */
    int own_len;
    progress_t progress;
    status_t lost; /* why a worker is gone */
    char why[512];
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
    const device_kind_t kind = s->pool->device->info.kind;
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

static void describe(const sweep_t *s, const task_t *task, const device_t *device,
                     point_row_t *row) {
    const problem_t p = task_problem(task);
    row_clear(&POINTS_TABLE, row);
    row_set_text(row->run_id, "%s", s->run->run_id);
    row_set_text(row->device, "%s", device->id);
    row_set_text(row->gpu_uuid, "%s", device->uuid);
    row_set_text(row->workload, "%s", task->workload->name);
    row_set_text(row->layer, "%s", task->workload->entries[task->entry].layer);
    row_set_text(row->structure, "%s", task->variant->structure);
    row_set_text(row->variant, "%s", task->variant->name);
    row_set_text(row->dtype, "%s", dtype_name(p.dtype));
    row_set_text(row->matrix_dtype, "%s",
                 task->variant->matrix_dtype ? task->variant->matrix_dtype : row->dtype);
    row->tokens = (double)p.tokens;
    row->in_features = (double)p.in_features;
    row->out_features = (double)p.out_features;
    if (p.blocks > 0) row->blocks = (double)p.blocks;
    if (p.rank > 0) row->rank = (double)p.rank;
    ROW_SET_ATTENTION(row, &p);
    row_set_text(row->cache, "%s", cache_name(s->options->cache));
    row_set_text(row->launch, "%s", device->ops->fixed_sequence ? "graph" : "stream");
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

static void count_status(sweep_counts_t *counts, const char *status) {
    if (!strcmp(status, "ok")) counts->ok++;
    if (!strcmp(status, "unsupported")) counts->unsupported++;
    if (!strcmp(status, "mismatch")) counts->mismatch++;
    if (!strcmp(status, "oom")) counts->oom++;
    if (!strcmp(status, "error")) counts->error++;
}

/* What the ceilings and the counters to come make of a point that was timed. */
static void judge(const sweep_t *s, int worker, const task_t *task, point_row_t *row) {
    const device_info_t *info = &s->pool->workers[worker].device.info;
    const problem_t problem = task_problem(task);
    const variant_t *plan = point_plan(row, info->kind);
    point_fill_roof(&problem, plan, s->options->cache, info, ceilings_of(&s->ceilings[worker], row),
                    row);
    if (!will_count(s)) counting_fill(s->counters, s->options->cache, NULL, row);
}

static double limit_s(const sweep_t *s, int worker, const task_t *task) {
    const problem_t problem = task_problem(task);
    const structure_t *structure = structure_find(task->variant->structure);
    if (s->options->limit_s > 0) return s->options->limit_s;
    return point_limit_s(&problem, structure, &s->ceilings[worker].of[task->dtype],
                         s->pool->workers[worker].budget_s);
}

/* Files what a worker made of its point. A failure that concerns this point alone is its row. */
static status_t finish(sweep_t *s, int worker, status_t st) {
    const worker_t *w = &s->pool->workers[worker];
    point_row_t *row = &s->hands[worker].row;
    const double *samples = NULL;
    worker_take_row(w, row);
    const int samples_len = st == STATUS_OK ? worker_samples(w, &samples) : 0;
    if (st == STATUS_OOM)
        set_status(row, "oom", last_error());
    else if (st == STATUS_UNSUPPORTED)
        set_status(row, "unsupported", last_error());
    else if (st != STATUS_OK)
        set_status(row, "error", last_error());
    else if (!strcmp(row->status, "ok"))
        judge(s, worker, s->hands[worker].task, row);
    count_status(s->counts, row->status);
    s->counts->disturbed += throttle_disturbs(row->throttle);
    s->counts->remeasured += row->remeasured > 0;
    if (row->tuning_s > 0) s->counts->tuned++;
    if (row->tuning_s > 0) s->counts->tuning_s += row->tuning_s;
    s->progress.done++;
    return run_add_point(s->run, row, samples, samples_len);
}

static void add_ceiling(void *ctx, const ceiling_t *ceiling) {
    sweep_t *s = ctx;
    const int worker = s->pool->len == 1 ? 0 : pool_find(s->pool, ceiling->device);
    for (int d = 0; d < MATRIX_DTYPES && worker >= 0; d++)
        roof_ceilings_add(&s->ceilings[worker].of[d], ceiling, matrix_dtype_name(d));
}

/* ---- shards ---- */

static bool in_shard(const sweep_t *s, int task) {
    return task % s->options->shard.count == s->options->shard.index;
}

/* A row of sweep.csv: which point, and whose. */
static void describe_planned(void *ctx, int i, point_row_t *row) {
    const sweep_t *s = ctx;
    describe(s, &s->tasks[i], s->pool->device, row);
    row->run_id[0] = row->device[0] = row->gpu_uuid[0] = row->launch[0] = '\0';
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
        describe(s, &s->tasks[i], s->pool->device, &row);
        if (run_has_point(s->run, &row))
            return fail(STATUS_USAGE, "%s holds points of shard %d/%d: use another -o",
                        s->run->path, i % s->options->shard.count, s->options->shard.count);
    }
    return STATUS_OK;
}

/* ---- all points ---- */

static int compare_sizes(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

/* By what a point shares with the dense one that it is compared with. */
static int compare_shapes(void *ctx, int a, int b) {
    const sweep_t *s = ctx;
    const task_t *x = &s->tasks[s->own[a]], *y = &s->tasks[s->own[b]];
    const workload_entry_t *p = &x->workload->entries[x->entry];
    const workload_entry_t *q = &y->workload->entries[y->entry];
    int order = strcmp(x->workload->name, y->workload->name);
    if (order == 0) order = strcmp(p->layer, q->layer);
    if (order == 0) order = (int)x->dtype - (int)y->dtype;
    if (order == 0) order = compare_sizes(p->problem.tokens, q->problem.tokens);
    if (order == 0) order = compare_sizes(p->problem.in_features, q->problem.in_features);
    return order ? order : compare_sizes(p->problem.out_features, q->problem.out_features);
}

/* A shape that was begun goes on where it was. */
static void claim_measured(const sweep_t *s, queue_t *queue) {
    for (int i = 0; i < s->own_len && s->pool->len > 1 && !s->pool->pin_point; i++) {
        point_row_t row;
        describe(s, &s->tasks[s->own[i]], s->pool->device, &row);
        const char *device = run_point_device(s->run, &row);
        const int worker = device ? pool_find(s->pool, device) : -1;
        if (worker >= 0) queue_claim(queue, i, worker);
    }
}

/* The next point of a worker that the run does not hold yet; false if there is none. */
static bool next_point(sweep_t *s, queue_t *queue, int worker) {
    hand_over_t *hand = &s->hands[worker];
    for (int i; (i = queue_next(queue, worker)) >= 0;) {
        hand->task = &s->tasks[s->own[i]];
        describe(s, hand->task, &s->pool->workers[worker].device, &hand->row);
        if (!run_has_point(s->run, &hand->row)) return true;
        s->counts->skipped++;
        s->progress.total--;
    }
    return false;
}

/* A worker that cannot be started leaves its points, and the others go on. */
static status_t lose(sweep_t *s, int worker, status_t st) {
    s->hands[worker].gone = true;
    if (st == STATUS_INTERRUPTED) return st;
    s->lost = st;
    snprintf(s->why, sizeof s->why, "%s", last_error());
    if (s->pool->len > 1)
        fprintf(stderr, "warning: %s is left out: %s\n", s->pool->workers[worker].device.id,
                s->why);
    return STATUS_OK;
}

static status_t give_points(sweep_t *s, queue_t *queue, int *busy) {
    *busy = 0;
    for (int i = 0; i < s->pool->len; i++) {
        worker_t *w = &s->pool->workers[i];
        hand_over_t *hand = &s->hands[i];
        char what[TEXT_LEN];
        *busy += w->busy;
        if (w->busy || hand->gone || !next_point(s, queue, i)) continue;
        status_t st = worker_ready(w);
        if (st != STATUS_OK) st = lose(s, i, st);
        if (st != STATUS_OK) return st;
        if (hand->gone) continue;
        row_set_text(what, "%s n=%.0f %s/%s", hand->row.layer, hand->row.tokens,
                     hand->row.structure, hand->row.variant);
        progress_show(&s->progress, what);
        worker_begin_time(w, limit_s(s, i, hand->task), &hand->row);
        ++*busy;
    }
    return STATUS_OK;
}

static status_t run_queue(sweep_t *s, queue_t *queue) {
    for (int busy, which;;) {
        status_t st = interrupted() ? STATUS_INTERRUPTED : give_points(s, queue, &busy);
        if (st != STATUS_OK || busy == 0) return st;
        st = worker_await(s->pool->workers, s->pool->len, &which);
        if (which < 0) return st; /* not filed; resuming measures them */
        st = finish(s, which, st);
        if (st != STATUS_OK) return st;
    }
}

static status_t run_tasks(sweep_t *s) {
    queue_t queue;
    const int rows = s->own_len * (s->pool->pin_point ? s->pool->len : 1);
    status_t st =
        queue_open(s->own_len, s->pool->len, s->pool->pin_point, compare_shapes, s, &queue);
    if (st != STATUS_OK) return st;
    s->progress = progress_begin(rows);
    claim_measured(s, &queue);
    st = run_queue(s, &queue);
    progress_clear(&s->progress);
    queue_close(&queue);
    const sweep_counts_t *n = s->counts;
    s->counts->left = rows - n->ok - n->unsupported - n->mismatch - n->oom - n->error - n->skipped;
    if (st == STATUS_OK && s->lost != STATUS_OK) return fail(s->lost, "%s", s->why);
    /* A workload that names a point twice has fewer than it promised. */
    if (st == STATUS_OK) return run_note_points(s->run, run_count_points(s->run));
    return st == STATUS_INTERRUPTED ? fail(st, "interrupted") : st;
}

/* So many points has the run when this sweep is at its end. */
static status_t note_points(sweep_t *s) {
    const int devices = s->pool->pin_point ? s->pool->len : 1;
    int points = run_count_points(s->run);
    for (int i = 0; i < s->own_len; i++)
        for (int d = 0; d < devices; d++) {
            point_row_t row;
            describe(s, &s->tasks[s->own[i]], &s->pool->workers[d].device, &row);
            points += !run_has_point(s->run, &row);
        }
    return run_note_points(s->run, points);
}

static status_t choose_tasks(sweep_t *s, const workload_t *workloads, int workloads_len) {
    s->tasks_len = list_tasks(s, workloads, workloads_len, NULL);
    s->tasks = malloc((size_t)(s->tasks_len + 1) * sizeof *s->tasks);
    s->own = malloc((size_t)(s->tasks_len + 1) * sizeof *s->own);
    if (!s->tasks || !s->own)
        return fail(STATUS_OOM, "out of host memory for %d points", s->tasks_len);
    list_tasks(s, workloads, workloads_len, s->tasks);
    for (int i = 0; i < s->tasks_len; i++)
        if (in_shard(s, i)) s->own[s->own_len++] = i;
    if (s->own_len > 0) return STATUS_OK;
    return fail(STATUS_USAGE, "no point is left: the structures, variants and shard chosen select "
                              "none of the workload");
}

static status_t measure_ceilings(sweep_t *s) {
    const progress_t progress = progress_begin(1);
    device_t *device = s->pool->device;
    device_state_t state;
    s->ceilings = malloc((size_t)s->pool->len * sizeof *s->ceilings);
    if (!s->ceilings) return fail(STATUS_OOM, "out of host memory for ceilings");
    for (int i = 0; i < s->pool->len; i++)
        for (int d = 0; d < MATRIX_DTYPES; d++) s->ceilings[i].of[d] = roof_ceilings_none();
    progress_show(&progress, "ceilings of the device");
    status_t st = run_ceilings(s->run, device, add_ceiling, s);
    progress_clear(&progress);
    if (st == STATUS_OK) st = device->ops->state(device, &state);
    if (st == STATUS_OK) s->counts->ceilings_disturbed = throttle_disturbs(state.throttle);
    return st;
}

status_t sweep_run(run_t *run, pool_t *pool, const counters_t *counters,
                   const workload_t *workloads, int workloads_len, const sweep_options_t *options,
                   sweep_counts_t *counts) {
    sweep_t s = {
        .run = run, .pool = pool, .counters = counters, .options = options, .counts = counts};
    status_t st = STATUS_OK;
    *counts = (sweep_counts_t){0};
    s.hands = calloc((size_t)pool->len, sizeof *s.hands);
    if (!s.hands) return fail(STATUS_OOM, "out of host memory for workers");
    TRY(choose_tasks(&s, workloads, workloads_len));
    TRY(measure_ceilings(&s));
    TRY(run_open_points(run));
    TRY(file_plan(&s));
    TRY(note_points(&s));
    TRY(run_tasks(&s));
    if (will_count(&s))
        st = counting_rows(run, pool, options->counting, s.ceilings, options->limit_s);
cleanup:
    free(s.tasks);
    free(s.own);
    free(s.ceilings);
    free(s.hands);
    return st;
}
