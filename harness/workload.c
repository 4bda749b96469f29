#include "harness/workload.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/paths.h"
#include "harness/registry.h"
#include "results/csv_table.h"

static const int64_t MAX_ENTRIES = 1000000;
static const double MAX_FEATURES = 1099511627776.0; /* 2^40, as for the values of a LIST */

typedef struct {
    const char *path;
    const workload_lists_t *lists;
    workload_t *out;
    int capacity, layer_capacity;
} loader_t;

/* Makes room for `needed` items of `size` bytes. */
static status_t reserve(void **items, int *capacity, int64_t needed, size_t size) {
    if (needed <= *capacity) return STATUS_OK;
    const int64_t grown = needed > 2 * (int64_t)*capacity ? needed : 2 * (int64_t)*capacity;
    void *moved = realloc(*items, (size_t)grown * size);
    if (!moved) return fail(STATUS_OOM, "out of memory for a workload");
    *items = moved;
    *capacity = (int)grown;
    return STATUS_OK;
}

/* Length of the UTF-8 character at text, or 0 if it is malformed or a control character. */
static size_t printable_utf8(const unsigned char *text) {
    static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (*text < 0x80) return *text >= 0x20 && *text != 0x7F;
    const size_t size = *text >= 0xF0 ? 4 : *text >= 0xE0 ? 3 : 2;
    unsigned code = *text & (0xFFu >> (size + 1));
    if (*text < 0xC0 || *text > 0xF4) return 0;
    for (size_t i = 1; i < size; i++) {
        if ((text[i] & 0xC0) != 0x80) return 0;
        code = code << 6 | (text[i] & 0x3Fu);
    }
    const bool surrogate = code >= 0xD800 && code <= 0xDFFF, c1 = code >= 0x80 && code < 0xA0;
    return code < least[size] || code > 0x10FFFF || surrogate || c1 ? 0 : size;
}

static status_t check_name(const loader_t *l, int line, const char *column, const char *text) {
    if (!*text)
        return fail(STATUS_USAGE, "%s:%d:%s: empty: expected a name", l->path, line, column);
    for (const char *at = text; *at;) {
        const size_t size = printable_utf8((const unsigned char *)at);
        if (size == 0)
            return fail(STATUS_USAGE,
                        "%s:%d:%s: byte %d is not printable UTF-8: expected a plain name", l->path,
                        line, column, (int)(at - text) + 1);
        at += size;
    }
    return STATUS_OK;
}

static status_t check_features(const loader_t *l, int line, const char *column, double value) {
    if (value >= 1 && value <= MAX_FEATURES) return STATUS_OK;
    return fail(STATUS_USAGE, "%s:%d:%s: expected a whole number from 1 to 2^40", l->path, line,
                column);
}

static status_t find_structure(const loader_t *l, int line, const char *name,
                               const structure_t **out) {
    char known[256] = "";
    *out = structure_find(name);
    if (*out) return STATUS_OK;
    for (int i = 0; i < structure_count(); i++) {
        const size_t len = strlen(known);
        snprintf(known + len, sizeof known - len, "%s%s", i ? ", " : "", structure_at(i)->name);
    }
    return fail(STATUS_USAGE, "%s:%d:structure: unknown structure \"%s\": expected one of %s",
                l->path, line, name, known);
}

/* A structure says that it needs blocks (rank, heads) by refusing 0 where it takes 1. */
static bool refuses_zero(const structure_t *structure, size_t member) {
    char why[WHY_LEN];
    problem_t p = {.tokens = 1,
                   .in_features = 1,
                   .out_features = 1,
                   .blocks = 1,
                   .rank = 1,
                   .batch = 1,
                   .heads = 1,
                   .kv_heads = 1,
                   .context = 1};
    *(int64_t *)(void *)((char *)&p + member) = 0;
    return !structure->validate(&p, why, sizeof why);
}

/* A cell of attention: missing_value where it is empty. */
static status_t read_cell(const loader_t *l, int line, const workload_row_t *row,
                          const char *column, double cell, bool used, double missing_value,
                          double limit, int64_t *out) {
    *out = (int64_t)missing_value;
    if (isnan(cell)) return STATUS_OK;
    if (!used)
        return fail(STATUS_USAGE, "%s:%d:%s: \"%.0f\": %s has no use for it: leave it empty",
                    l->path, line, column, cell, row->structure);
    if (cell > limit || (cell < 1 && limit > 1))
        return fail(STATUS_USAGE, "%s:%d:%s: expected %s", l->path, line, column,
                    limit > 1 ? "a whole number from 1 to 2^40" : "0 or 1");
    *out = (int64_t)cell;
    return STATUS_OK;
}

