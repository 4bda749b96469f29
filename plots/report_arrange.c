/* From the rows of a report to its sections and layers, and which row answers what (its series are
 * report_series.c). Sorted throughout: a run may have 100,000 rows. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/facts.h"
#include "plots/report_model.h"

static status_t no_memory(void) {
    return fail(STATUS_OOM, "out of host memory for the report");
}

/* Missing numbers are alike, and behind all others. */
static int compare_numbers(double a, double b) {
    if (isnan(a) || isnan(b)) return (int)isnan(a) - (int)isnan(b);
    return (a > b) - (a < b);
}

/* ---- sections: few, so that looking through all of them does ---- */

static status_t find_section(report_t *r, const point_row_t *row, int *out) {
    for (*out = 0; *out < r->sections_len; (*out)++) {
        const section_t *s = &r->sections[*out];
        if (report_on(r, *out, row->device) && !strcmp(s->dtype, row->dtype) &&
            !strcmp(s->cache, row->cache))
            return STATUS_OK;
    }
    section_t *grown = realloc(r->sections, (size_t)(r->sections_len + 1) * sizeof *grown);
    if (!grown) return no_memory();
    r->sections = grown;
    grown[r->sections_len++] =
        (section_t){r->together ? report_fact(r, "device") : row->device, row->dtype, row->cache};
    return STATUS_OK;
}

