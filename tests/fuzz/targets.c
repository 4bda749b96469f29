#include "tests/fuzz/targets.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/workload.h"
#include "profiles/groups.h"
#include "results/csv_table.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static char path_a[64], path_b[64];

/* A file in memory where there is /dev/shm: a reader wants a path. */
static const char *input_file(const uint8_t *bytes, size_t len) {
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path_a, sizeof path_a, "%s/blroof-fuzz-%d.csv", folder, (int)getpid());
    snprintf(path_b, sizeof path_b, "%s/blroof-fuzz-%d-again.csv", folder, (int)getpid());
    FILE *file = fopen(path_a, "wb");
    MUST(file && fwrite(bytes, 1, len, file) == len && fclose(file) == 0);
    return path_a;
}

static void remove_files(void) {
    unlink(path_a);
    unlink(path_b);
}

/* A failure says what is wrong in one line. */
static void must_explain(status_t st) {
    MUST(st == STATUS_OK || (*last_error() && !strchr(last_error(), '\n')));
}

/* ---- the LIST grammar ---- */

static int compare_values(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void read_list(const uint8_t *bytes, size_t len) {
    char *text = strndup((const char *)bytes, len);
    MUST(text);
    int_list_t list;
    const status_t st = int_list_parse(text, &list);
    must_explain(st);
    if (st == STATUS_OK) {
        MUST(list.count >= 1 && list.count <= 4096);
        qsort(list.values, (size_t)list.count, sizeof *list.values, compare_values);
        for (int i = 0; i < list.count; i++) {
            MUST(list.values[i] >= 1 && list.values[i] <= INT64_C(1) << 40);
            MUST(i == 0 || list.values[i] != list.values[i - 1]);
        }
        int_list_free(&list);
    }
    free(text);
}

/* ---- workloads ---- */

static void read_workload(const uint8_t *bytes, size_t len) {
    workload_t w;
    const status_t st = workload_load(input_file(bytes, len), NULL, &w);
    must_explain(st);
    MUST(st == STATUS_OK ? w.count >= 0 && w.count <= 1000000 : w.count == 0 && !w.entries);
    for (int i = 0; i < w.count; i++) {
        const problem_t *p = &w.entries[i].problem;
        char why[WHY_LEN];
        MUST(w.entries[i].structure && strchr(w.entries[i].layer, '/'));
        MUST(p->tokens >= 1 && p->in_features >= 1 && p->out_features >= 1 && p->blocks >= 1);
        if (i < 100) w.entries[i].structure->validate(p, why, sizeof why);
    }
    workload_free(&w);
    remove_files();
}

/* ---- tables ---- */

typedef struct {
    const table_t *table;
    FILE *out;
    int rows;
} copy_t;

static status_t copy_row(void *ctx, const void *row, int line) {
    copy_t *copy = ctx;
    (void)line;
    copy->rows++;
    return table_write_row(copy->table, copy->out, path_b, row);
}

static status_t count_row(void *ctx, const void *row, int line) {
    (void)row, (void)line;
    ++*(int *)ctx;
    return STATUS_OK;
}

/* What was read and written again reads the same number of rows. */
static void read_table(const table_t *table, const uint8_t *bytes, size_t len) {
    const char *path = input_file(bytes, len);
    long whole = -1;
    MUST(table_complete_bytes(path, &whole) == STATUS_OK && whole >= 0 && whole <= (long)len);
    copy_t copy = {.table = table, .out = fopen(path_b, "wb")};
    MUST(copy.out && table_write_header(table, copy.out, path_b) == STATUS_OK);
    const status_t st = table_read(table, path, false, copy_row, &copy);
    must_explain(st);
    MUST(fclose(copy.out) == 0);
    int again = 0;
    MUST(table_read(table, path_b, true, count_row, &again) == STATUS_OK);
    MUST(again == copy.rows);
    remove_files();
}

static void read_points(const uint8_t *bytes, size_t len) {
    read_table(&POINTS_TABLE, bytes, len);
}

static void read_run(const uint8_t *bytes, size_t len) {
    read_table(&RUN_TABLE, bytes, len);
}

/* ---- counter groups ---- */

static void read_group(const uint8_t *bytes, size_t len) {
    counter_group_t group;
    const status_t st = group_read(input_file(bytes, len), &group);
    must_explain(st);
    if (st == STATUS_OK) {
        MUST(group.chips_len >= 1 && group.chips_len <= GROUP_CHIPS);
        MUST(group.metrics_len >= 0 && group.metrics_len <= GROUP_METRICS);
        for (int i = 0; i < group.metrics_len; i++) {
            MUST(group_level_name(group.metrics[i].level) && *group.metrics[i].name);
            MUST(isfinite(group.metrics[i].factor));
        }
    }
    remove_files();
}

const fuzz_target_t FUZZ_TARGETS[] = {{"list", read_list},     {"workload", read_workload},
                                      {"points", read_points}, {"run", read_run},
                                      {"group", read_group},   {NULL, NULL}};

const fuzz_target_t *fuzz_target_find(const char *name) {
    for (const fuzz_target_t *t = FUZZ_TARGETS; t->name; t++)
        if (!strcmp(t->name, name)) return t;
    return NULL;
}
