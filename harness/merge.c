#include "harness/merge.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "harness/facts.h"
#include "harness/run.h"

enum { NAMED = 20 }; /* points that are named, of those missing */

typedef struct {
    char *key;
    char name[TEXT_LEN], shard[TEXT_LEN];
    int owner;  /* the directory that has it; -1 while none does */
    char *text; /* its row */
} planned_t;

typedef struct {
    const char *const *dirs;
    int dirs_len, dir; /* dir is being read */
    const char *out;
    planned_t *planned;
    int planned_len, planned_capacity, at;
    void *by_key; /* a tsearch tree of planned[] */
    int twice;
    joined_facts_t facts; /* of all shards */
    char path[PATH_LEN];  /* of the file that is being read or written */
    whole_table_t file;
} merge_t;

static status_t out_of_memory(void) {
    return fail(STATUS_OOM, "out of host memory for merging");
}

/* Room for one more item. */
static status_t grow(void **items, int len, int *capacity, size_t size) {
    if (len < *capacity) return STATUS_OK;
    const int wanted = *capacity ? 2 * *capacity : 64;
    void *moved = realloc(*items, (size_t)wanted * size);
    if (!moved) return out_of_memory();
    *items = moved;
    *capacity = wanted;
    return STATUS_OK;
}

/* Passes each row of a table of the current directory to visit(). */
static status_t read_from_dir(merge_t *m, const table_t *table, row_visit_t visit) {
    path_in(m->dirs[m->dir], table->file, m->path);
    return table_read(table, m->path, true, visit, m);
}

/* ---- facts ---- */

/* What must not differ for points to stand in one table. */
static bool must_agree(const char *key) {
    static const char *const keys[] = {"blroof", "git", "git_dirty", "device_name"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strcmp(key, keys[i])) return true;
    return false;
}

static status_t take_fact(void *ctx, const void *data, int line) {
    (void)line;
    merge_t *m = ctx;
    const run_row_t *row = data;
    const char *before = facts_value(&m->facts, row->key);
    if (before && must_agree(row->key) && !facts_hold(before, row->value))
        return fail(STATUS_USAGE, "%s: its %s is %s, that of %s is %s: they cannot be merged",
                    m->dirs[m->dir], row->key, row->value, m->dirs[0], before);
    return facts_join(&m->facts, row->key, row->value);
}

/* ---- what the sweep is ---- */

static int compare_planned(const void *a, const void *b) {
    return strcmp(((const planned_t *)a)->key, ((const planned_t *)b)->key);
}

static status_t add_planned(void *ctx, const void *data, int line) {
    (void)line;
    merge_t *m = ctx;
    const point_row_t *row = data;
    char key[POINT_KEY_LEN];
    void *planned = m->planned;
    const status_t st = grow(&planned, m->planned_len, &m->planned_capacity, sizeof *m->planned);
    m->planned = planned;
    if (st != STATUS_OK) return st;
    planned_t *p = &m->planned[m->planned_len++];
    *p = (planned_t){.owner = -1};
    point_key(row, key);
    p->key = strdup(key);
    row_set_text(p->shard, "%s", row->reason);
    row_set_text(p->name, "%s n=%.0f %s/%s %s", row->layer, row->tokens, row->structure,
                 row->variant, row->dtype);
    return p->key ? STATUS_OK : out_of_memory();
}

static status_t compare_with_first(void *ctx, const void *data, int line) {
    merge_t *m = ctx;
    const point_row_t *row = data;
    char key[POINT_KEY_LEN];
    point_key(row, key);
    if (m->at < m->planned_len && !strcmp(m->planned[m->at].key, key) &&
        !strcmp(m->planned[m->at].shard, row->reason)) {
        m->at++;
        return STATUS_OK;
    }
    return fail(STATUS_USAGE, "%s:%d: %s and %s are not shards of one sweep", m->path, line,
                m->dirs[0], m->dirs[m->dir]);
}