static status_t place_sections(report_t *r) {
    for (int i = 0; i < r->points_len; i++) {
        place_t *p = &r->places[i];
        *p = (place_t){.dense = -1, .speedup = NAN, .peer = i >= r->own_len};
        p->ok = !strcmp(r->points[i].status, "ok") && r->points[i].time_us > 0;
        const status_t st = find_section(r, &r->points[i], &p->section);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* ---- layers ---- */

/* A context of the query's own tokens changes along with them, so it is not told apart. */
static double own_context(const point_row_t *row) {
    return row->context == row->tokens ? NAN : row->context;
}

static int compare_attention(const point_row_t *x, const point_row_t *y) {
    int order = compare_numbers(x->batch, y->batch);
    if (order == 0) order = compare_numbers(x->heads, y->heads);
    if (order == 0) order = compare_numbers(x->kv_heads, y->kv_heads);
    if (order == 0) order = compare_numbers(x->causal, y->causal);
    return order ? order : compare_numbers(own_context(x), own_context(y));
}

/* By what makes a family: the layers of one size, whatever their blocks and rank. */
static int compare_families(const report_t *r, int a, int b) {
    const point_row_t *x = &r->points[a], *y = &r->points[b];
    int order = r->places[a].section - r->places[b].section;
    if (order == 0) order = strcmp(x->workload, y->workload);
    if (order == 0) order = strcmp(x->layer, y->layer);
    if (order == 0) order = compare_numbers(x->in_features, y->in_features);
    if (order == 0) order = compare_numbers(x->out_features, y->out_features);
    return order ? order : compare_attention(x, y);
}

static int compare_configs(const point_row_t *x, const point_row_t *y) {
    const int order = compare_numbers(x->blocks, y->blocks);
    return order ? order : compare_numbers(x->rank, y->rank);
}

static int compare_layers(const report_t *r, int a, int b) {
    const int order = compare_families(r, a, b);
    return order || !r->split ? order : compare_configs(&r->points[a], &r->points[b]);
}

static int by_layer(const void *left, const void *right, void *ctx) {
    const int a = *(const int *)left, b = *(const int *)right;
    const int order = compare_layers(ctx, a, b);
    return order ? order : a - b;
}

/* The first row of a layer tells its place among them; base keeps where it was. */
static int by_appearance(const void *left, const void *right) {
    const layer_t *a = left, *b = right;
    return (a->first > b->first) - (a->first < b->first);
}

static void count_up(int *indices, int len) {
    for (int i = 0; i < len; i++) indices[i] = i;
}

/* Rows that are neighbours in the order of layers become layers. families[] tells which belong
 * together. */
static void collect_layers(report_t *r, int *families) {
    int family = -1;
    r->layers_len = 0;
    for (int k = 0; k < r->points_len; k++) {
        const int i = r->sorted[k], before = k ? r->sorted[k - 1] : -1;
        if (k == 0 || compare_families(r, before, i) != 0) family++;
        if (k == 0 || compare_layers(r, before, i) != 0) {
            families[r->layers_len] = family;
            r->layers[r->layers_len] = (layer_t){
                .section = r->places[i].section, .base = r->layers_len, .first = &r->points[i]};
            r->layers_len++;
        }
        r->places[i].layer = r->layers_len - 1;
    }
}

/* In the order of their first rows; base becomes the first layer of the family. */
static void order_layers(report_t *r, const int *families, int *now, int *first_of) {
    qsort(r->layers, (size_t)r->layers_len, sizeof *r->layers, by_appearance);
    for (int l = 0; l < r->layers_len; l++) now[r->layers[l].base] = l;
    for (int i = 0; i < r->points_len; i++) r->places[i].layer = now[r->places[i].layer];
    for (int l = 0; l < r->layers_len; l++) first_of[l] = -1;
    for (int l = 0; l < r->layers_len; l++) {
        int *first = &first_of[families[r->layers[l].base]];
        if (*first < 0) *first = l;
        r->layers[l].base = *first;
    }
}

static status_t place_layers(report_t *r) {
    const size_t len = (size_t)r->points_len + 1;
    int *families = malloc(len * sizeof *families), *now = malloc(len * sizeof *now);
    int *first_of = malloc(len * sizeof *first_of);
    free(r->layers);
    r->layers = malloc(len * sizeof *r->layers);
    const bool ok = families && now && first_of && r->layers;
    if (ok) {
        count_up(r->sorted, r->points_len);
        qsort_r(r->sorted, (size_t)r->points_len, sizeof *r->sorted, by_layer, r);
        collect_layers(r, families);
        order_layers(r, families, now, first_of);
        layer_t *shrunk = realloc(r->layers, ((size_t)r->layers_len + 1) * sizeof *shrunk);
        if (shrunk) r->layers = shrunk;
    }
    free(families);
    free(now);
    free(first_of);
    return ok ? STATUS_OK : no_memory();
}

/* ---- rows of one layer, series and token count ---- */

static int compare_places(const report_t *r, int a, int b) {
    int order = r->places[a].layer - r->places[b].layer;
    if (order == 0) order = r->places[a].series - r->places[b].series;
    return order ? order : compare_numbers(r->points[a].tokens, r->points[b].tokens);
}

static int by_place(const void *left, const void *right, void *ctx) {
    const int a = *(const int *)left, b = *(const int *)right;
    const int order = compare_places(ctx, a, b);
    return order ? order : a - b;
}

static void sort_by_place(report_t *r) {
    count_up(r->sorted, r->points_len);
    qsort_r(r->sorted, (size_t)r->points_len, sizeof *r->sorted, by_place, r);
}

/* Behind the rows that share the place of the one at k. */
static int end_of_place(const report_t *r, int k) {
    int end = k + 1;
    while (end < r->points_len && compare_places(r, r->sorted[k], r->sorted[end]) == 0) end++;
    return end;
}

/* True if one variant ran a layer at one size with several (blocks, rank). */
static bool needs_split(const report_t *r) {
    for (int k = 0, end; k < r->points_len; k = end) {
        end = end_of_place(r, k);
        for (int j = k + 1; j < end; j++)
            if (compare_configs(&r->points[r->sorted[k]], &r->points[r->sorted[j]]) != 0)
                return true;
    }
    return false;
}

/* The last row of a place stands, but a failure never hides an earlier success. It is moved to the
 * front of its place. */
static void choose_current(report_t *r) {
    for (int k = 0, end; k < r->points_len; k = end) {
        end = end_of_place(r, k);
        int stands = end - 1;
        for (int j = end - 1; j >= k && !r->places[r->sorted[stands]].ok; j--)
            if (r->places[r->sorted[j]].ok) stands = j;
        const int front = r->sorted[k];
        r->sorted[k] = r->sorted[stands];
        r->sorted[stands] = front;
        r->places[r->sorted[k]].current = true;
    }
}

static void find_ranges(report_t *r) {
    for (int k = 0; k < r->points_len; k++) {
        layer_t *layer = &r->layers[r->places[r->sorted[k]].layer];
        if (layer->rows++ == 0) layer->from = k;
    }
}

int report_find(const report_t *r, int layer, int series, double tokens) {
    int low = r->layers[layer].from, high = low + r->layers[layer].rows;
    const int end = high;
    while (low < high) {
        const int middle = low + (high - low) / 2, i = r->sorted[middle];
        int order = r->places[i].series - series;
        if (order == 0) order = compare_numbers(r->points[i].tokens, tokens);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == end) return -1;
    const int i = r->sorted[low];
    const bool found =
        r->places[i].series == series && compare_numbers(r->points[i].tokens, tokens) == 0;
    return found ? i : -1;
}

static int rising(const void *left, const void *right) {
    return compare_numbers(*(const double *)left, *(const double *)right);
}

int report_tokens(const report_t *r, int layer, double *tokens) {
    const layer_t *l = &r->layers[layer];
    int len = 0, count = 0;
    for (int k = 0; k < l->rows; k++) {
        const double value = r->points[r->sorted[l->from + k]].tokens;
        if (!isnan(value)) tokens[len++] = value;
    }
    if (len > 0) qsort(tokens, (size_t)len, sizeof *tokens, rising);
    for (int t = 0; t < len; t++)
        if (t == 0 || tokens[t] != tokens[t - 1]) tokens[count++] = tokens[t];
    return count;
}

/* ---- names ---- */

/* " batch 2 heads 32/8 context 4096 causal" */
static size_t name_attention(const point_row_t *row, char *label, size_t len) {
    size_t n = (size_t)snprintf(label, len, " batch %.0f heads %.0f/%.0f", row->batch, row->heads,
                                row->kv_heads);
    if (!isnan(own_context(row)) && n < len)
        n += (size_t)snprintf(label + n, len - n, " context %.0f", row->context);
    if (row->causal > 0 && n < len) n += (size_t)snprintf(label + n, len - n, " causal");
    return n;
}

/* "workload: layer 1024x4096 b16 r256": only as much of it as tells the layers apart. */
static void name_layer(const report_t *r, layer_t *layer, bool workloads, bool shapes) {
    const point_row_t *first = layer->first;
    size_t n = 0;
    char *label = layer->label;
    const size_t len = sizeof layer->label;
    n += (size_t)snprintf(label, len, "%s%s%s", workloads ? first->workload : "",
                          workloads ? ": " : "", first->layer);
    if (shapes && n < len)
        n += (size_t)snprintf(label + n, len - n, " %.0fx%.0f", first->in_features,
                              first->out_features);
    if (shapes && !isnan(first->heads) && n < len) n += name_attention(first, label + n, len - n);
    if (!r->split || is_dense(first)) return;
    if (!isnan(first->blocks) && n < len)
        n += (size_t)snprintf(label + n, len - n, " b%.0f", first->blocks);
    if (!isnan(first->rank) && n < len) snprintf(label + n, len - n, " r%.0f", first->rank);
}

static int compare_names(const layer_t *a, const layer_t *b) {
    int order = a->section - b->section;
    if (order == 0) order = strcmp(a->first->workload, b->first->workload);
    return order ? order : strcmp(a->first->layer, b->first->layer);
}

static int by_name(const void *left, const void *right, void *ctx) {
    const report_t *r = ctx;
    const int a = *(const int *)left, b = *(const int *)right;
    const int order = compare_names(&r->layers[a], &r->layers[b]);
    return order ? order : a - b;
}

static bool same_shape(const layer_t *a, const layer_t *b) {
    return compare_numbers(a->first->in_features, b->first->in_features) == 0 &&
           compare_numbers(a->first->out_features, b->first->out_features) == 0;
}

static status_t name_layers(report_t *r) {
    int *order = malloc(((size_t)r->layers_len + 1) * sizeof *order);
    bool workloads = false;
    if (!order) return no_memory();
    count_up(order, r->layers_len);
    qsort_r(order, (size_t)r->layers_len, sizeof *order, by_name, r);
    for (int l = 1; l < r->layers_len; l++)
        if (strcmp(r->layers[l].first->workload, r->layers[0].first->workload) != 0)
            workloads = true;
    for (int k = 0, end; k < r->layers_len; k = end) {
        const layer_t *first = &r->layers[order[k]];
        bool shapes = false;
        for (end = k; end < r->layers_len && compare_names(first, &r->layers[order[end]]) == 0;
             end++)
            if (!same_shape(first, &r->layers[order[end]])) shapes = true;
        for (int j = k; j < end; j++) name_layer(r, &r->layers[order[j]], workloads, shapes);
    }
    free(order);
    return STATUS_OK;
}

/* ---- comparing ---- */

static int base_of(const report_t *r, int i) {
    return r->layers[r->places[i].layer].base;
}

/* The fastest first in each family and token count. */
static int by_size_and_time(const void *left, const void *right, void *ctx) {
    const report_t *r = ctx;
    const int a = *(const int *)left, b = *(const int *)right;
    int order = base_of(r, a) - base_of(r, b);
    if (order == 0) order = compare_numbers(r->points[a].tokens, r->points[b].tokens);
    if (order == 0) order = compare_numbers(r->points[a].time_us, r->points[b].time_us);
    return order ? order : a - b;
}

static bool same_gpu(const point_row_t *a, const point_row_t *b) {
    return !strcmp(a->device, b->device) && !strcmp(a->gpu_uuid, b->gpu_uuid);
}

/* The first of dense[] with the size of row i, of its GPU if there is one; -1 if there is none. */
static int find_dense(const report_t *r, const int *dense, int len, int i) {
    int low = 0, high = len;
    while (low < high) {
        const int middle = low + (high - low) / 2, d = dense[middle];
        int order = base_of(r, d) - base_of(r, i);
        if (order == 0) order = compare_numbers(r->points[d].tokens, r->points[i].tokens);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == len || base_of(r, dense[low]) != base_of(r, i)) return -1;
    int first = -1;
    for (; low < len && base_of(r, dense[low]) == base_of(r, i); low++) {
        const point_row_t *row = &r->points[dense[low]];
        if (compare_numbers(row->tokens, r->points[i].tokens) != 0) break;
        if (same_gpu(row, &r->points[i])) return dense[low];
        if (first < 0) first = dense[low];
    }
    return first;
}

static status_t compare_with_dense(report_t *r) {
    int *dense = malloc(((size_t)r->points_len + 1) * sizeof *dense), len = 0;
    double *tokens = malloc(((size_t)r->points_len + 1) * sizeof *tokens);
    const bool ok = dense && tokens;
    for (int i = 0; ok && i < r->points_len; i++) {
        const place_t *p = &r->places[i];
        if (p->current && p->ok && !p->peer && is_dense(&r->points[i])) dense[len++] = i;
    }
    if (ok) qsort_r(dense, (size_t)len, sizeof *dense, by_size_and_time, r);
    for (int i = 0; ok && i < r->points_len; i++) {
        place_t *p = &r->places[i];
        p->dense = find_dense(r, dense, len, i);
        p->crossed = p->dense >= 0 && !p->peer && !same_gpu(&r->points[p->dense], &r->points[i]);
        if (p->ok && p->dense >= 0) p->speedup = r->points[p->dense].time_us / r->points[i].time_us;
    }
    for (int l = 0; ok && l < r->layers_len; l++) {
        r->layers[l].dense = -1;
        r->layers[l].tokens_len = report_tokens(r, l, tokens);
    }
    for (int d = len - 1; ok && d >= 0; d--)
        r->layers[base_of(r, dense[d])].dense = r->places[dense[d]].layer;
    for (int l = 0; ok && l < r->layers_len; l++)
        r->layers[l].dense = r->layers[r->layers[l].base].dense;
    free(dense);
    free(tokens);
    return ok ? STATUS_OK : no_memory();
}

/* ---- all of it ---- */

void report_forget_places(report_t *r) {
    free(r->places);
    free(r->sorted);
    free(r->sections);
    free(r->layers);
    free(r->series);
    r->places = NULL;
    r->sorted = NULL;
    r->sections = NULL;
    r->layers = NULL;
    r->series = NULL;
    r->sections_len = r->layers_len = r->series_len = 0;
    r->split = false;
}

/* The devices of one sweep over all of them, or of the shards of one. */
static bool shared_out(const report_t *r) {
    const char *device = report_fact(r, "device");
    if (strstr(device, FACTS_PARTED)) return true;
    return strstr(device, ":all") && strcmp(report_fact(r, "pin_point"), "yes") != 0;
}

status_t report_arrange(report_t *r) {
    report_forget_places(r);
    r->together = shared_out(r);
    r->places = calloc((size_t)r->points_len + 1, sizeof *r->places);
    r->sorted = calloc((size_t)r->points_len + 1, sizeof *r->sorted);
    if (!r->places || !r->sorted) return no_memory();
    status_t st = place_sections(r);
    if (st == STATUS_OK) st = report_place_series(r);
    if (st == STATUS_OK) st = place_layers(r);
    if (st != STATUS_OK) return st;
    sort_by_place(r);
    r->split = needs_split(r);
    if (r->split) {
        st = place_layers(r);
        if (st != STATUS_OK) return st;
        sort_by_place(r);
    }
    find_ranges(r);
    choose_current(r);
    st = name_layers(r);
    return st == STATUS_OK ? compare_with_dense(r) : st;
}
