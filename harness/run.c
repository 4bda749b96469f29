#include "harness/run.h"

#include <errno.h>
#include <math.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "harness/cpu_topology.h"
#include "harness/version.h"

static void file_in(const run_t *run, const char *name, char path[PATH_LEN]) {
    path_in(run->path, name, path);
}

static bool exists(const run_t *run, const char *name) {
    return exists_in(run->path, name);
}

/* ---- run.csv ---- */

typedef struct {
    run_t *run; /* learns its run_id, and whether points are of one device each */
    whole_table_t file;
    status_t st;
} fact_writer_t;

static void write_fact(void *ctx, const char *key, const char *value) {
    fact_writer_t *w = ctx;
    run_row_t row;
    row_clear(&RUN_TABLE, &row);
    row_set_text(row.key, "%s", key);
    row_set_text(row.value, "%s", value);
    if (!strcmp(key, "run_id")) row_set_text(w->run->run_id, "%s", value);
    if (!strcmp(key, "pin_point")) w->run->by_device = !strcmp(value, "yes");
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

static void identity_facts(device_t *device, fact_t fact, void *ctx) {
    host_facts(fact, ctx);
    fact(ctx, "device", device->id);
    fact(ctx, "device_name", device->name);
    device->ops->facts(device, fact, ctx);
}

/* The command line as the kernel keeps it, its arguments parted by spaces. */
static void argv_fact(fact_t fact, void *ctx) {
    char command[TEXT_LEN];
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (!file) return;
    const size_t len = fread(command, 1, sizeof command - 1, file);
    fclose(file);
    for (size_t i = 0; i < len; i++)
        if (command[i] == '\0') command[i] = ' ';
    command[len > 0 && command[len - 1] == ' ' ? len - 1 : len] = '\0';
    fact(ctx, "argv", command);
}

void run_new_facts(fact_t fact, void *ctx) {
    const time_t now = time(NULL);
    struct tm tm;
    char stamp[32], run_id[TEXT_LEN], utc[32];
    unsigned salt = (unsigned)getpid();
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    strftime(utc, sizeof utc, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (getrandom(&salt, sizeof salt, 0) < 0) salt = (unsigned)getpid();
    row_set_text(run_id, "%s-%04x", stamp, salt & 0xffff);
    fact(ctx, "run_id", run_id);
    fact(ctx, "utc", utc);
    argv_fact(fact, ctx);
}

static void counter_facts(const counters_t *counters, fact_t fact, void *ctx) {
    fact(ctx, "counter_source", counters->source);
    fact(ctx, "counter_status", counter_status_name(counters->status));
    if (counters->reason[0]) fact(ctx, "counter_reason", counters->reason);
}

static status_t write_run_csv(run_t *run, device_t *device, const counters_t *counters) {
    fact_writer_t w = {.run = run};
    w.st = whole_table_open(run->path, &RUN_TABLE, &w.file);
    if (w.st == STATUS_OK) {
        run_new_facts(write_fact, &w);
        identity_facts(device, write_fact, &w);
        if (counters) counter_facts(counters, write_fact, &w);
    }
    return whole_table_close(&w.file, w.st);
}

/* What must be the same for rows to stand in one file. A GPU is known by its uuid on any host. */
static const struct {
    const char *key, *what;
} SAME[] = {{"blroof", "by blroof"},
            {"git", "by the blroof of commit"},
            {"device", "on"},
            {"device_name", "on"},
            {"gpu_uuid", "on the GPU"},
            {"host", "on host"},
            {"devices", "on devices numbering"},
            {"pin_point", "with --pin-point:"}};
enum { SAME_LEN = sizeof SAME / sizeof *SAME, SAME_UUID = 4, SAME_HOST };

typedef struct {
    char values[SAME_LEN][TEXT_LEN]; /* "": not known */
    char run_id[TEXT_LEN];
    bool by_device;
} facts_t;

static void take_fact(void *ctx, const char *key, const char *value) {
    facts_t *facts = ctx;
    if (!strcmp(key, "run_id")) row_set_text(facts->run_id, "%s", value);
    if (!strcmp(key, "pin_point")) facts->by_device = !strcmp(value, "yes");
    for (int i = 0; i < SAME_LEN; i++)
        if (!strcmp(key, SAME[i].key)) row_set_text(facts->values[i], "%s", value);
}

static status_t read_fact(void *ctx, const void *data, int line) {
    (void)line;
    const run_row_t *row = data;
    take_fact(ctx, row->key, row->value);
    return STATUS_OK;
}

static status_t adopt_run_csv(run_t *run, device_t *device) {
    char path[PATH_LEN];
    facts_t then = {0}, now = {0};
    file_in(run, RUN_TABLE.file, path);
    status_t st = table_read(&RUN_TABLE, path, true, read_fact, &then);
    if (st != STATUS_OK) return st;
    identity_facts(device, take_fact, &now);
    for (int i = 0; i < SAME_LEN; i++) {
        const char *was = then.values[i], *is = now.values[i];
        if (!*was || !*is || !strcmp(was, is) || (i == SAME_HOST && *now.values[SAME_UUID]))
            continue;
        return fail(STATUS_USAGE, "%s was measured %s %s, not %s: use another -o", run->path,
                    SAME[i].what, was, is);
    }
    memcpy(run->run_id, then.run_id, TEXT_LEN);
    run->by_device = then.by_device;
    return STATUS_OK;
}

status_t run_open(const char *path, device_t *device, const counters_t *counters, bool resume,
                  run_t *run) {
    *run = (run_t){0};
    if (strlen(path) >= sizeof run->path)
        return fail(STATUS_USAGE, "the path of the run directory is too long");
    snprintf(run->path, sizeof run->path, "%s", path);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail(STATUS_IO, "cannot make the run directory %s: %s", path, strerror(errno));
    const status_t st = lock_take(path, &run->lock);
    if (st != STATUS_OK) return st;
    if (exists(run, POINTS_TABLE.file) && !resume)
        return fail(STATUS_USAGE, "%s already holds a sweep: add --resume or use another -o", path);
    if (exists(run, RUN_TABLE.file)) return adopt_run_csv(run, device);
    return write_run_csv(run, device, counters);
}

void run_close(run_t *run) {
    if (run->points) fclose(run->points);
    if (run->samples) fclose(run->samples);
    if (run->models) fclose(run->models);
    if (run->model_layers) fclose(run->model_layers);
    tdestroy(run->done, free);
    lock_release(&run->lock);
    *run = (run_t){0};
}

/* ---- ceilings.csv ---- */

typedef struct {
    const run_t *run;
    const device_t *device;
    whole_table_t file;
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
    row_set_text(row.device, "%s", ceiling->device ? ceiling->device : c->device->id);
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
                                   .sm_clock_mhz = row->sm_clock_mhz,
                                   .device = row->device};
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
    status_t st = whole_table_open(run->path, &CEILINGS_TABLE, &c.file);
    if (st == STATUS_OK) st = device->ops->ceilings(device, file_ceiling, &c);
    return whole_table_close(&c.file, st);
}

/* ---- points.csv, samples.csv ---- */

void point_key(const point_row_t *row, char key[POINT_KEY_LEN]) {
    snprintf(key, POINT_KEY_LEN,
             "%s|%s|%s|%s|%s|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%.0f|%s", row->workload,
             row->layer, row->structure, row->variant, row->dtype, row->tokens, row->in_features,
             row->out_features, row->blocks, row->rank, row->batch, row->heads, row->kv_heads,
             row->context, row->causal, row->cache);
}

/* What tells the rows of this run apart; with --pin-point each device has its own. */
static void row_key(const run_t *run, const point_row_t *row, char key[POINT_KEY_LEN]) {
    point_key(row, key);
    const size_t len = strlen(key);
    if (run->by_device) snprintf(key + len, POINT_KEY_LEN - len, "|%s", row->device);
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(a, b);
}

/* A node of run->done: the key, and behind its end the device. */
static char *new_done(const char *key, const char *device) {
    const size_t len = strlen(key) + 1, device_len = strlen(device) + 1;
    char *node = malloc(len + device_len);
    if (!node) return NULL;
    memcpy(node, key, len);
    memcpy(node + len, device, device_len);
    return node;
}

static status_t remember(run_t *run, const point_row_t *row) {
    char key[POINT_KEY_LEN];
    row_key(run, row, key);
    char *copy = new_done(key, row->device);
    const void *node = copy ? tsearch(copy, &run->done, compare_keys) : NULL;
    if (!node) {
        free(copy);
        return fail(STATUS_OOM, "out of host memory for the list of points");
    }
    if (*(char *const *)node != copy) free(copy);
    run->points_len++;
    if (row->samples > 0) run->samples_len += (int64_t)row->samples;
    return STATUS_OK;
}

const char *run_point_device(const run_t *run, const point_row_t *row) {
    char key[POINT_KEY_LEN];
    row_key(run, row, key);
    const char *const *node = tfind(key, (void *const *)&run->done, compare_keys);
    return node ? *node + strlen(*node) + 1 : NULL;
}

bool run_has_point(const run_t *run, const point_row_t *row) {
    return run_point_device(run, row) != NULL;
}

static status_t remember_row(void *ctx, const void *row, int line) {
    (void)line;
    return remember(ctx, row);
}

static void sample_as_point(const sample_row_t *sample, point_row_t *point) {
    row_clear(&POINTS_TABLE, point);
    memcpy(point->workload, sample->workload, TEXT_LEN);
    memcpy(point->layer, sample->layer, TEXT_LEN);
    memcpy(point->structure, sample->structure, TEXT_LEN);
    memcpy(point->variant, sample->variant, TEXT_LEN);
    memcpy(point->dtype, sample->dtype, TEXT_LEN);
    memcpy(point->cache, sample->cache, TEXT_LEN);
    memcpy(point->device, sample->device, TEXT_LEN);
    point->tokens = sample->tokens;
    point->in_features = sample->in_features;
    point->out_features = sample->out_features;
    point->blocks = sample->blocks;
    point->rank = sample->rank;
    ROW_COPY_ATTENTION(point, sample);
}

static bool has_point(void *run, const void *sample) {
    point_row_t point;
    sample_as_point(sample, &point);
    return run_has_point(run, &point);
}

typedef struct {
    run_t *run;
    whole_table_t file;
} sample_filter_t;

static status_t keep_sample(void *ctx, const void *row, int line) {
    (void)line;
    sample_filter_t *f = ctx;
    if (!has_point(f->run, row)) return STATUS_OK;
    return table_write_row(&SAMPLES_TABLE, f->file.file, f->file.temporary, row);
}

static status_t filter_samples(run_t *run) {
    char path[PATH_LEN];
    sample_filter_t filter = {.run = run};
    file_in(run, SAMPLES_TABLE.file, path);
    status_t st = whole_table_open(run->path, &SAMPLES_TABLE, &filter.file);
    if (st == STATUS_OK) st = table_read(&SAMPLES_TABLE, path, true, keep_sample, &filter);
    return whole_table_close(&filter.file, st);
}

/*
 * Samples are filed before their point, so an interruption between leaves samples of no point at
 * the end. They are elsewhere only if someone took rows out of points.csv, to have them measured
 * again; then the whole file has to be read.
 */
static status_t drop_orphan_samples(run_t *run) {
    int64_t lines = 0;
    status_t st = cut_rows(run->path, &SAMPLES_TABLE, has_point, run);
    if (st == STATUS_OK) st = count_lines(run->path, &SAMPLES_TABLE, &lines);
    return st == STATUS_OK && lines - 1 != run->samples_len ? filter_samples(run) : st;
}

status_t run_open_points(run_t *run) {
    char path[PATH_LEN];
    const bool resumed = exists(run, POINTS_TABLE.file);
    status_t st = grow_open(run->path, &POINTS_TABLE, &run->points);
    if (st != STATUS_OK) return st;
    if (!resumed) return grow_open(run->path, &SAMPLES_TABLE, &run->samples);
    file_in(run, POINTS_TABLE.file, path);
    st = table_read(&POINTS_TABLE, path, true, remember_row, run);
    if (st == STATUS_OK) st = grow_open(run->path, &SAMPLES_TABLE, &run->samples);
    if (st != STATUS_OK) return st;
    fclose(run->samples); /* its end may move */
    run->samples = NULL;
    st = drop_orphan_samples(run);
    return st == STATUS_OK ? grow_open(run->path, &SAMPLES_TABLE, &run->samples) : st;
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
    memcpy(row.device, point->device, TEXT_LEN);
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

/* What took no time to find out is not worth waiting for the disk. */
static bool worth_a_sync(const point_row_t *row) {
    return strcmp(row->status, "unsupported") != 0;
}

static status_t append_point(run_t *run, const point_row_t *row) {
    char path[PATH_LEN];
    file_in(run, POINTS_TABLE.file, path);
    const status_t st = table_write_row(&POINTS_TABLE, run->points, path, row);
    if (st != STATUS_OK || !worth_a_sync(row)) return st;
    return grow_sync(run->points, run->path, &POINTS_TABLE);
}

status_t run_add_point(run_t *run, const point_row_t *row, const double *samples, int samples_len) {
    const long samples_end = grow_mark(run->samples), points_end = grow_mark(run->points);
    status_t st = write_samples(run, row, samples, samples_len);
    if (st == STATUS_OK && samples_len > 0) st = grow_sync(run->samples, run->path, &SAMPLES_TABLE);
    if (st == STATUS_OK) st = grow_take_back(run->points, points_end, append_point(run, row));
    if (st != STATUS_OK) return grow_take_back(run->samples, samples_end, st);
    return remember(run, row);
}

int run_count_points(const run_t *run) {
    return run->points_len;
}

status_t run_read_points(const run_t *run, row_visit_t visit, void *ctx) {
    char path[PATH_LEN];
    file_in(run, POINTS_TABLE.file, path);
    return table_read(&POINTS_TABLE, path, true, visit, ctx);
}

typedef struct {
    status_t (*visit)(void *, point_row_t *);
    void *ctx;
    whole_table_t file;
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
    status_t st = whole_table_open(run->path, &POINTS_TABLE, &update.file);
    if (st == STATUS_OK) st = table_read(&POINTS_TABLE, path, true, update_point, &update);
    st = whole_table_close(&update.file, st);
    return st == STATUS_OK ? grow_open(run->path, &POINTS_TABLE, &run->points) : st;
}

/* ---- models.csv, model_layers.csv ---- */

status_t run_open_models(run_t *run) {
    if (exists(run, MODELS_TABLE.file))
        return fail(STATUS_USAGE, "%s already holds models: use another -o", run->path);
    const status_t st = grow_open(run->path, &MODELS_TABLE, &run->models);
    return st == STATUS_OK ? grow_open(run->path, &MODEL_LAYERS_TABLE, &run->model_layers) : st;
}

static status_t append_model(run_t *run, const model_row_t *row) {
    char path[PATH_LEN];
    file_in(run, MODELS_TABLE.file, path);
    const status_t st = table_write_row(&MODELS_TABLE, run->models, path, row);
    return st == STATUS_OK ? grow_sync(run->models, run->path, &MODELS_TABLE) : st;
}

status_t run_add_model(run_t *run, const model_row_t *row, const model_layer_row_t *layers,
                       int layers_len) {
    char path[PATH_LEN];
    const long layers_end = grow_mark(run->model_layers), models_end = grow_mark(run->models);
    file_in(run, MODEL_LAYERS_TABLE.file, path);
    status_t st = STATUS_OK;
    for (int i = 0; i < layers_len && st == STATUS_OK; i++)
        st = table_write_row(&MODEL_LAYERS_TABLE, run->model_layers, path, &layers[i]);
    if (st == STATUS_OK) st = grow_sync(run->model_layers, run->path, &MODEL_LAYERS_TABLE);
    if (st == STATUS_OK) st = grow_take_back(run->models, models_end, append_model(run, row));
    return grow_take_back(run->model_layers, layers_end, st);
}
