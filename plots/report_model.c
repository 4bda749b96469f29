#include "plots/report_model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/facts.h"
#include "plots/report_text.h"

enum { PATH_LEN = 1280 };

/* Room for one more element of `size` bytes behind `count` of them: grows at powers of two. */
static void *grow(void *array, int count, size_t size) {
    if (count & (count - 1)) return array;
    return realloc(array, (count ? 2 * (size_t)count : 1) * size);
}

/* Appends a copy of `item` to array[count] and counts it. */
#define APPEND(array, count, item)                                                                 \
    append((void **)&(array), &(count), sizeof *(array), (item)) /* STATUS_OOM when it fails */

static status_t append(void **array, int *count, size_t size, const void *item) {
    void *grown = grow(*array, *count, size);
    if (!grown) return fail(STATUS_OOM, "out of host memory for the report");
    *array = grown;
    memcpy((char *)grown + (size_t)(*count)++ * size, item, size);
    return STATUS_OK;
}

/* ---- reading ---- */

static status_t add_point(void *ctx, const void *row, int line) {
    (void)line;
    report_t *r = ctx;
    return APPEND(r->points, r->points_len, row);
}

static status_t add_ceiling(void *ctx, const void *row, int line) {
    (void)line;
    report_t *r = ctx;
    return APPEND(r->ceilings, r->ceilings_len, row);
}

static status_t add_fact(void *ctx, const void *row, int line) {
    (void)line;
    report_t *r = ctx;
    return APPEND(r->facts, r->facts_len, row);
}

static status_t add_model(void *ctx, const void *row, int line) {
    (void)line;
    report_t *r = ctx;
    return APPEND(r->models, r->models_len, row);
}

static status_t add_model_layer(void *ctx, const void *row, int line) {
    (void)line;
    report_t *r = ctx;
    return APPEND(r->model_layers, r->model_layers_len, row);
}

/* A table that may be absent: rows of older or partial runs may lack columns too. */
static status_t read_table(report_t *r, const table_t *table, bool required, row_visit_t visit) {
    char path[PATH_LEN];
    snprintf(path, sizeof path, "%s/%s", r->dir, table->file);
    if (access(path, F_OK) != 0) {
        if (errno == ENOENT && !required) return STATUS_OK;
        return fail(STATUS_IO, "cannot read %s: %s: is this the directory of a sweep?", path,
                    strerror(errno));
    }
    return table_read(table, path, false, visit, r);
}

/* ---- public ---- */

bool is_dense(const point_row_t *row) {
    return !strcmp(row->structure, "dense");
}

bool is_counted(const point_row_t *row) {
    return !isnan(row->dram_read_bytes);
}

status_t report_load(const char *run_dir, report_t *r) {
    status_t st = STATUS_OK;
    *r = (report_t){0};
    if (strlen(run_dir) >= sizeof r->dir)
        return fail(STATUS_USAGE, "the path of the run directory is too long");
    snprintf(r->dir, sizeof r->dir, "%s", run_dir);
    TRY(read_table(r, &MODELS_TABLE, false, add_model));
    TRY(read_table(r, &MODEL_LAYERS_TABLE, false, add_model_layer));
    TRY(read_table(r, &POINTS_TABLE, r->models_len == 0, add_point));
    TRY(read_table(r, &CEILINGS_TABLE, false, add_ceiling));
    TRY(read_table(r, &RUN_TABLE, false, add_fact));
    if (r->points_len == 0 && r->models_len == 0) {
        st = fail(STATUS_USAGE, "%s/%s has no rows: run the sweep again", run_dir,
                  POINTS_TABLE.file);
        goto cleanup;
    }
    if (r->points_len > 0 && (!*r->points[0].structure || !*r->points[0].status)) {
        st = fail(STATUS_USAGE,
                  "%s/%s has no structure or no status in its first row: is it a "
                  "table of points?",
                  run_dir, POINTS_TABLE.file);
        goto cleanup;
    }
    r->own_len = r->points_len;
    TRY(report_arrange(r));
cleanup:
    if (st != STATUS_OK) report_free(r);
    return st;
}

status_t report_of_rows(const point_row_t *points, int points_len, const ceiling_row_t *ceilings,
                        int ceilings_len, const run_row_t *facts, int facts_len, report_t *r) {
    status_t st = STATUS_OK;
    *r = (report_t){0};
    for (int i = 0; i < points_len; i++) TRY(add_point(r, &points[i], 0));
    for (int i = 0; i < ceilings_len; i++) TRY(add_ceiling(r, &ceilings[i], 0));
    for (int i = 0; i < facts_len; i++) TRY(add_fact(r, &facts[i], 0));
    r->own_len = r->points_len;
    TRY(report_arrange(r));
cleanup:
    if (st != STATUS_OK) report_free(r);
    return st;
}