/* An empty context is as many tokens as the query has: it stays 0 until they are known. */
static status_t read_attention(const loader_t *l, int line, const workload_row_t *row,
                               const structure_t *structure, problem_t *p) {
    const bool used = refuses_zero(structure, offsetof(problem_t, heads));
    int64_t causal = 0;
    status_t st;
    if (used && isnan(row->heads))
        return fail(STATUS_USAGE, "%s:%d:heads: empty: %s needs a whole number here", l->path, line,
                    row->structure);
    TRY(read_cell(l, line, row, "batch", row->batch, used, used ? 1 : 0, MAX_FEATURES, &p->batch));
    TRY(read_cell(l, line, row, "heads", row->heads, used, 0, MAX_FEATURES, &p->heads));
    TRY(read_cell(l, line, row, "kv_heads", row->kv_heads, used, used ? row->heads : 0,
                  MAX_FEATURES, &p->kv_heads));
    TRY(read_cell(l, line, row, "context", row->context, used, 0, MAX_FEATURES, &p->context));
    TRY(read_cell(l, line, row, "causal", row->causal, used, 0, 1, &causal));
    p->causal = causal > 0;
cleanup:
    return st;
}

typedef struct {
    const char *column, *cell;
    const int_list_t *override;
    bool used;
    int64_t unused_value; /* what the problem holds where the structure has no use for it */
} axis_t;

/* Fills *values (freed by the caller): the cell's list, checked even where an override replaces it.
 */
static status_t axis_values(const loader_t *l, int line, const workload_row_t *row,
                            const axis_t *axis, int_list_t *values) {
    if (*axis->cell) {
        const status_t st = int_list_parse(axis->cell, values);
        if (st != STATUS_OK)
            return fail(st, "%s:%d:%s: %s", l->path, line, axis->column, last_error());
    } else if (axis->used && !axis->override) {
        return fail(STATUS_USAGE, "%s:%d:%s: empty: %s needs a LIST here, such as 16 or 1..64x2",
                    l->path, line, axis->column, row->structure);
    }
    if (!axis->used && values->count > 0 &&
        (values->count > 1 || values->values[0] != axis->unused_value))
        return fail(STATUS_USAGE, "%s:%d:%s: \"%s\": %s has no use for it: leave it empty", l->path,
                    line, axis->column, axis->cell, row->structure);
    if (axis->used && !axis->override) return STATUS_OK;
    const int_list_t unused = {(int64_t[]){axis->unused_value}, 1};
    const int_list_t *from = axis->used ? axis->override : &unused;
    int_list_free(values);
    values->values = malloc((size_t)from->count * sizeof *values->values);
    if (!values->values) return fail(STATUS_OOM, "out of memory for a workload");
    memcpy(values->values, from->values, (size_t)from->count * sizeof *values->values);
    values->count = from->count;
    return STATUS_OK;
}

static status_t add_layer(loader_t *l, const workload_row_t *row, int line, const char **layer) {
    char text[TEXT_LEN];
    const int len = snprintf(text, sizeof text, "%s/%s", row->model, row->layer);
    if (len >= (int)sizeof text)
        return fail(STATUS_USAGE, "%s:%d:layer: model and layer have more than %d bytes together",
                    l->path, line, TEXT_LEN - 2);
    void *layers = l->out->layers;
    status_t st = reserve(&layers, &l->layer_capacity, l->out->layer_count + 1LL, sizeof(char *));
    l->out->layers = layers;
    if (st != STATUS_OK) return st;
    char *copy = strdup(text);
    if (!copy) return fail(STATUS_OOM, "out of memory for a workload");
    l->out->layers[l->out->layer_count++] = copy;
    *layer = copy;
    return STATUS_OK;
}

static status_t add_entries(loader_t *l, int line, const workload_entry_t *base,
                            const int_list_t axes[3]) {
    workload_t *out = l->out;
    const int64_t total =
        out->count + (int64_t)axes[0].count * axes[1].count * (int64_t)axes[2].count;
    if (total > MAX_ENTRIES)
        return fail(STATUS_USAGE, "%s:%d:tokens: more than 1e6 points: shorten a LIST", l->path,
                    line);
    void *entries = out->entries;
    status_t st = reserve(&entries, &l->capacity, total, sizeof *out->entries);
    out->entries = entries;
    if (st != STATUS_OK) return st;
    workload_entry_t entry = *base;
    for (int i = 0; i < axes[0].count; i++)
        for (int j = 0; j < axes[1].count; j++)
            for (int k = 0; k < axes[2].count; k++) {
                entry.problem.tokens = axes[0].values[i];
                entry.problem.blocks = axes[1].values[j];
                entry.problem.rank = axes[2].values[k];
                if (entry.problem.heads > 0 && base->problem.context == 0)
                    entry.problem.context = entry.problem.tokens;
                out->entries[out->count++] = entry;
            }
    return STATUS_OK;
}

