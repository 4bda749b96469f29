#include "harness/tuning.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/point.h"
#include "harness/version.h"
#include "results/csv_table.h"

static const double LOOK_S = 0.02, PLAN_BUDGET_S = 0.1, TUNING_S = 1.8;
static const double NEAR = 1.25, TIE = 1.01; /* times the fastest */

static int compare_choices(const void *a, const void *b) {
    const plan_row_t *x = a, *y = b;
    int order = strcmp(x->structure, y->structure);
    if (order == 0) order = strcmp(x->variant, y->variant);
    if (order == 0) order = strcmp(x->dtype, y->dtype);
    if (order == 0) order = strcmp(x->cache, y->cache);
    const double by[][2] = {{x->tokens, y->tokens},
                            {x->in_features, y->in_features},
                            {x->out_features, y->out_features},
                            {x->blocks, y->blocks},
                            {x->rank, y->rank},
                            {x->batch, y->batch},
                            {x->heads, y->heads},
                            {x->kv_heads, y->kv_heads},
                            {x->context, y->context},
                            {x->causal, y->causal}};
    for (size_t i = 0; order == 0 && i < sizeof by / sizeof *by; i++)
        order = (by[i][0] > by[i][1]) - (by[i][0] < by[i][1]);
    return order;
}

/* The last choice of a shape counts. */
static status_t remember(void *ctx, const void *data, int line) {
    (void)line;
    tuning_t *t = ctx;
    const plan_row_t *row = data;
    if (strcmp(row->device_name, t->device_name) || (t->build && strcmp(row->build, t->build)))
        return STATUS_OK;
    plan_row_t *const *known = tfind(row, &t->known, compare_choices);
    if (known) {
        **known = *row;
        return STATUS_OK;
    }
    plan_row_t *copy = malloc(sizeof *copy);
    if (copy) *copy = *row;
    if (copy && tsearch(copy, &t->known, compare_choices)) return STATUS_OK;
    free(copy);
    return fail(STATUS_OOM, "out of host memory for the choices of plans");
}

const char *tuning_build(void) {
    return strcmp(VERSION_DIRTY, "no") ? NULL : VERSION_GIT;
}

/* Makes the folder; false if there is no place for the file. */
static bool find_path(char path[1024]) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char folder[960];
    if (cache && *cache)
        snprintf(folder, sizeof folder, "%s", cache);
    else if (home && *home)
        snprintf(folder, sizeof folder, "%s/.cache", home);
    else
        return false;
    mkdir(folder, 0777);
    strncat(folder, "/blroof", sizeof folder - strlen(folder) - 1);
    if (mkdir(folder, 0777) != 0 && errno != EEXIST) return false;
    return snprintf(path, 1024, "%s/%s", folder, PLANS_TABLE.file) < 1024;
}

void tuning_close(tuning_t *t) {
    while (t->known) {
        plan_row_t *row = *(plan_row_t **)t->known;
        tdelete(row, &t->known, compare_choices);
        free(row);
    }
}

void tuning_open(tuning_t *t, const device_t *device, const char *build) {
    *t = (tuning_t){.device_name = device->name, .build = build};
    if (!build || !find_path(t->path)) {
        t->path[0] = '\0';
        return;
    }
    if (access(t->path, F_OK) != 0) return;
    if (table_read(&PLANS_TABLE, t->path, true, remember, t) == STATUS_OK) return;
    fprintf(stderr, "warning: %s: plans are chosen anew\n", last_error());
    tuning_close(t);
    unlink(t->path);
}

/* A choice that cannot be kept is made again next time, so that is no error. */
static void keep(const tuning_t *t, const plan_row_t *row) {
    if (!t->path[0]) return;
    FILE *file = fopen(t->path, "a");
    if (!file) return;
    struct stat info;
    status_t st = STATUS_OK;
    flock(fileno(file), LOCK_EX); /* shards of one sweep begin the file at the same moment */
    if (fstat(fileno(file), &info) == 0 && info.st_size == 0)
        st = table_write_header(&PLANS_TABLE, file, t->path);
    if (st == STATUS_OK) table_write_row(&PLANS_TABLE, file, t->path, row);
    fclose(file);
}

