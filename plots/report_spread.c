#include "plots/report_spread.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"
#include "plots/text_table.h"

/* One point: the rows of its fastest and its slowest device. */
typedef struct {
    int fastest, slowest;
    double ratio;
} spread_t;

typedef struct {
    spread_t *items;
    int len;
} spreads_t;

static int compare_numbers(double a, double b) {
    if (isnan(a) || isnan(b)) return (int)isnan(a) - (int)isnan(b);
    return (a > b) - (a < b);
}

/* By all that makes a point but its device. */
static int compare_points(const point_row_t *a, const point_row_t *b) {
    const char *const texts[][2] = {{a->workload, b->workload},   {a->layer, b->layer},
                                    {a->structure, b->structure}, {a->variant, b->variant},
                                    {a->dtype, b->dtype},         {a->cache, b->cache}};
    const double numbers[][2] = {{a->tokens, b->tokens},   {a->in_features, b->in_features},
                                 {a->blocks, b->blocks},   {a->out_features, b->out_features},
                                 {a->rank, b->rank},       {a->batch, b->batch},
                                 {a->heads, b->heads},     {a->kv_heads, b->kv_heads},
                                 {a->context, b->context}, {a->causal, b->causal}};
    int order = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && order == 0; i++)
        order = strcmp(texts[i][0], texts[i][1]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers && order == 0; i++)
        order = compare_numbers(numbers[i][0], numbers[i][1]);
    return order;
}

static int by_point(const void *left, const void *right, void *ctx) {
    const report_t *r = ctx;
    const int a = *(const int *)left, b = *(const int *)right;
    const int order = compare_points(&r->points[a], &r->points[b]);
    return order ? order : compare_numbers(r->points[a].time_us, r->points[b].time_us);
}

static int widest_first(const void *left, const void *right) {
    const spread_t *a = left, *b = right;
    const int order = compare_numbers(b->ratio, a->ratio);
    return order ? order : a->fastest - b->fastest;
}

static status_t find_spreads(const report_t *r, spreads_t *spreads) {
    int *rows = malloc(((size_t)r->own_len + 1) * sizeof *rows), len = 0;
    spreads->items = malloc(((size_t)r->own_len + 1) * sizeof *spreads->items);
    spreads->len = 0;
    if (!rows || !spreads->items) {
        free(rows);
        return fail(STATUS_OOM, "out of host memory for the report");
    }
    for (int i = 0; i < r->own_len; i++)
        if (r->places[i].ok && r->places[i].current) rows[len++] = i;
    qsort_r(rows, (size_t)len, sizeof *rows, by_point, (void *)r);
    for (int k = 0, end; k < len; k = end) {
        for (end = k + 1; end < len; end++)
            if (compare_points(&r->points[rows[k]], &r->points[rows[end]]) != 0) break;
        if (end == k + 1) continue;
        spreads->items[spreads->len++] = (spread_t){
            rows[k], rows[end - 1], r->points[rows[end - 1]].time_us / r->points[rows[k]].time_us};
    }
    free(rows);
    qsort(spreads->items, (size_t)spreads->len, sizeof *spreads->items, widest_first);
    return STATUS_OK;
}

static void fill_table(const report_t *r, const spreads_t *spreads, int limit, text_table_t *t) {
    static const char *const heads[] = {"layer",       "structure/variant", "dtype",
                                        "fastest on",  "slowest on",        "tokens",
                                        "fastest, us", "slowest, us",       "max/min"};
    enum { HEADS = sizeof heads / sizeof *heads };
    table_begin(t, HEADS, 5);
    for (int h = 0; h < HEADS; h++) table_cell(t, "%s", heads[h]);
    for (int i = 0; i < spreads->len && i < limit; i++) {
        const spread_t *s = &spreads->items[i];
        const point_row_t *fast = &r->points[s->fastest], *slow = &r->points[s->slowest];
        table_cell(t, "%s", r->layers[r->places[s->fastest].layer].label);
        table_cell(t, "%s", r->series[r->places[s->fastest].series].label);
        table_cell(t, "%s", fast->dtype);
        table_cell(t, "%s", fast->device);
        table_cell(t, "%s", slow->device);
        table_cell(t, "%.0f", fast->tokens);
        table_number(t, fast->time_us, "");
        table_number(t, slow->time_us, "");
        table_cell(t, "%.4f", s->ratio);
    }
}

status_t write_spread(FILE *out, const report_t *r, int limit) {
    spreads_t spreads = {0};
    text_table_t table = {0};
    status_t st = find_spreads(r, &spreads);
    if (st != STATUS_OK || spreads.len == 0) goto cleanup;
    fprintf(
        out,
        "## From device to device\n\n%d points were measured on several devices. Slowest over "
        "fastest median: %.4f at the point in\nthe middle, %.4f at the one that differs most. "
        "Sections below are of one device each; all points are in\n[spread.csv](spread.csv).\n\n",
        spreads.len, spreads.items[spreads.len / 2].ratio, spreads.items[0].ratio);
    fill_table(r, &spreads, limit, &table);
    st = table_markdown(&table, out);
    putc('\n', out);
cleanup:
    table_free(&table);
    free(spreads.items);
    return st;
}

status_t write_spread_csv(const report_t *r, const char *dir) {
    spreads_t spreads = {0};
    text_table_t table = {0};
    whole_file_t w;
    status_t st = find_spreads(r, &spreads);
    if (st != STATUS_OK || spreads.len == 0) goto cleanup;
    TRY(whole_open(dir, "spread.csv", &w));
    fill_table(r, &spreads, spreads.len, &table);
    st = whole_close(&w, table_csv(&table, w.file));
cleanup:
    table_free(&table);
    free(spreads.items);
    return st;
}