static status_t on_row(void *ctx, const void *data, int line) {
    loader_t *l = ctx;
    const workload_row_t *row = data;
    workload_entry_t base = {0};
    int_list_t values[3] = {{0}};
    status_t st;
    TRY(check_name(l, line, "model", row->model));
    TRY(check_name(l, line, "layer", row->layer));
    TRY(check_name(l, line, "structure", row->structure));
    TRY(find_structure(l, line, row->structure, &base.structure));
    TRY(check_features(l, line, "in_features", row->in_features));
    TRY(check_features(l, line, "out_features", row->out_features));
    base.problem = (problem_t){.tokens = 1,
                               .in_features = (int64_t)row->in_features,
                               .out_features = (int64_t)row->out_features,
                               .blocks = 1,
                               .rank = 1};
    TRY(read_attention(l, line, row, base.structure, &base.problem));
    const bool blocks = refuses_zero(base.structure, offsetof(problem_t, blocks));
    const bool rank = refuses_zero(base.structure, offsetof(problem_t, rank));
    const axis_t axes[] = {
        /* an empty cell is refused even where the override would fill it */
        {"tokens", row->tokens, *row->tokens ? l->lists->tokens : NULL, true, 0},
        {"blocks", row->blocks, l->lists->blocks, blocks, 1},
        {"rank", row->rank, l->lists->rank, rank, 0},
    };
    for (int i = 0; i < 3; i++) TRY(axis_values(l, line, row, &axes[i], &values[i]));
    TRY(add_layer(l, row, line, &base.layer));
    TRY(add_entries(l, line, &base, values));
cleanup:
    for (int i = 0; i < 3; i++) int_list_free(&values[i]);
    return st;
}

/* Orders by content alone: 0 for entries that are the same point. */
static int compare_content(const workload_entry_t *a, const workload_entry_t *b) {
    int order = a->layer == b->layer ? 0 : strcmp(a->layer, b->layer);
    if (!order) order = strcmp(a->structure->name, b->structure->name);
    return order ? order : problem_compare(&a->problem, &b->problem);
}

/* Compares indices of entries; equal ones stay in the order of the file. */
static int compare_entries(const void *a, const void *b, void *entries) {
    const int i = *(const int *)a, j = *(const int *)b;
    const workload_entry_t *all = entries;
    const int order = compare_content(&all[i], &all[j]);
    return order ? order : i - j;
}

/* Keeps the first of equal entries. */
static status_t drop_duplicates(workload_t *w) {
    const size_t count = (size_t)w->count;
    int *sorted = calloc(count, sizeof *sorted);
    bool *duplicate = calloc(count, sizeof *duplicate);
    status_t st = STATUS_OK;
    if (!sorted || !duplicate) {
        st = fail(STATUS_OOM, "out of memory for a workload");
        goto cleanup;
    }
    for (int i = 0; i < w->count; i++) sorted[i] = i;
    qsort_r(sorted, count, sizeof *sorted, compare_entries, w->entries);
    for (int i = 1; i < w->count; i++)
        if (compare_content(&w->entries[sorted[i - 1]], &w->entries[sorted[i]]) == 0)
            duplicate[sorted[i]] = true;
    int kept = 0;
    for (int i = 0; i < w->count; i++)
        if (!duplicate[i]) w->entries[kept++] = w->entries[i];
    w->count = kept;
cleanup:
    free(sorted);
    free(duplicate);
    return st;
}

static bool ends_in_csv(const char *text) {
    const size_t len = strlen(text);
    return len > 4 && !strcmp(text + len - 4, ".csv");
}

static void set_name(workload_t *out, const char *path) {
    const char *slash = strrchr(path, '/');
    row_set_text(out->name, "%s", slash ? slash + 1 : path);
    if (ends_in_csv(out->name)) out->name[strlen(out->name) - 4] = '\0';
}

status_t workload_load(const char *name_or_path, const workload_lists_t *lists, workload_t *out) {
    static const workload_lists_t none = {0};
    char path[PATH_MAX];
    loader_t loader = {.path = path, .lists = lists ? lists : &none, .out = out};
    status_t st;
    *out = (workload_t){0};
    TRY(data_find("workloads", ".csv", "workload", name_or_path, path));
    set_name(out, path);
    TRY(table_read(&WORKLOAD_TABLE, path, true, on_row, &loader));
    if (out->count > 0)
        st = drop_duplicates(out);
    else
        st = fail(STATUS_USAGE, "%s:2:model: no layers: expected a line for each after the header",
                  path);
cleanup:
    if (st != STATUS_OK) workload_free(out);
    return st;
}

void workload_free(workload_t *workload) {
    for (int i = 0; i < workload->layer_count; i++) free(workload->layers[i]);
    free(workload->layers);
    free(workload->entries);
    *workload = (workload_t){0};
}

status_t workload_names(void (*visit)(void *ctx, const char *name), void *ctx) {
    return data_names("workloads", ".csv", visit, ctx);
}
