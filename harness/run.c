#include "harness/run.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "harness/cpu_topology.h"
#include "harness/version.h"

enum { PATH_LEN = 1280, KEY_LEN = 2048 };

static void file_in(const run_t *run, const char *name, char path[PATH_LEN]) {
    snprintf(path, PATH_LEN, "%s/%s", run->path, name);
}

static bool exists(const run_t *run, const char *name) {
    char path[PATH_LEN];
    file_in(run, name, path);
    return access(path, F_OK) == 0;
}

/* A table that appears whole: written beside its name, then renamed. */
typedef struct {
    char path[PATH_LEN], temporary[PATH_LEN + 8];
    FILE *file;
} whole_file_t;

static status_t whole_open(const run_t *run, const table_t *table, whole_file_t *w) {
    file_in(run, table->file, w->path);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", w->path);
    w->file = fopen(w->temporary, "w");
    if (!w->file) return fail(STATUS_IO, "cannot write %s: %s", w->temporary, strerror(errno));
    return table_write_header(table, w->file, w->temporary);
}

static status_t whole_close(whole_file_t *w, status_t st) {
    if (!w->file) return st;
    if (fclose(w->file) != 0 && st == STATUS_OK)
        st = fail(STATUS_IO, "cannot write %s: %s", w->temporary, strerror(errno));
    if (st == STATUS_OK && rename(w->temporary, w->path) != 0)
        st = fail(STATUS_IO, "cannot rename %s: %s", w->temporary, strerror(errno));
    if (st != STATUS_OK) unlink(w->temporary);
    return st;
}

/* ---- run.csv ---- */

typedef struct {
    whole_file_t file;
    status_t st;
} fact_writer_t;

static void write_fact(void *ctx, const char *key, const char *value) {
    fact_writer_t *w = ctx;
    run_row_t row;
    row_clear(&RUN_TABLE, &row);
    row_set_text(row.key, "%s", key);
    row_set_text(row.value, "%s", value);
    if (w->st == STATUS_OK)
        w->st = table_write_row(&RUN_TABLE, w->file.file, w->file.temporary, &row);
}

static void host_facts(fact_t fact, void *ctx) {
    struct utsname name;
    if (uname(&name) == 0) {
        fact(ctx, "host", name.nodename);
        char kernel[TEXT_LEN];
        row_set_text(kernel, "%s %s", name.sysname, name.release);
        fact(ctx, "kernel", kernel);
    }
    char cpu[TEXT_LEN];
    cpu_model_name(cpu, sizeof cpu);
    fact(ctx, "cpu", cpu);
    fact(ctx, "blroof", VERSION_TEXT);
    fact(ctx, "git", VERSION_GIT);
    fact(ctx, "git_dirty", VERSION_DIRTY);
    fact(ctx, "compiler", VERSION_COMPILER);
    fact(ctx, "nvcc", VERSION_NVCC);
}

/* The command line as the kernel keeps it, its arguments parted by spaces. */
static void write_argv(fact_writer_t *w) {
    char command[TEXT_LEN];
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (!file) return;
    const size_t len = fread(command, 1, sizeof command - 1, file);
    fclose(file);
    for (size_t i = 0; i < len; i++)
        if (command[i] == '\0') command[i] = ' ';
    command[len > 0 && command[len - 1] == ' ' ? len - 1 : len] = '\0';
    write_fact(w, "argv", command);
}

static void counter_facts(const counters_t *counters, fact_t fact, void *ctx) {
    fact(ctx, "counter_source", counters->source);
    fact(ctx, "counter_status", counter_status_name(counters->status));
    if (counters->reason[0]) fact(ctx, "counter_reason", counters->reason);
}

static status_t write_run_csv(const run_t *run, device_t *device, const counters_t *counters,
                              const char *utc) {
    fact_writer_t w = {.st = STATUS_OK};
    w.st = whole_open(run, &RUN_TABLE, &w.file);
    if (w.st == STATUS_OK) {
        write_fact(&w, "run_id", run->run_id);
        write_fact(&w, "utc", utc);
        write_argv(&w);
        host_facts(write_fact, &w);
        write_fact(&w, "device", device->id);
        write_fact(&w, "device_name", device->name);
        device->ops->facts(device, write_fact, &w);
        if (counters) counter_facts(counters, write_fact, &w);
    }
    return whole_close(&w.file, w.st);
}

