/* sweep.csv: the points that all shards of a sweep together are to measure. */
#include <string.h>

#include "harness/run.h"

typedef struct {
    const char *path;
    int at, count;
    void (*describe)(void *, int i, point_row_t *);
    void *ctx;
} plan_t;

static status_t compare_planned(void *ctx, const void *row, int line) {
    plan_t *p = ctx;
    point_row_t planned;
    char filed_key[POINT_KEY_LEN], key[POINT_KEY_LEN];
    const point_row_t *filed = row;
    if (p->at < p->count) {
        p->describe(p->ctx, p->at++, &planned);
        point_key(filed, filed_key);
        point_key(&planned, key);
        if (!strcmp(filed_key, key) && !strcmp(filed->reason, planned.reason)) return STATUS_OK;
    }
    return fail(STATUS_USAGE,
                "%s:%d: not a point of this sweep, or of another shard: use the "
                "same command or another -o",
                p->path, line);
}

static status_t write_plan(const run_t *run, const plan_t *p) {
    whole_table_t w;
    status_t st = whole_table_open(run->path, &SWEEP_TABLE, &w);
    for (int i = 0; i < p->count && st == STATUS_OK; i++) {
        point_row_t row;
        p->describe(p->ctx, i, &row);
        st = table_write_row(&SWEEP_TABLE, w.file, w.temporary, &row);
    }
    return whole_table_close(&w, st);
}

status_t run_file_plan(run_t *run, int count, void (*describe)(void *, int i, point_row_t *),
                       void *ctx) {
    char path[PATH_LEN];
    plan_t plan = {.path = path, .count = count, .describe = describe, .ctx = ctx};
    path_in(run->path, SWEEP_TABLE.file, path);
    if (!exists_in(run->path, SWEEP_TABLE.file)) return write_plan(run, &plan);
    const status_t st = table_read(&SWEEP_TABLE, path, true, compare_planned, &plan);
    if (st == STATUS_OK && plan.at < count)
        return fail(STATUS_USAGE,
                    "%s: only %d of the %d points of this sweep: use the same command "
                    "or another -o",
                    path, plan.at, count);
    return st;
}
