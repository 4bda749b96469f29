/* Run directories for the tests of plots/: the fixture, or rows made by the test. */
#ifndef BLROOF_TESTS_REPORT_RUN_H
#define BLROOF_TESTS_REPORT_RUN_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

#include "harness/paths.h"
#include "results/csv_table.h"

enum { PATH_LEN = 1024 };

static char root[PATH_LEN - 64]; /* of this test's scratch directories */
static char run[PATH_LEN];       /* the run directory of the test at hand */

/* ---- files ---- */

static inline char *read_file(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = calloc(1, *len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *len, file), *len);
    fclose(file);
    return text;
}

/* A file of the report, which must be there. */
static inline char *read_report(const char *name, size_t *len) {
    char path[3 * PATH_LEN];
    size_t ignored;
    snprintf(path, sizeof path, "%s/report/%s", run, name);
    char *text = read_file(path, len ? len : &ignored);
    if (!text) {
        fail_msg("%s is missing", path);
        abort();
    }
    return text;
}

static inline bool has_report(const char *name) {
    char path[3 * PATH_LEN];
    snprintf(path, sizeof path, "%s/report/%s", run, name);
    return access(path, F_OK) == 0;
}

static inline void copy_fixture(const char *fixture, const char *name) {
    char from[3 * PATH_LEN], to[2 * PATH_LEN];
    size_t len = 0;
    snprintf(from, sizeof from, "%s/tests/fixtures/%s/%s", blroof_root(), fixture, name);
    snprintf(to, sizeof to, "%s/%s", run, name);
    char *text = read_file(from, &len);
    assert_non_null(text);
    FILE *file = fopen(to, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    free(text);
}

static inline int empty_run(void **state) {
    (void)state;
    static int number;
    snprintf(run, sizeof run, "%s/run%d", root, number++);
    return mkdir(run, 0777);
}

static inline int copy_run(void **state, const char *fixture) {
    if (empty_run(state) != 0) return -1;
    copy_fixture(fixture, "run.csv");
    copy_fixture(fixture, "points.csv");
    copy_fixture(fixture, "ceilings.csv");
    return 0;
}

static inline int fixture_run(void **state) {
    return copy_run(state, "run_cpu");
}

/* A GPU whose points were counted, all but one. */
static inline int counted_run(void **state) {
    return copy_run(state, "run_gpu");
}

/* The line that starts with `start`, without its end; NULL if there is none. */
static inline const char *line_of(const char *text, const char *start, char *line, size_t len) {
    for (const char *at = text; at; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, start, strlen(start)) != 0) continue;
        snprintf(line, len, "%.*s", (int)strcspn(at, "\n"), at);
        return line;
    }
    return NULL;
}

static inline void assert_line(const char *text, const char *start, const char *expected) {
    char line[1024];
    if (!line_of(text, start, line, sizeof line)) fail_msg("no line starts with \"%s\"", start);
    assert_string_equal(line, expected);
}

/* ---- runs made here ---- */

static inline void make_row(point_row_t *row, const char *layer, const char *structure,
                            const char *variant, double tokens, double time_us) {
    row_clear(&POINTS_TABLE, row);
    row_set_text(row->run_id, "made-here");
    row_set_text(row->device, "cpu");
    row_set_text(row->workload, "w");
    row_set_text(row->layer, "%s", layer);
    row_set_text(row->structure, "%s", structure);
    row_set_text(row->variant, "%s", variant);
    row_set_text(row->dtype, "fp32");
    row_set_text(row->cache, "rotate");
    row_set_text(row->status, "%s", isnan(time_us) ? "unsupported" : "ok");
    row_set_text(row->reason, "%s", isnan(time_us) ? "of no use" : "");
    row->tokens = tokens;
    row->in_features = 64;
    row->out_features = 32;
    row->time_us = time_us;
    if (isnan(time_us)) return;
    row->tflops = 1e-3 / time_us;
    row->intensity = 2;
    row_set_text(row->intensity_source, "model");
}

static inline void write_rows(const point_row_t *rows, int count) {
    char path[3 * PATH_LEN];
    snprintf(path, sizeof path, "%s/points.csv", run);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(table_write_header(&POINTS_TABLE, file, path), STATUS_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(table_write_row(&POINTS_TABLE, file, path, &rows[i]), STATUS_OK);
    assert_int_equal(fclose(file), 0);
}

static inline int make_root(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/blroof-report-%d", (int)getpid());
    return mkdir(root, 0777);
}

static inline int remove_root(void **state) {
    (void)state;
    char command[PATH_LEN];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

#endif
