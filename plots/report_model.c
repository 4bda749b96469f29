#include "plots/report_model.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* ---- sections, layers, series ---- */

static bool same_number(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

bool is_dense(const point_row_t *row) {
    return !strcmp(row->structure, "dense");
}

bool is_counted(const point_row_t *row) {
    return !isnan(row->dram_read_bytes);
}

static status_t find_section(report_t *r, const point_row_t *row, int *out) {
    for (*out = 0; *out < r->sections_len; (*out)++) {
        const section_t *s = &r->sections[*out];
        if (!strcmp(s->device, row->device) && !strcmp(s->dtype, row->dtype) &&
            !strcmp(s->cache, row->cache))
            return STATUS_OK;
    }
    const section_t section = {row->device, row->dtype, row->cache};
    return APPEND(r->sections, r->sections_len, &section);
}

static bool same_layer(const point_row_t *a, const point_row_t *b) {
    return !strcmp(a->layer, b->layer) && !strcmp(a->workload, b->workload) &&
           same_number(a->in_features, b->in_features) &&
           same_number(a->out_features, b->out_features);
}

static bool same_config(const point_row_t *a, const point_row_t *b) {
    return same_number(a->blocks, b->blocks) && same_number(a->rank, b->rank);
}

static status_t find_layer(report_t *r, const point_row_t *row, int section, int *out) {
    int base = -1;
    for (*out = 0; *out < r->layers_len; (*out)++) {
        const layer_t *l = &r->layers[*out];
        if (l->section != section || !same_layer(l->first, row)) continue;
        if (!r->split || same_config(l->first, row)) return STATUS_OK;
        base = l->base;
    }
    const layer_t layer = {.section = section, .base = base < 0 ? *out : base, .first = row};
    return APPEND(r->layers, r->layers_len, &layer);
}

static status_t find_series(report_t *r, const point_row_t *row, int *out) {
    for (*out = 0; *out < r->series_len; (*out)++)
        if (!strcmp(r->series[*out].structure, row->structure) &&
            !strcmp(r->series[*out].variant, row->variant))
            return STATUS_OK;
    series_t series = {.structure = row->structure, .variant = row->variant};
    snprintf(series.label, sizeof series.label, "%s/%s", row->structure, row->variant);
    return APPEND(r->series, r->series_len, &series);
}

/* Okabe and Ito's palette, safe for colour-blind readers; these four keep their order and colour.
 */
static const struct {
    const char *structure;
    unsigned rgb;
} known[] = {
    {"dense", 0x000000}, {"lowrank", 0x0072B2}, {"monarch", 0xE69F00}, {"blast", 0x009E73}};

enum { KNOWN_LEN = sizeof known / sizeof *known };

static int known_index(const char *structure) {
    int i = 0;
    while (i < KNOWN_LEN && strcmp(known[i].structure, structure)) i++;
    return i;
}

static int compare_series(const void *left, const void *right) {
    const series_t *a = left, *b = right;
    const int first = known_index(a->structure) - known_index(b->structure);
    const int order = strcmp(a->structure, b->structure);
    return first ? first : order ? order : strcmp(a->variant, b->variant);
}

static int compare_mates(const void *left, const void *right, void *report) {
    const report_t *r = report;
    const int i = *(const int *)left, j = *(const int *)right;
    const int a = r->layers[r->places[i].layer].base, b = r->layers[r->places[j].layer].base;
    const double x = r->points[i].tokens, y = r->points[j].tokens;
    if (a != b) return a < b ? -1 : 1;
    if (isnan(x) != isnan(y)) return isnan(x) ? -1 : 1;
    if (x < y || x > y) return x < y ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* Chains the points that are compared with each other, in their order: all pairs are too many. */
static status_t find_mates(report_t *r) {
    int *sorted = malloc((size_t)r->points_len * sizeof *sorted);
    if (!sorted) return fail(STATUS_OOM, "out of host memory for the report");
    for (int i = 0; i < r->points_len; i++) sorted[i] = i;
    qsort_r(sorted, (size_t)r->points_len, sizeof *sorted, compare_mates, r);
    for (int i = 0; i < r->points_len; i++) {
        place_t *p = &r->places[sorted[i]], *before = i > 0 ? &r->places[sorted[i - 1]] : NULL;
        const bool mates =
            before && r->layers[before->layer].base == r->layers[p->layer].base &&
            same_number(r->points[sorted[i - 1]].tokens, r->points[sorted[i]].tokens);
        p->mate = mates ? before->mate : sorted[i];
        p->next = -1;
        if (mates) before->next = sorted[i];
    }
    free(sorted);
    return STATUS_OK;
}

static status_t place_points(report_t *r) {
    r->layers_len = 0;
    for (int i = 0; i < r->points_len; i++) {
        place_t *p = &r->places[i];
        *p = (place_t){.dense = -1, .speedup = NAN};
        status_t st = find_section(r, &r->points[i], &p->section);
        if (st == STATUS_OK) st = find_layer(r, &r->points[i], p->section, &p->layer);
        if (st == STATUS_OK) st = find_series(r, &r->points[i], &p->series);
        if (st != STATUS_OK) return st;
        p->ok = !strcmp(r->points[i].status, "ok") && r->points[i].time_us > 0;
    }
    return find_mates(r);
}

static bool same_place(const report_t *r, int i, int j) {
    return r->places[i].layer == r->places[j].layer && r->places[i].series == r->places[j].series &&
           same_number(r->points[i].tokens, r->points[j].tokens);
}

/* True if one variant ran a layer at one size with several (blocks, rank). */
static bool needs_split(const report_t *r) {
    for (int i = 0; i < r->points_len; i++)
        for (int j = r->places[i].next; j >= 0; j = r->places[j].next)
            if (same_place(r, i, j) && !same_config(&r->points[i], &r->points[j])) return true;
    return false;
}

/* ---- looks ---- */

static void choose_colours(report_t *r) {
    static const unsigned others[] = {0xCC79A7, 0x56B4E9, 0xD55E00, 0xF0E442};
    size_t next = 0;
    for (int i = 0; i < r->series_len; i++) {
        series_t *s = &r->series[i];
        const int k = known_index(s->structure);
        if (i > 0 && !strcmp(s->structure, r->series[i - 1].structure))
            s->rgb = r->series[i - 1].rgb;
        else
            s->rgb =
                k < KNOWN_LEN ? known[k].rgb : others[next++ % (sizeof others / sizeof *others)];
    }
}

/* True if a series before i, of its structure, has this marker under another name. */
static bool marker_taken(const report_t *r, int i, int marker) {
    for (int j = 0; j < i; j++)
        if (!strcmp(r->series[j].structure, r->series[i].structure) &&
            r->series[j].point_type == marker)
            return true;
    return false;
}

/* A variant of one name has one marker whatever its structure, as far as the markers reach. All are
 * filled ones: hollow says that a point is modelled. */
static void choose_markers(report_t *r) {
    static const int markers[] = {7, 9, 5, 13, 11, 15};
    enum { MARKERS = sizeof markers / sizeof *markers };
    int used = 0;
    for (int i = 0; i < r->series_len; i++) {
        int j = 0, marker = 0;
        while (strcmp(r->series[j].variant, r->series[i].variant)) j++;
        if (j < i) marker = r->series[j].point_type;
        for (int k = 0; k < MARKERS && (!marker || marker_taken(r, i, marker)); k++)
            marker = markers[used++ % MARKERS];
        r->series[i].point_type = marker;
    }
}

/* "workload: layer 1024x4096 b16 r256": only as much of it as tells the layers apart. */
static void name_layer(const report_t *r, layer_t *layer) {
    const point_row_t *first = layer->first;
    bool workloads = false, shapes = false;
    for (int i = 0; i < r->layers_len; i++) {
        const point_row_t *other = r->layers[i].first;
        if (strcmp(other->workload, first->workload)) workloads = true;
        if (r->layers[i].section == layer->section && !strcmp(other->layer, first->layer) &&
            !strcmp(other->workload, first->workload) && !same_layer(other, first))
            shapes = true;
    }
    size_t n = 0;
    char *label = layer->label;
    const size_t len = sizeof layer->label;
    n += (size_t)snprintf(label, len, "%s%s%s", workloads ? first->workload : "",
                          workloads ? ": " : "", first->layer);
    if (shapes && n < len)
        n += (size_t)snprintf(label + n, len - n, " %.0fx%.0f", first->in_features,
                              first->out_features);
    if (!r->split || is_dense(first)) return;
    if (!isnan(first->blocks) && n < len)
        n += (size_t)snprintf(label + n, len - n, " b%.0f", first->blocks);
    if (!isnan(first->rank) && n < len) snprintf(label + n, len - n, " r%.0f", first->rank);
}

/* ---- comparing ---- */

/* The last row of a point stands, but a failure never hides an earlier success. */
static bool superseded(const report_t *r, int i) {
    for (int j = r->places[i].mate; j >= 0; j = r->places[j].next) {
        if (j == i || !same_place(r, i, j)) continue;
        if (r->places[j].ok == r->places[i].ok ? j > i : r->places[j].ok) return true;
    }
    return false;
}

static int find_dense(const report_t *r, int i) {
    int best = -1;
    for (int j = r->places[i].mate; j >= 0; j = r->places[j].next) {
        if (!r->places[j].current || !r->places[j].ok || !is_dense(&r->points[j])) continue;
        if (best < 0 || r->points[j].time_us < r->points[best].time_us) best = j;
    }
    return best;
}

static void compare_with_dense(report_t *r) {
    for (int i = 0; i < r->points_len; i++) r->places[i].current = !superseded(r, i);
    for (int i = 0; i < r->points_len; i++) {
        place_t *p = &r->places[i];
        p->dense = find_dense(r, i);
        if (p->ok && p->dense >= 0) p->speedup = r->points[p->dense].time_us / r->points[i].time_us;
        bool counted = false;
        for (int j = p->mate; j < i; j = r->places[j].next)
            if (r->places[j].layer == p->layer) counted = true;
        if (!counted) r->layers[p->layer].tokens_len++;
    }
}

/* ---- public ---- */

status_t report_load(const char *run_dir, report_t *r) {
    status_t st = STATUS_OK;
    *r = (report_t){0};
    if (strlen(run_dir) >= sizeof r->dir)
        return fail(STATUS_USAGE, "the path of the run directory is too long");
    snprintf(r->dir, sizeof r->dir, "%s", run_dir);
    TRY(read_table(r, &POINTS_TABLE, true, add_point));
    TRY(read_table(r, &CEILINGS_TABLE, false, add_ceiling));
    TRY(read_table(r, &RUN_TABLE, false, add_fact));
    if (r->points_len == 0) {
        st = fail(STATUS_USAGE, "%s/%s has no rows: run the sweep again", run_dir,
                  POINTS_TABLE.file);
        goto cleanup;
    }
    if (!*r->points[0].structure || !*r->points[0].status) {
        st = fail(STATUS_USAGE,
                  "%s/%s has no structure or no status in its first row: is it a "
                  "table of points?",
                  run_dir, POINTS_TABLE.file);
        goto cleanup;
    }
    r->places = calloc((size_t)r->points_len, sizeof *r->places);
    if (!r->places) {
        st = fail(STATUS_OOM, "out of host memory for the report");
        goto cleanup;
    }
    TRY(place_points(r));
    qsort(r->series, (size_t)r->series_len, sizeof *r->series, compare_series);
    r->split = needs_split(r);
    TRY(place_points(r));
    choose_colours(r);
    choose_markers(r);
    for (int i = 0; i < r->layers_len; i++) name_layer(r, &r->layers[i]);
    compare_with_dense(r);
cleanup:
    if (st != STATUS_OK) report_free(r);
    return st;
}

void report_free(report_t *r) {
    free(r->points);
    free(r->places);
    free(r->ceilings);
    free(r->facts);
    free(r->sections);
    free(r->layers);
    free(r->series);
    *r = (report_t){0};
}

const char *report_fact(const report_t *r, const char *key) {
    for (int i = 0; i < r->facts_len; i++)
        if (!strcmp(r->facts[i].key, key)) return r->facts[i].value;
    return "";
}

/* Facts that differ between the shards of a merged run stand side by side in one cell. */
static const char *several_machines(const report_t *r) {
    if (strstr(report_fact(r, "gpu_uuid"), " | ")) return ", several GPUs";
    return strstr(report_fact(r, "host"), " | ") && !*report_fact(r, "gpu_uuid") ? ", several hosts"
                                                                                 : "";
}

void report_device(const report_t *r, const char *device, char *buffer, size_t len) {
    const char *name = report_fact(r, "device_name");
    if (*name && *device && strstr(report_fact(r, "device"), device) && strcmp(name, device))
        snprintf(buffer, len, "%s (%s%s)", name, device, several_machines(r));
    else
        snprintf(buffer, len, "%s", *device ? device : "unknown device");
}

int report_find(const report_t *r, int layer, int series, double tokens) {
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].current && r->places[i].layer == layer && r->places[i].series == series &&
            same_number(r->points[i].tokens, tokens))
            return i;
    return -1;
}

