#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "results/comparison.h"
#include "results/csv_table.h"

enum { PATH_LEN = 1280, KEY_LEN = 2048 };

/*
 * Facts of run.csv that times depend on beside the code. One that only one side knows is a
 * difference too: the same program on the same machine knows the same.
 */
static const struct {
    const char *key, *name;
} CONDITIONS[] = {
    {"device_name", "device"},
    {"gpu_power_limit_w", "power limit in W"},
    {"driver", "driver"},
    {"cuda_runtime", "CUDA runtime"},
    {"cublaslt", "cuBLASLt"},
    {"gpu_ecc", "ECC"},
    {"gpu_mig", "MIG"},
    {"gpu_sms", "SMs"},
    {"gpu_sm_clock_max_mhz", "highest SM clock in MHz"},
    {"gpu_memory_clock_max_mhz", "highest memory clock in MHz"},
    {"cpu_threads", "CPU threads"},
    {"cpu_pinned", "pinning"},
    {"cpu_isa", "instruction set"},
    {"cpu_governor", "governor"},
    {"openblas", "OpenBLAS"},
    {"openblas_core", "OpenBLAS core"},
    {"openblas_parallel", "OpenBLAS threads"},
};

/* What rows depend on in the same way: each side's distinct values, "bf16,fp16". */
typedef enum { ROW_DTYPE, ROW_CACHE, ROW_LAUNCH, ROW_CONDITIONS } row_condition_t;
static const char *const ROW_CONDITION_NAMES[] = {"dtype", "cache", "launch"};

typedef struct {
    comparison_t *c;
    int side, process;
    char values[ROW_CONDITIONS][2][TEXT_LEN];
    bool by_device;                /* a run has a row of each point for each device */
    bool overlook[ROW_CONDITIONS]; /* differs and was forced: not part of a point's identity */
    sample_row_t sample;           /* the one before, and whose it was */
    measured_t *sampled;
} reader_t;

static status_t no_memory(void) {
    return fail(STATUS_OOM, "out of host memory for the comparison");
}

/* ---- texts and keys ---- */

/* A node of either tree. */
typedef struct {
    int point;
    char text[];
} entry_t;

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const entry_t *)a)->text, ((const entry_t *)b)->text);
}

/* The entry of this text, a new one with `point` if there was none; NULL without memory. */
static entry_t *enter(void **tree, const char *text, int point) {
    const size_t len = strlen(text) + 1;
    entry_t *entry = malloc(sizeof *entry + len);
    if (!entry) return NULL;
    entry->point = point;
    memcpy(entry->text, text, len);
    entry_t **found = tsearch(entry, tree, compare_entries);
    if (!found || *found != entry) free(entry);
    return found ? *found : NULL;
}

static const char *keep(comparison_t *c, const char *text, bool *complete) {
    const entry_t *entry = enter(&c->texts, text, 0);
    if (entry) return entry->text;
    *complete = false;
    return "";
}

/* What a point is known by on both sides. */
static void make_key(const reader_t *r, const point_row_t *row, char key[KEY_LEN]) {
    snprintf(key, KEY_LEN, "%s|%s|%s|%s|%s|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%s",
             row->workload, row->layer, row->structure, row->variant,
             r->overlook[ROW_DTYPE] ? "" : row->dtype, row->tokens, row->in_features,
             row->out_features, row->blocks, row->rank, row->batch, row->heads, row->kv_heads,
             row->context, row->causal, r->overlook[ROW_CACHE] ? "" : row->cache);
    const size_t len = strlen(key);
    if (r->by_device) snprintf(key + len, KEY_LEN - len, "|%s", row->device);
}

/* ---- points.csv ---- */

static status_t add_point(const reader_t *r, const point_row_t *row) {
    comparison_t *c = r->c;
    char layer[2 * TEXT_LEN + 8];
    if ((c->points_len & (c->points_len - 1)) == 0) { /* grows at powers of two */
        const size_t room = c->points_len ? 2 * (size_t)c->points_len : 1;
        compared_t *grown = realloc(c->points, room * sizeof *grown);
        if (!grown) return no_memory();
        c->points = grown;
    }
    bool complete = true;
    snprintf(layer, sizeof layer, "%s%s%s", row->layer, r->by_device ? " on " : "",
             r->by_device ? row->device : "");
    compared_t *p = &c->points[c->points_len];
    *p = (compared_t){.workload = keep(c, row->workload, &complete),
                      .layer = keep(c, layer, &complete),
                      .structure = keep(c, row->structure, &complete),
                      .variant = keep(c, row->variant, &complete),
                      .dtype = keep(c, row->dtype, &complete),
                      .cache = keep(c, row->cache, &complete),
                      .tokens = row->tokens,
                      .in_features = row->in_features,
                      .out_features = row->out_features,
                      .blocks = row->blocks,
                      .rank = row->rank};
    for (int side = 0; side < 2; side++) {
        p->of[side] = calloc((size_t)c->sides[side].len, sizeof *p->of[side]);
        complete = complete && p->of[side];
    }
    c->points_len++;
    return complete ? STATUS_OK : no_memory();
}