static void describe(const tuning_t *t, const case_t *c, const variant_t *variant, cache_t cache,
                     plan_row_t *row) {
    const problem_t *p = &c->problem;
    row_clear(&PLANS_TABLE, row);
    row_set_text(row->build, "%s", t->build ? t->build : "");
    row_set_text(row->device_name, "%s", t->device_name);
    row_set_text(row->structure, "%s", variant->structure);
    row_set_text(row->variant, "%s", variant->name);
    row_set_text(row->dtype, "%s", dtype_name(p->dtype));
    row_set_text(row->cache, "%s", cache_name(cache));
    row->tokens = (double)p->tokens;
    row->in_features = (double)p->in_features;
    row->out_features = (double)p->out_features;
    row->blocks = (double)p->blocks;
    row->rank = (double)p->rank;
    ROW_SET_ATTENTION(row, p);
}

static const variant_t *plan_named(const char *name, const variant_t *const *plans, int count) {
    for (int i = 0; i < count; i++)
        if (!strcmp(plans[i]->name, name)) return plans[i];
    return NULL;
}

static double list_min(const double *values, int count) {
    double least = INFINITY;
    for (int i = 0; i < count; i++) least = fmin(least, values[i]);
    return least;
}

typedef struct {
    const case_t *c;
    device_t *device;
    cache_t cache;
    const variant_t *const *plans;
    int count;
    double start_s;
} search_t;

/* *time_us stays as it is where the plan's memory cannot be had. */
static status_t time_plan(const search_t *s, const variant_t *plan, double budget_s,
                          double *time_us) {
    binding_t binding = {0};
    timing_t timing = {0};
    status_t st = STATUS_OK;
    TRY(binding_open(s->c, plan, s->device, point_rotate_bytes(&s->device->info, s->cache),
                     &binding));
    TRY(s->device->ops->run(s->device, binding_launch, &binding, 0));
    TRY(timing_run(s->device, binding_launch, &binding, binding.sets, s->cache, budget_s, &timing));
    *time_us = timing.summary.median;
cleanup:
    timing_free(&timing);
    binding_close(&binding);
    return st == STATUS_OOM ? STATUS_OK : st;
}

/* Times the plans that are near the fastest in time_us[], or as many as there is time for. */
static status_t time_near(const search_t *s, double budget_s, double *time_us) {
    const double near_us = NEAR * list_min(time_us, s->count);
    double plan_s = 0; /* the longest so far */
    for (int i = 0; i < s->count && !interrupted(); i++) {
        const double begin_s = now_s();
        if (!(time_us[i] <= near_us)) {
            time_us[i] = INFINITY;
            continue;
        }
        if (begin_s - s->start_s + plan_s > TUNING_S) continue;
        const status_t st = time_plan(s, s->plans[i], budget_s, time_us + i);
        if (st != STATUS_OK) return st;
        plan_s = fmax(plan_s, now_s() - begin_s);
    }
    return STATUS_OK;
}

/* A short look at each plan, a longer one at those that may be the fastest. *out is NULL if no plan
 * could be timed. */
static status_t find_fastest(const search_t *s, const variant_t **out, double *best_us) {
    double time_us[MAX_PLANS];
    for (int i = 0; i < s->count; i++) time_us[i] = INFINITY;
    status_t st = time_near(s, LOOK_S, time_us);
    if (st == STATUS_OK) st = time_near(s, PLAN_BUDGET_S, time_us);
    const double tie_us = TIE * list_min(time_us, s->count);
    *out = NULL;
    for (int i = 0; i < s->count && !*out && st == STATUS_OK; i++) {
        if (!isfinite(time_us[i]) || time_us[i] > tie_us) continue;
        *out = s->plans[i];
        *best_us = time_us[i];
    }
    return st;
}

status_t tuning_choose(tuning_t *t, const case_t *c, const variant_t *variant, device_t *device,
                       cache_t cache, const variant_t *const *plans, int count,
                       const variant_t **out, double *seconds) {
    plan_row_t row;
    *out = plans[0];
    *seconds = NAN;
    if (count == 1) return STATUS_OK;
    describe(t, c, variant, cache, &row);
    plan_row_t *const *known = tfind(&row, &t->known, compare_choices);
    const variant_t *plan = known ? plan_named((*known)->plan, plans, count) : NULL;
    *seconds = 0;
    if (plan) {
        *out = plan;
        return STATUS_OK;
    }
    const search_t search = {c, device, cache, plans, count, now_s()};
    const status_t st = find_fastest(&search, &plan, &row.time_us);
    *seconds = now_s() - search.start_s;
    if (st != STATUS_OK || !plan || interrupted()) return st;
    *out = plan;
    row_set_text(row.plan, "%s", plan->name);
    keep(t, &row);
    return remember(t, &row, 0);
}