typedef struct {
    run_t *run;
    char device[TEXT_LEN], device_name[TEXT_LEN], version[TEXT_LEN];
} run_facts_t;

static status_t read_fact(void *ctx, const void *data, int line) {
    (void)line;
    run_facts_t *facts = ctx;
    const run_row_t *row = data;
    if (!strcmp(row->key, "run_id")) memcpy(facts->run->run_id, row->value, TEXT_LEN);
    if (!strcmp(row->key, "device")) memcpy(facts->device, row->value, TEXT_LEN);
    if (!strcmp(row->key, "device_name")) memcpy(facts->device_name, row->value, TEXT_LEN);
    if (!strcmp(row->key, "blroof")) memcpy(facts->version, row->value, TEXT_LEN);
    return STATUS_OK;
}

static status_t adopt_run_csv(run_t *run, const device_t *device) {
    char path[PATH_LEN];
    run_facts_t facts = {.run = run};
    file_in(run, RUN_TABLE.file, path);
    status_t st = table_read(&RUN_TABLE, path, true, read_fact, &facts);
    if (st != STATUS_OK) return st;
    if (strcmp(facts.device, device->id) || strcmp(facts.device_name, device->name))
        return fail(STATUS_USAGE, "%s was measured on %s (%s), not on %s (%s): use another -o",
                    run->path, facts.device, facts.device_name, device->id, device->name);
    if (strcmp(facts.version, VERSION_TEXT))
        return fail(STATUS_USAGE, "%s was written by blroof %s, this is %s: use another -o",
                    run->path, facts.version, VERSION_TEXT);
    return STATUS_OK;
}