/* A later row of the same point takes the place of an earlier one. */
static status_t visit_point(void *ctx, const void *data, int line) {
    (void)line;
    reader_t *r = ctx;
    const point_row_t *row = data;
    char key[KEY_LEN];
    make_key(r, row, key);
    const entry_t *entry = enter(&r->c->keys, key, r->c->points_len);
    if (!entry) return no_memory();
    if (entry->point == r->c->points_len) {
        const status_t st = add_point(r, row);
        if (st != STATUS_OK) return st;
    }
    bool complete = true;
    r->c->points[entry->point].of[r->side][r->process] =
        (measured_t){.status = keep(r->c, row->status, &complete),
                     .reason = keep(r->c, row->reason, &complete),
                     .plan = keep(r->c, row->plan, &complete),
                     .throttle = keep(r->c, row->throttle, &complete),
                     .gpu = keep(r->c, row->gpu_uuid, &complete),
                     .time_us = row->time_us,
                     .ci_low_us = row->time_ci_low_us,
                     .ci_high_us = row->time_ci_high_us,
                     .sm_clock_mhz = row->sm_clock_mhz,
#define EXACT_VALUE(column, rule, text) .exact[QUANTITY_##column] = row->column,
                     EXACT_QUANTITIES(EXACT_VALUE)
#undef EXACT_VALUE
        };
    return complete ? STATUS_OK : no_memory();
}

/* ---- samples.csv ---- */

