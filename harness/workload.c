#include "harness/workload.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/paths.h"
#include "harness/registry.h"
#include "results/csv_table.h"

enum { PATH_LEN = 4400, MAX_ENTRIES = 1000000 };

typedef struct {
    const char *path;
    const int_list_t *tokens, *blocks, *rank;
    workload_t *workload;
} loader_t;

static bool same_entry(const workload_entry_t *a, const workload_entry_t *b) {
    const problem_t *p = &a->problem, *q = &b->problem;
    return a->structure == b->structure && p->tokens == q->tokens &&
           p->in_features == q->in_features && p->out_features == q->out_features &&
           p->blocks == q->blocks && p->rank == q->rank && !strcmp(a->layer, b->layer);
}

static status_t append(const loader_t *l, int line, int row_start, const workload_entry_t *entry) {
    workload_t *w = l->workload;
    for (int i = row_start; i < w->count; i++)
        if (same_entry(&w->entries[i], entry)) return STATUS_OK;
    if (w->count == MAX_ENTRIES)
        return fail(STATUS_USAGE, "%s:%d: the workload has more than %d entries", l->path, line,
                    MAX_ENTRIES);
    if (w->count == w->capacity) {
        const int capacity = w->capacity ? 2 * w->capacity : 64;
        workload_entry_t *grown = realloc(w->entries, (size_t)capacity * sizeof *grown);
        if (!grown) return fail(STATUS_OOM, "out of host memory for the workload");
        w->entries = grown;
        w->capacity = capacity;
    }
    w->entries[w->count++] = *entry;
    return STATUS_OK;
}

/* The list of a cell, or the one given instead; an empty cell is one 0. */
static status_t cell_list(const loader_t *l, int line, const char *column, const char *cell,
                          const int_list_t *instead, int_list_t *own, int_list_t *out) {
    static int64_t none[] = {0};
    *own = (int_list_t){0};
    if (!*cell) {
        *out = (int_list_t){none, 1};
        return STATUS_OK;
    }
    status_t st = int_list_parse(cell, own);
    if (st != STATUS_OK) {
        char why[256];
        snprintf(why, sizeof why, "%s", last_error());
        return fail(st, "%s:%d:%s: %s", l->path, line, column, why);
    }
    *out = instead ? *instead : *own;
    return STATUS_OK;
}

static status_t check_row(const loader_t *l, int line, const workload_row_t *row) {
    if (!*row->layer) return fail(STATUS_USAGE, "%s:%d:layer: a name was expected", l->path, line);
    if (!structure_find(row->structure))
        return fail(STATUS_USAGE,
                    "%s:%d:structure: no structure '%s': see 'blroof list structures'", l->path,
                    line, row->structure);
    if (!(row->in_features >= 1) || row->in_features > 0x1p31)
        return fail(STATUS_USAGE, "%s:%d:in_features: 1 to 2^31 was expected", l->path, line);
    if (!(row->out_features >= 1) || row->out_features > 0x1p31)
        return fail(STATUS_USAGE, "%s:%d:out_features: 1 to 2^31 was expected", l->path, line);
    if (!*row->tokens)
        return fail(STATUS_USAGE, "%s:%d:tokens: a number or list was expected", l->path, line);
    return STATUS_OK;
}

static status_t load_row(void *ctx, const void *data, int line) {
    const loader_t *l = ctx;
    const workload_row_t *row = data;
    const char *const columns[3] = {"tokens", "blocks", "rank"};
    const char *const cells[3] = {row->tokens, row->blocks, row->rank};
    const int_list_t *const instead[3] = {l->tokens, l->blocks, l->rank};
    int_list_t own[3] = {{0}}, list[3];
    status_t st = check_row(l, line, row);
    for (int i = 0; i < 3 && st == STATUS_OK; i++) {
        /* a dense row has one block, whatever blocks the others are to have */
        const bool fixed = i == 1 && !*row->rank;
        st = cell_list(l, line, columns[i], cells[i], fixed ? NULL : instead[i], &own[i], &list[i]);
    }
    workload_entry_t entry = {.structure = row->structure};
    if (st == STATUS_OK) {
        entry.structure = structure_find(row->structure)->name;
        row_set_text(entry.layer, "%s%s%s", row->model, *row->model ? "/" : "", row->layer);
    }
    const int row_start = l->workload->count;
    for (int i = 0; st == STATUS_OK && i < list[0].count; i++)
        for (int j = 0; st == STATUS_OK && j < list[1].count; j++)
            for (int k = 0; st == STATUS_OK && k < list[2].count; k++) {
                entry.problem = (problem_t){.tokens = list[0].values[i],
                                            .in_features = (int64_t)row->in_features,
                                            .out_features = (int64_t)row->out_features,
                                            .blocks = list[1].values[j],
                                            .rank = list[2].values[k]};
                st = append(l, line, row_start, &entry);
            }
    for (int i = 0; i < 3; i++) int_list_free(&own[i]);
    return st;
}

static void add_name(void *ctx, const char *name) {
    char *names = ctx;
    const size_t len = strlen(names);
    snprintf(names + len, 256 - len, "%s%s", len ? ", " : "", name);
}

static status_t find(const char *name, char path[PATH_LEN]) {
    const size_t len = strlen(name);
    if (strchr(name, '/') || (len > 4 && !strcmp(name + len - 4, ".csv"))) {
        snprintf(path, PATH_LEN, "%s", name);
        return STATUS_OK;
    }
    snprintf(path, PATH_LEN, "%s/harness/workloads/%s.csv", blroof_root(), name);
    if (access(path, F_OK) == 0) return STATUS_OK;
    char names[256] = "";
    workload_names(add_name, names);
    return fail(STATUS_USAGE, "no workload '%s': there are %s; a file's name ends in .csv", name,
                names);
}

status_t workload_load(const char *name_or_path, const int_list_t *tokens, const int_list_t *blocks,
                       const int_list_t *rank, workload_t *out) {
    char path[PATH_LEN];
    *out = (workload_t){0};
    status_t st = find(name_or_path, path);
    if (st != STATUS_OK) return st;
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    row_set_text(out->name, "%.*s", (int)strcspn(base, "."), base);
    const loader_t loader = {path, tokens, blocks, rank, out};
    st = table_read(&WORKLOAD_TABLE, path, true, load_row, (void *)&loader);
    if (st == STATUS_OK && out->count == 0)
        st = fail(STATUS_USAGE, "%s:2: the workload has no layers", path);
    if (st != STATUS_OK) workload_free(out);
    return st;
}

void workload_free(workload_t *workload) {
    free(workload->entries);
    *workload = (workload_t){0};
}

static int is_csv(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot && !strcmp(dot, ".csv");
}

status_t workload_names(void (*visit)(void *ctx, const char *name), void *ctx) {
    char path[PATH_LEN];
    struct dirent **entries;
    snprintf(path, sizeof path, "%s/harness/workloads", blroof_root());
    const int count = scandir(path, &entries, is_csv, alphasort);
    if (count < 0) return fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        *strrchr(entries[i]->d_name, '.') = '\0';
        visit(ctx, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return STATUS_OK;
}