status_t report_append(report_t *r, const point_row_t *points, int count) {
    for (int i = 0; i < count; i++) {
        const status_t st = add_point(r, &points[i], 0);
        if (st != STATUS_OK) return st;
    }
    return report_arrange(r);
}

void report_free(report_t *r) {
    report_forget_places(r);
    free(r->points);
    free(r->ceilings);
    free(r->facts);
    free(r->models);
    free(r->model_layers);
    *r = (report_t){0};
}

const char *report_fact(const report_t *r, const char *key) {
    for (int i = 0; i < r->facts_len; i++)
        if (!strcmp(r->facts[i].key, key)) return r->facts[i].value;
    return "";
}

/* Facts that differ between the shards of a merged run stand side by side in one cell. */
static const char *several_machines(const report_t *r) {
    if (strstr(report_fact(r, "gpu_uuid"), FACTS_PARTED)) return ", several GPUs";
    return strstr(report_fact(r, "host"), FACTS_PARTED) && !*report_fact(r, "gpu_uuid")
               ? ", several hosts"
               : "";
}

bool report_on(const report_t *r, int section, const char *device) {
    return r->together || !strcmp(r->sections[section].device, device);
}

void report_device(const report_t *r, const char *device, char *buffer, size_t len) {
    const char *name = report_fact(r, "device_name"), *all = report_fact(r, "device");
    const bool one_of_all = strstr(all, ":all") && strcmp(all, device) != 0;
    if (*name && *device && (one_of_all || strstr(all, device)) && strcmp(name, device))
        snprintf(buffer, len, "%s (%s%s)", name, device, one_of_all ? "" : several_machines(r));
    else
        snprintf(buffer, len, "%s", *device ? device : "unknown device");
}

/* "NAME TEXT", with what stands before it; nothing for an empty number. */
static void tell_number(FILE *out, const char *before, double value, const char *behind) {
    char text[NUMBER_LEN];
    if (*number_text(value, text)) fprintf(out, "%s%s%s", before, text, behind);
}

void report_tell(const report_t *r, int i, FILE *out) {
    const point_row_t *row = &r->points[i];
    const place_t *p = &r->places[i];
    text_tsv(out, row->layer);
    fprintf(out, " (%.0f \342\206\222 %.0f), %.0f tokens, ", row->in_features, row->out_features,
            row->tokens);
    text_tsv(out, r->series[p->series].label);
    if (!is_dense(row)) {
        if (row->blocks > 1) fprintf(out, " b%.0f", row->blocks);
        if (row->rank > 0) fprintf(out, " r%.0f", row->rank);
    }
    tell_number(out, ": ", row->time_us, " us");
    if (!isnan(row->time_ci_low_us)) {
        tell_number(out, " (", row->time_ci_low_us, " to ");
        tell_number(out, "", row->time_ci_high_us, ")");
    }
    tell_number(out, ", ", p->speedup, "x dense");
    tell_number(out, ", ", row->tflops, " TFLOP/s");
    tell_number(out, ", ", row->roof_pct, " % of roof");
    if (*row->bound) fprintf(out, " (%s)", row->bound);
    tell_number(out, ", DRAM read ", row->dram_read_bytes / 1e6, " MB");
    fputs(p->peer                             ? ", of another tool"
          : !strcmp(row->launch, "predicted") ? ", predicted"
          : is_counted(row)                   ? ", measured and counted"
                                              : ", measured",
          out);
}

int report_count_ok(const report_t *r) {
    int ok = 0;
    for (int i = 0; i < r->own_len; i++) ok += r->places[i].ok;
    return ok;
}

double report_unit(const char *unit) {
    static const struct {
        const char *unit;
        double scale;
    } units[] = {{"GB/s", 1e9}, {"TFLOP/s", 1e12}, {"GFLOP/s", 1e9}, {"TOP/s", 1e12}, {"us", 1e-6}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(unit, units[i].unit)) return units[i].scale;
    return NAN;
}

roof_ceilings_t report_ceilings(const report_t *r, int section, const char *matrix_dtype) {
    roof_ceilings_t ceilings = roof_ceilings_none();
    for (int i = 0; i < r->ceilings_len; i++) {
        const ceiling_row_t *row = &r->ceilings[i];
        if (!report_on(r, section, row->device)) continue;
        ceiling_t ceiling = {.kind = CEILING_DRAM, .dtype = row->dtype, .method = row->method};
        while (ceiling.kind < CEILING_KIND_COUNT &&
               strcmp(row->kind, ceiling_kind_name(ceiling.kind)))
            ceiling.kind++;
        ceiling.value = row->value * report_unit(row->unit);
        roof_ceilings_add(&ceilings, &ceiling,
                          *matrix_dtype ? matrix_dtype : r->sections[section].dtype);
    }
    return ceilings;
}
