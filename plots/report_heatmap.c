#include "plots/report_heatmap.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PANELS_PER_PAGE = 16 };

static int compare_numbers(double a, double b) {
    return (a > b) - (a < b);
}

/* Panels one after the other, in a panel blocks, then rank, the fastest variant first. */
static int compare_points(const void *a, const void *b) {
    const point_row_t *x = *(const point_row_t *const *)a, *y = *(const point_row_t *const *)b;
    int order = strcmp(x->structure, y->structure);
    if (order == 0) order = compare_numbers(x->in_features, y->in_features);
    if (order == 0) order = compare_numbers(x->out_features, y->out_features);
    if (order == 0) order = compare_numbers(x->tokens, y->tokens);
    if (order == 0) order = compare_numbers(x->blocks, y->blocks);
    if (order == 0) order = compare_numbers(x->rank, y->rank);
    return order ? order : compare_numbers(x->time_us, y->time_us);
}

static bool same_panel(const point_row_t *x, const point_row_t *y) {
    return !strcmp(x->structure, y->structure) && x->in_features == y->in_features &&
           x->out_features == y->out_features && x->tokens == y->tokens;
}

static double column(const point_row_t *row, bool blocks) {
    return blocks ? row->blocks : row->rank;
}

/* How many different blocks (or ranks) the panel has below `value`; all of them for INFINITY. */
static int count_below(const point_row_t *const *panel, int len, bool blocks, double value) {
    int count = 0;
    for (int i = 0; i < len; i++) {
        bool first = column(panel[i], blocks) < value;
        for (int j = 0; j < i && first; j++)
            first = column(panel[j], blocks) != column(panel[i], blocks);
        count += first;
    }
    return count;
}

typedef struct {
    const report_t *r;
    FILE *panels, *cells;
    int count;
} heatmap_t;

static double speedup_of(const report_t *r, const point_row_t *row) {
    return r->places[row - r->points].speedup;
}

static void write_panel(heatmap_t *h, const point_row_t *const *panel, int len) {
    const point_row_t *first = panel[0];
    const int blocks = count_below(panel, len, true, INFINITY);
    const int ranks = count_below(panel, len, false, INFINITY);
    if (blocks < 2 || ranks < 2) return;
    fprintf(h->panels, "%d\t", ++h->count);
    sheet_tsv_name(h->panels, first->structure, 20);
    fprintf(h->panels, ", %.0f token%s\t%d\t%d\n", first->tokens, first->tokens == 1 ? "" : "s",
            ranks, blocks);
    for (int i = 0; i < len; i++) {
        const point_row_t *row = panel[i];
        if (i > 0 && row->blocks == panel[i - 1]->blocks && row->rank == panel[i - 1]->rank)
            continue; /* a slower variant */
        char text[NUMBER_LEN];
        const double speedup = speedup_of(h->r, row);
        snprintf(text, sizeof text, speedup < 10 ? "%.2f" : "%.0f", speedup);
        fprintf(h->cells, "%d\t%d\t%d\t%.9g\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t", h->count,
                count_below(panel, len, false, row->rank),
                count_below(panel, len, true, row->blocks), speedup, text, row->in_features,
                row->out_features, row->tokens, row->blocks, row->rank);
        text_tsv(h->cells, row->variant);
        putc('\n', h->cells);
    }
}

static int choose_points(const sheet_t *sheet, const point_row_t **chosen) {
    const report_t *r = sheet->r;
    int len = 0;
    for (int i = 0; i < r->points_len; i++) {
        const point_row_t *row = &r->points[i];
        const place_t *place = &r->places[i];
        if (place->section == sheet->section && place->current && place->ok && place->speedup > 0 &&
            !is_dense(row) && row->blocks > 1 && row->rank > 0)
            chosen[len++] = row;
    }
    qsort(chosen, (size_t)len, sizeof(void *), compare_points);
    return len;
}

static status_t write_panels(const sheet_t *sheet, const point_row_t *const *points, int len,
                             int *count) {
    whole_file_t panels, cells;
    status_t st = sheet_open_data(sheet, "heatmap_panels", "panel\ttitle\tranks\tblocks", &panels);
    if (st != STATUS_OK) return st;
    st = sheet_open_data(sheet, "heatmap",
                         "panel\tx\ty\tspeedup\ttext\tin_features\tout_features\ttokens\t"
                         "blocks\trank\tvariant",
                         &cells);
    if (st != STATUS_OK) return whole_close(&panels, st);
    heatmap_t h = {.r = sheet->r, .panels = panels.file, .cells = cells.file};
    for (int i = 0; i < len;) {
        int end = i + 1;
        while (end < len && same_panel(points[i], points[end])) end++;
        write_panel(&h, &points[i], end - i);
        i = end;
    }
    *count = h.count;
    st = whole_close(&cells, STATUS_OK);
    return whole_close(&panels, st);
}

status_t heatmap_prepare(const sheet_t *sheet) {
    int panels = 0;
    const point_row_t **points = malloc((size_t)sheet->r->points_len * sizeof(void *));
    if (!points) return fail(STATUS_OOM, "out of host memory for the report");
    const int len = choose_points(sheet, points);
    const status_t st = write_panels(sheet, points, len, &panels);
    free(points);
    if (st != STATUS_OK || panels == 0) return st;
    figure_t figure = {.template = "heatmap",
                       .what = "",
                       .caption = "Speedup over dense of the fastest variant, by blocks and rank: "
                                  "blue is faster than dense, red is slower."};
    sheet_title(sheet, "Speedup over dense by blocks and rank", &figure);
    return sheet_add_pages(sheet, &figure, "the fastest variant of each; blue is faster than dense",
                           "heatmap", panels, PANELS_PER_PAGE);
}