static bool same_number(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static bool same_point(const sample_row_t *a, const sample_row_t *b) {
    return a->tokens == b->tokens && !strcmp(a->variant, b->variant) &&
           !strcmp(a->layer, b->layer) && !strcmp(a->structure, b->structure) &&
           !strcmp(a->workload, b->workload) && !strcmp(a->dtype, b->dtype) &&
           !strcmp(a->cache, b->cache) && a->in_features == b->in_features &&
           a->out_features == b->out_features && same_number(a->blocks, b->blocks) &&
           same_number(a->rank, b->rank) && !strcmp(a->device, b->device);
}

/* Whose sample this is; NULL if no row of this process is its point's. */
static measured_t *sampled(const reader_t *r, const sample_row_t *sample) {
    point_row_t row;
    char key[KEY_LEN];
    row_clear(&POINTS_TABLE, &row);
    memcpy(row.workload, sample->workload, TEXT_LEN);
    memcpy(row.layer, sample->layer, TEXT_LEN);
    memcpy(row.structure, sample->structure, TEXT_LEN);
    memcpy(row.variant, sample->variant, TEXT_LEN);
    memcpy(row.dtype, sample->dtype, TEXT_LEN);
    memcpy(row.cache, sample->cache, TEXT_LEN);
    memcpy(row.device, sample->device, TEXT_LEN);
    row.tokens = sample->tokens;
    row.in_features = sample->in_features;
    row.out_features = sample->out_features;
    row.blocks = sample->blocks;
    row.rank = sample->rank;
    make_key(r, &row, key);
    entry_t *wanted = malloc(sizeof *wanted + KEY_LEN);
    if (!wanted) return NULL;
    snprintf(wanted->text, KEY_LEN, "%s", key);
    entry_t *const *found = tfind(wanted, (void *const *)&r->c->keys, compare_entries);
    free(wanted);
    measured_t *m = found ? &r->c->points[(*found)->point].of[r->side][r->process] : NULL;
    return m && m->status ? m : NULL;
}

static status_t visit_sample(void *ctx, const void *data, int line) {
    (void)line;
    reader_t *r = ctx;
    const sample_row_t *row = data;
    if (!*r->sample.structure || !same_point(&r->sample, row)) r->sampled = sampled(r, row);
    r->sample = *row;
    measured_t *m = r->sampled;
    if (!m || !(row->time_us > 0)) return STATUS_OK;
    if (row->sample == 0) m->samples_len = 0; /* measured anew */
    if ((m->samples_len & (m->samples_len - 1)) == 0) {
        const size_t room = m->samples_len ? 2 * (size_t)m->samples_len : 1;
        double *grown = realloc(m->samples, room * sizeof *grown);
        if (!grown) return no_memory();
        m->samples = grown;
    }
    m->samples[m->samples_len++] = row->time_us;
    return STATUS_OK;
}

/* ---- run.csv, and what the rows depend on ---- */

static status_t visit_fact(void *ctx, const void *row, int line) {
    (void)line;
    process_t *p = ctx;
    run_row_t *grown = realloc(p->facts, ((size_t)p->facts_len + 1) * sizeof *grown);
    if (!grown) return no_memory();
    p->facts = grown;
    p->facts[p->facts_len++] = *(const run_row_t *)row;
    return STATUS_OK;
}

static const char *process_fact(const process_t *p, const char *key) {
    for (int i = 0; i < p->facts_len; i++)
        if (!strcmp(p->facts[i].key, key)) return p->facts[i].value;
    return "";
}

const char *side_fact(const side_t *side, const char *key) {
    return process_fact(&side->processes[0], key);
}

/* True if the comma-separated list has the value. */
static bool has_value(const char *list, const char *value, size_t len) {
    for (const char *at = list; *at; at += strcspn(at, ",")) {
        at += *at == ',';
        if (strcspn(at, ",") == len && !strncmp(at, value, len)) return true;
    }
    return false;
}

static status_t survey_row(void *ctx, const void *data, int line) {
    (void)line;
    reader_t *r = ctx;
    const point_row_t *row = data;
    const char *const values[ROW_CONDITIONS] = {row->dtype, row->cache, row->launch};
    for (int i = 0; i < ROW_CONDITIONS; i++) {
        char *list = r->values[i][r->side];
        const size_t used = strlen(list);
        if (!*values[i] || has_value(list, values[i], strlen(values[i]))) continue;
        snprintf(list + used, TEXT_LEN - used, "%s%s", used ? "," : "", values[i]);
    }
    return STATUS_OK;
}

/* ---- differences ---- */

static void add_difference(comparison_t *c, const char *name, const char *base, const char *new) {
    if (c->differences_len == MAX_DIFFERENCES) return;
    difference_t *d = &c->differences[c->differences_len++];
    d->name = name;
    snprintf(d->of[0], TEXT_LEN, "%s", *base ? base : "unknown");
    snprintf(d->of[1], TEXT_LEN, "%s", *new ? new : "unknown");
}

static void compare_machines(comparison_t *c) {
    const process_t *first = &c->sides[0].processes[0];
    for (size_t i = 0; i < sizeof CONDITIONS / sizeof *CONDITIONS; i++) {
        const char *expected = process_fact(first, CONDITIONS[i].key), *other = expected;
        for (int side = 0; side < 2; side++)
            for (int k = 0; k < c->sides[side].len && !strcmp(other, expected); k++)
                other = process_fact(&c->sides[side].processes[k], CONDITIONS[i].key);
        /* Which machine it was must be known. Another one has other facts, too. */
        const bool device = i == 0, another = c->differences_len > 0 && !(*expected && *other);
        if (strcmp(other, expected) ? !another : device && !*expected)
            add_difference(c, CONDITIONS[i].name, expected, other);
    }
}

static bool share_value(const char *a, const char *b) {
    for (const char *at = a; *at; at += strcspn(at, ",")) {
        at += *at == ',';
        if (has_value(b, at, strcspn(at, ","))) return true;
    }
    return !*a || !*b;
}

static void compare_rows(reader_t *r) {
    for (int i = 0; i < ROW_CONDITIONS; i++) {
        const char *base = r->values[i][0], *new = r->values[i][1];
        if (share_value(base, new)) continue;
        add_difference(r->c, ROW_CONDITION_NAMES[i], base, new);
        r->overlook[i] = !strchr(base, ',') && !strchr(new, ',');
    }
}

static status_t refuse(const comparison_t *c) {
    char text[800] = "";
    for (int i = 0; i < c->differences_len; i++) {
        const difference_t *d = &c->differences[i];
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s: %s and %s", used ? "; " : "", d->name,
                 d->of[0], d->of[1]);
    }
    return fail(STATUS_ENVIRONMENT,
                "BASE and NEW differ in more than code (--force compares and "
                "says so): %s",
                text);
}

/* ---- sides ---- */