static void new_run_id(run_t *run, char utc[32]) {
    const time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(utc, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    char stamp[32];
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    unsigned salt = (unsigned)getpid();
    if (getrandom(&salt, sizeof salt, 0) < 0) salt = (unsigned)getpid();
    row_set_text(run->run_id, "%s-%04x", stamp, salt & 0xffff);
}

status_t run_open(const char *path, device_t *device, const counters_t *counters, bool resume,
                  run_t *run) {
    *run = (run_t){0};
    if (strlen(path) >= sizeof run->path)
        return fail(STATUS_USAGE, "the path of the run directory is too long");
    snprintf(run->path, sizeof run->path, "%s", path);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail(STATUS_IO, "cannot make the run directory %s: %s", path, strerror(errno));
    if (exists(run, POINTS_TABLE.file) && !resume)
        return fail(STATUS_USAGE, "%s already holds a sweep: add --resume or use another -o", path);
    if (exists(run, RUN_TABLE.file)) return adopt_run_csv(run, device);
    char utc[32];
    new_run_id(run, utc);
    return write_run_csv(run, device, counters, utc);
}

void run_close(run_t *run) {
    if (run->points) fclose(run->points);
    if (run->samples) fclose(run->samples);
    if (run->models) fclose(run->models);
    if (run->model_layers) fclose(run->model_layers);
    while (run->done) {
        char *key = *(char **)run->done;
        tdelete(key, &run->done, (int (*)(const void *, const void *))strcmp);
        free(key);
    }
    *run = (run_t){0};
}

/* ---- ceilings.csv ---- */

typedef struct {
    const run_t *run;
    const device_t *device;
    whole_file_t file;
    void (*visit)(void *, const ceiling_t *);
    void *ctx;
} ceilings_t;

/* Between SI units and those that people read in the file: the factor and the other unit. */
static double convert_unit(const char *unit, const char **other) {
    static const struct {
        const char *si, *file;
        double scale;
    } units[] = {{"B/s", "GB/s", 1e-9},
                 {"FLOP/s", "TFLOP/s", 1e-12},
                 {"OP/s", "TOP/s", 1e-12},
                 {"s", "us", 1e6}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        *other = units[i].file;
        if (!strcmp(unit, units[i].si)) return units[i].scale;
        *other = units[i].si;
        if (!strcmp(unit, units[i].file)) return 1 / units[i].scale;
    }
    *other = unit;
    return 1;
}

static status_t file_ceiling(void *ctx, const ceiling_t *ceiling) {
    ceilings_t *c = ctx;
    ceiling_row_t row;
    const char *unit;
    const double scale = convert_unit(ceiling->unit, &unit);
    row_clear(&CEILINGS_TABLE, &row);
    row_set_text(row.run_id, "%s", c->run->run_id);
    row_set_text(row.device, "%s", c->device->id);
    row_set_text(row.kind, "%s", ceiling_kind_name(ceiling->kind));
    row_set_text(row.dtype, "%s", ceiling->dtype);
    row_set_text(row.method, "%s", ceiling->method);
    row_set_text(row.unit, "%s", unit);
    row.value = ceiling->value * scale;
    row.ci_low = ceiling->ci_low * scale;
    row.ci_high = ceiling->ci_high * scale;
    row.theoretical = ceiling->theoretical * scale;
    row.sm_clock_mhz = ceiling->sm_clock_mhz;
    c->visit(c->ctx, ceiling);
    return table_write_row(&CEILINGS_TABLE, c->file.file, c->file.temporary, &row);
}

static status_t visit_filed(void *ctx, const void *data, int line) {
    ceilings_t *c = ctx;
    const ceiling_row_t *row = data;
    for (int kind = 0; kind < CEILING_KIND_COUNT; kind++) {
        if (strcmp(row->kind, ceiling_kind_name((ceiling_kind_t)kind))) continue;
        const char *unit;
        const double scale = convert_unit(row->unit, &unit);
        const ceiling_t ceiling = {.kind = (ceiling_kind_t)kind,
                                   .dtype = row->dtype,
                                   .method = row->method,
                                   .value = row->value * scale,
                                   .ci_low = row->ci_low * scale,
                                   .ci_high = row->ci_high * scale,
                                   .theoretical = row->theoretical * scale,
                                   .unit = unit,
                                   .sm_clock_mhz = row->sm_clock_mhz};
        c->visit(c->ctx, &ceiling);
        return STATUS_OK;
    }
    return fail(STATUS_USAGE, "%s/%s:%d:kind: unknown ceiling '%s'", c->run->path,
                CEILINGS_TABLE.file, line, row->kind);
}

status_t run_ceilings(run_t *run, device_t *device, void (*visit)(void *, const ceiling_t *),
                      void *ctx) {
    ceilings_t c = {.run = run, .device = device, .visit = visit, .ctx = ctx};
    if (exists(run, CEILINGS_TABLE.file)) {
        char path[PATH_LEN];
        file_in(run, CEILINGS_TABLE.file, path);
        return table_read(&CEILINGS_TABLE, path, true, visit_filed, &c);
    }
    status_t st = whole_open(run, &CEILINGS_TABLE, &c.file);
    if (st == STATUS_OK) st = device->ops->ceilings(device, file_ceiling, &c);
    return whole_close(&c.file, st);
}

/* ---- points.csv, samples.csv ---- */

static void point_key(const point_row_t *row, char key[KEY_LEN]) {
    snprintf(key, KEY_LEN, "%s|%s|%s|%s|%s|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%s",
             row->workload, row->layer, row->structure, row->variant, row->dtype, row->tokens,
             row->in_features, row->out_features, row->blocks, row->rank, row->batch, row->heads,
             row->kv_heads, row->context, row->causal, row->cache);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(a, b);
}

static status_t remember(run_t *run, const point_row_t *row) {
    char key[KEY_LEN];
    point_key(row, key);
    char *copy = strdup(key);
    const void *node = copy ? tsearch(copy, &run->done, compare_keys) : NULL;
    if (!node) {
        free(copy);
        return fail(STATUS_OOM, "out of host memory for the list of points");
    }
    if (*(char *const *)node != copy) free(copy);
    run->points_len++;
    return STATUS_OK;
}

bool run_has_point(const run_t *run, const point_row_t *row) {
    char key[KEY_LEN];
    point_key(row, key);
    return tfind(key, (void *const *)&run->done, compare_keys) != NULL;
}

static status_t remember_row(void *ctx, const void *row, int line) {
    (void)line;
    return remember(ctx, row);
}

/* Only a last line can be torn; more than that is damage, and nothing is cut. */
static status_t cut_torn_row(const char *path, long *complete) {
    status_t st = table_complete_bytes(path, complete);
    if (st != STATUS_OK) return st;
    FILE *file = fopen(path, "r");
    if (!file || fseek(file, *complete, SEEK_SET) != 0) {
        if (file) fclose(file);
        return fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    }
    int c;
    while ((c = getc(file)) != EOF && c != '\n') continue;
    fclose(file);
    if (c == '\n')
        return fail(STATUS_USAGE, "%s: a quote is never closed after byte %ld: the file is damaged",
                    path, *complete);
    if (truncate(path, *complete) != 0)
        return fail(STATUS_IO, "cannot cut the torn last row of %s: %s", path, strerror(errno));
    return STATUS_OK;
}

/* Cuts a torn last row, or begins the file. */
static status_t open_for_append(const run_t *run, const table_t *table, FILE **out) {
    char path[PATH_LEN];
    file_in(run, table->file, path);
    long complete = 0;
    if (access(path, F_OK) == 0) {
        status_t st = cut_torn_row(path, &complete);
        if (st != STATUS_OK) return st;
    }
    *out = fopen(path, "a");
    if (!*out) return fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    if (fseek(*out, 0, SEEK_END) != 0)
        return fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    return complete > 0 ? STATUS_OK : table_write_header(table, *out, path);
}

static void sample_as_point(const sample_row_t *sample, point_row_t *point) {
    row_clear(&POINTS_TABLE, point);
    memcpy(point->workload, sample->workload, TEXT_LEN);
    memcpy(point->layer, sample->layer, TEXT_LEN);
    memcpy(point->structure, sample->structure, TEXT_LEN);
    memcpy(point->variant, sample->variant, TEXT_LEN);
    memcpy(point->dtype, sample->dtype, TEXT_LEN);
    memcpy(point->cache, sample->cache, TEXT_LEN);
    point->tokens = sample->tokens;
    point->in_features = sample->in_features;
    point->out_features = sample->out_features;
    point->blocks = sample->blocks;
    point->rank = sample->rank;
    ROW_COPY_ATTENTION(point, sample);
}

typedef struct {
    const run_t *run;
    whole_file_t file;
} sample_filter_t;

static status_t keep_sample(void *ctx, const void *row, int line) {
    (void)line;
    sample_filter_t *f = ctx;
    point_row_t point;
    sample_as_point(row, &point);
    if (!run_has_point(f->run, &point)) return STATUS_OK;
    return table_write_row(&SAMPLES_TABLE, f->file.file, f->file.temporary, row);
}

/* Samples are filed before their point: an interruption between leaves samples of no point. */
static status_t drop_orphan_samples(run_t *run) {
    char path[PATH_LEN];
    sample_filter_t filter = {.run = run};
    fclose(run->samples);
    run->samples = NULL;
    file_in(run, SAMPLES_TABLE.file, path);
    status_t st = whole_open(run, &SAMPLES_TABLE, &filter.file);
    if (st == STATUS_OK) st = table_read(&SAMPLES_TABLE, path, true, keep_sample, &filter);
    st = whole_close(&filter.file, st);
    return st == STATUS_OK ? open_for_append(run, &SAMPLES_TABLE, &run->samples) : st;
}

status_t run_open_points(run_t *run) {
    char path[PATH_LEN];
    const bool resumed = exists(run, POINTS_TABLE.file);
    status_t st = open_for_append(run, &POINTS_TABLE, &run->points);
    if (st != STATUS_OK) return st;
    st = open_for_append(run, &SAMPLES_TABLE, &run->samples);
    if (st != STATUS_OK || !resumed) return st;
    file_in(run, POINTS_TABLE.file, path);
    st = table_read(&POINTS_TABLE, path, true, remember_row, run);
    return st == STATUS_OK ? drop_orphan_samples(run) : st;
}

/* Whatever of a failed row reached the file is cut off again. */
static status_t take_back(FILE *file, long end, status_t st) {
    if (st != STATUS_OK && end >= 0) {
        __fpurge(file); /* or fclose() would write the rest of it */
        if (ftruncate(fileno(file), end) != 0) return st;
    }
    return st;
}

static status_t write_samples(run_t *run, const point_row_t *point, const double *samples,
                              int samples_len) {
    char path[PATH_LEN];
    file_in(run, SAMPLES_TABLE.file, path);
    sample_row_t row;
    row_clear(&SAMPLES_TABLE, &row);
    memcpy(row.run_id, point->run_id, TEXT_LEN);
    memcpy(row.workload, point->workload, TEXT_LEN);
    memcpy(row.layer, point->layer, TEXT_LEN);
    memcpy(row.structure, point->structure, TEXT_LEN);
    memcpy(row.variant, point->variant, TEXT_LEN);
    memcpy(row.dtype, point->dtype, TEXT_LEN);
    memcpy(row.cache, point->cache, TEXT_LEN);
    row.tokens = point->tokens;
    row.in_features = point->in_features;
    row.out_features = point->out_features;
    row.blocks = point->blocks;
    row.rank = point->rank;
    ROW_COPY_ATTENTION(&row, point);
    for (int i = 0; i < samples_len; i++) {
        row.sample = i;
        row.time_us = samples[i];
        status_t st = table_write_row(&SAMPLES_TABLE, run->samples, path, &row);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

status_t run_add_point(run_t *run, const point_row_t *row, const double *samples, int samples_len) {
    char path[PATH_LEN];
    file_in(run, POINTS_TABLE.file, path);
    const long samples_end = ftell(run->samples), points_end = ftell(run->points);
    status_t st = write_samples(run, row, samples, samples_len);
    if (st != STATUS_OK) return take_back(run->samples, samples_end, st);
    st = take_back(run->points, points_end, table_write_row(&POINTS_TABLE, run->points, path, row));
    return st == STATUS_OK ? remember(run, row) : take_back(run->samples, samples_end, st);
}

int run_count_points(const run_t *run) {
    return run->points_len;
}

typedef struct {
    status_t (*visit)(void *, point_row_t *);
    void *ctx;
    whole_file_t file;
} update_t;

static status_t update_point(void *ctx, const void *row, int line) {
    (void)line;
    update_t *u = ctx;
    point_row_t point = *(const point_row_t *)row;
    const status_t st = u->visit(u->ctx, &point);
    return st == STATUS_OK ? table_write_row(&POINTS_TABLE, u->file.file, u->file.temporary, &point)
                           : st;
}

status_t run_update_points(run_t *run, status_t (*visit)(void *, point_row_t *), void *ctx) {
    char path[PATH_LEN];
    update_t update = {.visit = visit, .ctx = ctx};
    file_in(run, POINTS_TABLE.file, path);
    fclose(run->points); /* it would go on writing to the file that is replaced */
    run->points = NULL;
    status_t st = whole_open(run, &POINTS_TABLE, &update.file);
    if (st == STATUS_OK) st = table_read(&POINTS_TABLE, path, true, update_point, &update);
    st = whole_close(&update.file, st);
    return st == STATUS_OK ? open_for_append(run, &POINTS_TABLE, &run->points) : st;
}

/* ---- models.csv, model_layers.csv ---- */

status_t run_open_models(run_t *run) {
    if (exists(run, MODELS_TABLE.file))
        return fail(STATUS_USAGE, "%s already holds models: use another -o", run->path);
    status_t st = open_for_append(run, &MODELS_TABLE, &run->models);
    return st == STATUS_OK ? open_for_append(run, &MODEL_LAYERS_TABLE, &run->model_layers) : st;
}

status_t run_add_model(run_t *run, const model_row_t *row, const model_layer_row_t *layers,
                       int layers_len) {
    char path[PATH_LEN];
    const long layers_end = ftell(run->model_layers), models_end = ftell(run->models);
    file_in(run, MODEL_LAYERS_TABLE.file, path);
    status_t st = STATUS_OK;
    for (int i = 0; i < layers_len && st == STATUS_OK; i++)
        st = table_write_row(&MODEL_LAYERS_TABLE, run->model_layers, path, &layers[i]);
    if (st == STATUS_OK) {
        file_in(run, MODELS_TABLE.file, path);
        st = take_back(run->models, models_end,
                       table_write_row(&MODELS_TABLE, run->models, path, row));
    }
    return take_back(run->model_layers, layers_end, st);
}