static status_t read_plan(merge_t *m) {
    if (!exists_in(m->dirs[m->dir], SWEEP_TABLE.file))
        return fail(STATUS_USAGE, "%s has no %s: merge takes what 'blroof sweep --shard' wrote",
                    m->dirs[m->dir], SWEEP_TABLE.file);
    m->at = 0;
    const status_t st =
        read_from_dir(m, &SWEEP_TABLE, m->dir == 0 ? add_planned : compare_with_first);
    if (st == STATUS_OK && m->dir > 0 && m->at < m->planned_len)
        return fail(STATUS_USAGE, "%s: %s and %s are not shards of one sweep", m->path, m->dirs[0],
                    m->dirs[m->dir]);
    return st;
}

static status_t index_plan(merge_t *m) {
    for (int i = 0; i < m->planned_len; i++) {
        const planned_t *const *node = tsearch(&m->planned[i], &m->by_key, compare_planned);
        if (!node) return out_of_memory();
        if (*node != &m->planned[i])
            return fail(STATUS_USAGE, "%s/%s: %s is there twice", m->dirs[0], SWEEP_TABLE.file,
                        m->planned[i].name);
    }
    return STATUS_OK;
}

/* ---- what the shards hold ---- */

static status_t row_as_text(const table_t *table, const void *row, char **out) {
    size_t len;
    FILE *file = open_memstream(out, &len);
    if (!file) return out_of_memory();
    const status_t st = table_write_row(table, file, "memory", row);
    if (fclose(file) != 0) return out_of_memory();
    return st;
}

static status_t take_point(void *ctx, const void *data, int line) {
    merge_t *m = ctx;
    char key[POINT_KEY_LEN];
    planned_t wanted = {.key = key};
    point_key(data, key);
    planned_t *const *node = tfind(&wanted, &m->by_key, compare_planned);
    if (!node)
        return fail(STATUS_USAGE, "%s:%d: this point is not of the sweep that %s was", m->path,
                    line, m->dirs[0]);
    planned_t *p = *node;
    if (p->owner >= 0) {
        if (m->twice++ < NAMED)
            fprintf(stderr, "twice: %s, in %s and %s\n", p->name, m->dirs[p->owner],
                    m->dirs[m->dir]);
        return STATUS_OK;
    }
    p->owner = m->dir;
    return row_as_text(&POINTS_TABLE, data, &p->text);
}

static status_t check_tiling(const merge_t *m) {
    int missing = 0;
    for (int i = 0; i < m->planned_len; i++)
        if (m->planned[i].owner < 0 && missing++ < NAMED)
            fprintf(stderr, "missing: %s, of %s\n", m->planned[i].name, m->planned[i].shard);
    if (missing == 0 && m->twice == 0) return STATUS_OK;
    return fail(STATUS_USAGE,
                "the shards do not make up the sweep: of its %d points %d are missing "
                "and %d are there twice",
                m->planned_len, missing, m->twice);
}

static status_t read_shards(merge_t *m) {
    status_t st = STATUS_OK;
    for (m->dir = 0; m->dir < m->dirs_len && st == STATUS_OK; m->dir++) {
        st = read_from_dir(m, &RUN_TABLE, take_fact);
        if (st == STATUS_OK) st = read_plan(m);
    }
    if (st == STATUS_OK) st = index_plan(m);
    for (m->dir = 0; m->dir < m->dirs_len && st == STATUS_OK; m->dir++)
        st = read_from_dir(m, &POINTS_TABLE, take_point);
    return st == STATUS_OK ? check_tiling(m) : st;
}

/* ---- the directory that is made ---- */

static void write_fact(void *ctx, const char *key, const char *value) {
    merge_t *m = ctx;
    run_row_t row;
    row_clear(&RUN_TABLE, &row);
    row_set_text(row.key, "%s", key);
    row_set_text(row.value, "%s", value);
    table_write_row(&RUN_TABLE, m->file.file, m->file.temporary, &row);
}