static status_t add_process(side_t *side, const char *path) {
    process_t *grown = realloc(side->processes, ((size_t)side->len + 1) * sizeof *grown);
    if (!grown) return no_memory();
    side->processes = grown;
    process_t *p = &side->processes[side->len];
    *p = (process_t){0};
    if (snprintf(p->path, sizeof p->path, "%s", path) >= (int)sizeof p->path)
        return fail(STATUS_USAGE, "the path of a run directory is too long: %s", path);
    side->len++;
    return STATUS_OK;
}

static bool holds_run(const char *path) {
    char file[PATH_LEN + 16];
    snprintf(file, sizeof file, "%s/%s", path, POINTS_TABLE.file);
    return access(file, F_OK) == 0;
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* The run itself, or the runs below it in the order of their names (2 before 10). */
static status_t find_processes(const char *path, side_t *side) {
    status_t st = STATUS_OK;
    side->path = path;
    if (holds_run(path)) return add_process(side, path);
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, visible, versionsort);
    if (count < 0) return fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        char below[PATH_LEN];
        const int len = snprintf(below, sizeof below, "%s/%s", path, entries[i]->d_name);
        if (st == STATUS_OK && len < (int)sizeof below && holds_run(below))
            st = add_process(side, below);
        free(entries[i]);
    }
    free(entries);
    if (st == STATUS_OK && side->len == 0)
        st = fail(STATUS_USAGE, "%s holds no run: there is no %s in it, nor in a directory below",
                  path, POINTS_TABLE.file);
    return st;
}

/* A table of each process of both sides; one that may be missing if not `required`. */
static status_t read_all(reader_t *r, const table_t *table, bool required, row_visit_t visit) {
    for (r->side = 0; r->side < 2; r->side++) {
        const side_t *side = &r->c->sides[r->side];
        for (r->process = 0; r->process < side->len; r->process++) {
            process_t *p = &side->processes[r->process];
            char path[PATH_LEN];
            snprintf(path, sizeof path, "%s/%s", p->path, table->file);
            r->sample = (sample_row_t){0};
            if (!required && access(path, F_OK) != 0 && errno == ENOENT) continue;
            const status_t st =
                table_read(table, path, false, visit, table == &RUN_TABLE ? (void *)p : (void *)r);
            if (st != STATUS_OK) return st;
        }
    }
    return STATUS_OK;
}

/* A sweep with --pin-point. */
static bool any_pinned(const comparison_t *c) {
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < c->sides[side].len; k++)
            if (!strcmp(process_fact(&c->sides[side].processes[k], "pin_point"), "yes"))
                return true;
    return false;
}

static bool in_common(const comparison_t *c) {
    for (int i = 0; i < c->points_len; i++)
        if (point_row(c, &c->points[i], SIDE_BASE) && point_row(c, &c->points[i], SIDE_NEW))
            return true;
    return false;
}

status_t comparison_load(const char *base, const char *new, const compare_rules_t *rules,
                         bool force, comparison_t *c) {
    status_t st = STATUS_OK;
    *c = (comparison_t){.rules = *rules, .mean_ratio = NAN, .noise = NAN};
    reader_t *r = calloc(1, sizeof *r);
    if (!r) return no_memory();
    r->c = c;
    TRY(find_processes(base, &c->sides[SIDE_BASE]));
    TRY(find_processes(new, &c->sides[SIDE_NEW]));
    TRY(read_all(r, &RUN_TABLE, false, visit_fact));
    TRY(read_all(r, &POINTS_TABLE, true, survey_row));
    compare_machines(c);
    compare_rows(r);
    if (c->differences_len > 0 && !force) {
        st = refuse(c);
        goto cleanup;
    }
    r->by_device = any_pinned(c);
    TRY(read_all(r, &POINTS_TABLE, true, visit_point));
    TRY(read_all(r, &SAMPLES_TABLE, false, visit_sample));
    if (!in_common(c))
        st = fail(STATUS_USAGE,
                  "%s and %s have no point in common: were they swept over the same "
                  "workload?",
                  base, new);
cleanup:
    free(r);
    if (st != STATUS_OK) comparison_free(c);
    return st;
}

void comparison_free(comparison_t *c) {
    for (int i = 0; i < c->points_len; i++)
        for (int side = 0; side < 2; side++) {
            measured_t *of = c->points[i].of[side];
            for (int k = 0; of && k < c->sides[side].len; k++) free(of[k].samples);
            free(of);
            free(c->points[i].trials[side]);
        }
    free(c->points);
    for (int side = 0; side < 2; side++) {
        for (int k = 0; k < c->sides[side].len; k++) free(c->sides[side].processes[k].facts);
        free(c->sides[side].processes);
    }
    tdestroy(c->texts, free);
    tdestroy(c->keys, free);
    *c = (comparison_t){0};
}