static int compare_numbers(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int report_tokens(const report_t *r, int layer, double *tokens) {
    int count = 0;
    for (int i = 0; i < r->points_len; i++) {
        if (r->places[i].layer != layer || isnan(r->points[i].tokens)) continue;
        int j = 0;
        while (j < count && tokens[j] != r->points[i].tokens) j++;
        if (j == count) tokens[count++] = r->points[i].tokens;
    }
    qsort(tokens, (size_t)count, sizeof *tokens, compare_numbers);
    return count;
}

int report_count_ok(const report_t *r) {
    int ok = 0;
    for (int i = 0; i < r->points_len; i++) ok += r->places[i].ok;
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

roof_ceilings_t report_ceilings(const report_t *r, int section) {
    roof_ceilings_t ceilings = roof_ceilings_none();
    for (int i = 0; i < r->ceilings_len; i++) {
        const ceiling_row_t *row = &r->ceilings[i];
        if (strcmp(row->device, r->sections[section].device)) continue;
        ceiling_t ceiling = {.kind = CEILING_DRAM, .dtype = row->dtype, .method = row->method};
        while (ceiling.kind < CEILING_KIND_COUNT &&
               strcmp(row->kind, ceiling_kind_name(ceiling.kind)))
            ceiling.kind++;
        ceiling.value = row->value * report_unit(row->unit);
        roof_ceilings_add(&ceilings, &ceiling, r->sections[section].dtype);
    }
    return ceilings;
}