static status_t write_facts(merge_t *m) {
    char points[16];
    status_t st = whole_table_open(m->out, &RUN_TABLE, &m->file);
    if (st != STATUS_OK) return whole_table_close(&m->file, st);
    run_new_facts(write_fact, m);
    for (int i = 0; i < m->facts.len; i++) {
        const char *key = m->facts.items[i].key;
        if (!strcmp(key, "run_id"))
            write_fact(m, "merged_run_ids", m->facts.items[i].value);
        else if (strcmp(key, "utc") != 0 && strcmp(key, "argv") != 0 && strcmp(key, "points") != 0)
            write_fact(m, key, m->facts.items[i].value);
    }
    snprintf(points, sizeof points, "%d", m->planned_len);
    write_fact(m, "points", points);
    if (ferror(m->file.file)) st = fail(STATUS_IO, "cannot write %s", m->file.temporary);
    return whole_table_close(&m->file, st);
}

static status_t copy_ceiling(void *ctx, const void *row, int line) {
    (void)line;
    merge_t *m = ctx;
    return table_write_row(&CEILINGS_TABLE, m->file.file, m->file.temporary, row);
}

static status_t copy_sample(void *ctx, const void *row, int line) {
    (void)line;
    merge_t *m = ctx;
    return table_write_row(&SAMPLES_TABLE, m->file.file, m->file.temporary, row);
}

static status_t copy_tables(merge_t *m, const table_t *table, row_visit_t copy) {
    status_t st = whole_table_open(m->out, table, &m->file);
    for (m->dir = 0; m->dir < m->dirs_len && st == STATUS_OK; m->dir++)
        st = read_from_dir(m, table, copy);
    return whole_table_close(&m->file, st);
}

static status_t write_points(merge_t *m) {
    status_t st = whole_table_open(m->out, &POINTS_TABLE, &m->file);
    for (int i = 0; i < m->planned_len && st == STATUS_OK; i++)
        if (fputs(m->planned[i].text, m->file.file) == EOF)
            st = fail(STATUS_IO, "cannot write %s: %s", m->file.temporary, strerror(errno));
    return whole_table_close(&m->file, st);
}

static status_t write_run(merge_t *m) {
    lock_t lock = {0};
    if (mkdir(m->out, 0777) != 0 && errno != EEXIST)
        return fail(STATUS_IO, "cannot make the run directory %s: %s", m->out, strerror(errno));
    status_t st = STATUS_OK;
    TRY(lock_take(m->out, &lock));
    if (exists_in(m->out, RUN_TABLE.file)) {
        st = fail(STATUS_USAGE, "%s already holds a run: use another -o", m->out);
        goto cleanup;
    }
    TRY(copy_tables(m, &CEILINGS_TABLE, copy_ceiling));
    TRY(copy_tables(m, &SAMPLES_TABLE, copy_sample));
    TRY(write_points(m));
    TRY(write_facts(m)); /* last: what has no run.csv is no run */
cleanup:
    lock_release(&lock);
    return st;
}

static void say_machines(const merge_t *m) {
    for (int i = 0; i < m->facts.len; i++) {
        const bool machine =
            !strcmp(m->facts.items[i].key, "host") || !strcmp(m->facts.items[i].key, "gpu_uuid");
        if (machine && strstr(m->facts.items[i].value, FACTS_PARTED))
            fprintf(stderr, "measured on more than one %s: %s\n", m->facts.items[i].key,
                    m->facts.items[i].value);
    }
    fprintf(stderr, "%s: %d points of %d shards\n", m->out, m->planned_len, m->dirs_len);
}

status_t merge_runs(const char *const *dirs, int dirs_len, const char *out) {
    merge_t m = {.dirs = dirs, .dirs_len = dirs_len, .out = out};
    status_t st = read_shards(&m);
    if (st == STATUS_OK) st = write_run(&m);
    if (st == STATUS_OK) say_machines(&m);
    while (m.by_key) tdelete(*(planned_t **)m.by_key, &m.by_key, compare_planned);
    for (int i = 0; i < m.planned_len; i++) {
        free(m.planned[i].key);
        free(m.planned[i].text);
    }
    free(m.planned);
    facts_free(&m.facts);
    return st;
}
