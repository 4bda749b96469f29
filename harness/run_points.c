/* points.csv and samples.csv: rows appended as they are measured, and which points are there. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "harness/run.h"

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
    path_in(run->path, SAMPLES_TABLE.file, path);
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
    const bool resumed = exists_in(run->path, POINTS_TABLE.file);
    status_t st = grow_open(run->path, &POINTS_TABLE, &run->points);
    if (st != STATUS_OK) return st;
    if (!resumed) return grow_open(run->path, &SAMPLES_TABLE, &run->samples);
    path_in(run->path, POINTS_TABLE.file, path);
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
    path_in(run->path, SAMPLES_TABLE.file, path);
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
    path_in(run->path, POINTS_TABLE.file, path);
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
    path_in(run->path, POINTS_TABLE.file, path);
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
    path_in(run->path, POINTS_TABLE.file, path);
    fclose(run->points); /* it would go on writing to the file that is replaced */
    run->points = NULL;
    status_t st = whole_table_open(run->path, &POINTS_TABLE, &update.file);
    if (st == STATUS_OK) st = table_read(&POINTS_TABLE, path, true, update_point, &update);
    st = whole_table_close(&update.file, st);
    return st == STATUS_OK ? grow_open(run->path, &POINTS_TABLE, &run->points) : st;
}
