#include "plots/report_panels.h"

#include <math.h>
#include <stdlib.h>

/* The most characters of a name above a panel; the most token counts looked at for crossings, and
 * drawn: a panel is some 230 pixels wide. */
enum {
    PANEL_NAME = 27,
    PANELS_PER_PAGE = 12,
    MAX_PANELS = 2 * PANELS_PER_PAGE,
    MAX_CURVE = 256,
    MAX_DRAWN = 64
};

/* The row of a series in a panel; a panel of one (blocks, rank) also shows the layer's dense. */
static int find_in_panel(const report_t *r, int layer, int series, double tokens) {
    const int i = report_find(r, layer, series, tokens), dense = r->layers[layer].dense;
    return i < 0 && dense >= 0 ? report_find(r, dense, series, tokens) : i;
}

static bool has_panel(const sheet_t *sheet, int layer) {
    const report_t *r = sheet->r;
    if (r->layers[layer].section != sheet->section || r->layers[layer].tokens_len < 2) return false;
    if (r->split && is_dense(r->layers[layer].first)) return false;
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].layer == layer && r->places[i].ok) return true;
    return false;
}

/* A file each: gnuplot reads one again for every curve in it. Of many token counts the first, the
 * last and some between. */
static status_t write_panel(const sheet_t *sheet, int panel, int layer, const double *tokens,
                            int tokens_len) {
    const report_t *r = sheet->r;
    whole_file_t w;
    char stem[32];
    snprintf(stem, sizeof stem, "tokens_p%d", panel);
    const status_t st = sheet_open_data(
        sheet, stem,
        "panel\tlayer\tseries\tlabel\ttokens\ttime_us\tci_low_us\tci_high_us\tspeedup\trow", &w);
    if (st != STATUS_OK) return st;
    const int step = (tokens_len + MAX_DRAWN - 1) / MAX_DRAWN;
    for (int s = 0; s < r->series_len; s++)
        for (int t = 0; t < tokens_len; t++) {
            if (t % step && t + 1 < tokens_len) continue;
            const int i = find_in_panel(r, layer, s, tokens[t]);
            if (i < 0 || !r->places[i].ok) continue;
            fprintf(w.file, "%d\t", panel);
            text_tsv(w.file, r->layers[layer].label);
            fprintf(w.file, "\t%d\t", s + 1);
            text_tsv(w.file, r->series[s].label);
            fprintf(w.file, "\t%.0f\t%.9g\t", tokens[t], r->points[i].time_us);
            number_tsv(w.file, r->points[i].time_ci_low_us);
            putc('\t', w.file);
            number_tsv(w.file, r->points[i].time_ci_high_us);
            putc('\t', w.file);
            number_tsv(w.file, r->places[i].speedup);
            putc('\t', w.file);
            report_tell(r, i, w.file);
            putc('\n', w.file);
        }
    return whole_close(&w, STATUS_OK);
}

/* ---- where a variant turns ---- */

/* A value at x between points of rising x, on logarithmic axes. */
static double between(const double *x, const double *y, int len, double at) {
    int i = 1;
    while (i + 1 < len && x[i] < at) i++;
    return y[i - 1] * pow(y[i] / y[i - 1], log(at / x[i - 1]) / log(x[i] / x[i - 1]));
}

static void write_crossing(FILE *out, const report_t *r, int panel, int series, double tokens,
                           double time_us) {
    fprintf(out, "%d\t%d\t%.9g\t%.9g\t", panel, series + 1, tokens, time_us);
    text_tsv(out, r->series[series].label);
    fprintf(out, " is as fast as dense at about %.0f tokens (interpolated)\n", tokens);
}

/* The token counts at which a series is as fast as dense; returns how many. */
static int write_crossings_of(FILE *out, const report_t *r, int panel, int layer, int series,
                              const double *tokens, int tokens_len) {
    double x[MAX_CURVE], time_us[MAX_CURVE], speedup[MAX_CURVE];
    range_t ranges[MAX_CURVE];
    int len = 0;
    for (int t = 0; t < tokens_len && len < MAX_CURVE; t++) {
        const int i = find_in_panel(r, layer, series, tokens[t]);
        if (i < 0 || !(r->places[i].speedup > 0) || is_dense(&r->points[i])) continue;
        x[len] = tokens[t];
        time_us[len] = r->points[i].time_us;
        speedup[len++] = r->places[i].speedup;
    }
    int written = 0;
    if (len < 2) return 0;
    const int count = ranges_above_one(x, speedup, len, ranges);
    for (int i = 0; i < 2 * count; i++) {
        const double at = i % 2 ? ranges[i / 2].to : ranges[i / 2].from;
        if (!(at > x[0] && at < x[len - 1])) continue;
        write_crossing(out, r, panel, series, at, between(x, time_us, len, at));
        written++;
    }
    return written;
}

static status_t write_turns(const sheet_t *sheet, double *tokens, int *turns) {
    const report_t *r = sheet->r;
    status_t st = STATUS_OK;
    for (int l = 0, panel = 0; l < r->layers_len && panel < MAX_PANELS && st == STATUS_OK; l++) {
        whole_file_t w;
        char stem[32];
        if (!has_panel(sheet, l)) continue;
        snprintf(stem, sizeof stem, "crossings_p%d", ++panel);
        st = sheet_open_data(sheet, stem, "panel\tseries\ttokens\ttime_us\trow", &w);
        if (st != STATUS_OK) return st;
        const int count = report_tokens(r, l, tokens);
        for (int s = 0; s < r->series_len; s++)
            *turns += write_crossings_of(w.file, r, panel, l, s, tokens, count);
        st = whole_close(&w, STATUS_OK);
    }
    return st;
}

/* ---- panels ---- */

static status_t write_panels(const sheet_t *sheet, double *tokens, int *panels, bool *left_out,
                             bool *thinned) {
    const report_t *r = sheet->r;
    whole_file_t titles;
    *panels = 0;
    status_t st = sheet_open_data(sheet, "panels", "panel\ttitle", &titles);
    if (st != STATUS_OK) return st;
    for (int l = 0; l < r->layers_len && st == STATUS_OK; l++) {
        const layer_t *layer = &r->layers[l];
        if (!has_panel(sheet, l)) continue;
        if (*panels == MAX_PANELS) {
            *left_out = true;
            break;
        }
        fprintf(titles.file, "%d\t", ++*panels);
        sheet_tsv_name(titles.file, layer->label, PANEL_NAME);
        fprintf(titles.file, " (%.0f \342\206\222 %.0f)\n", layer->first->in_features,
                layer->first->out_features);
        const int count = report_tokens(r, l, tokens);
        *thinned = *thinned || count > MAX_DRAWN;
        st = write_panel(sheet, *panels, l, tokens, count);
    }
    return whole_close(&titles, st);
}

static bool any_speedup(const sheet_t *sheet, bool many_tokens) {
    const report_t *r = sheet->r;
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].section == sheet->section && r->places[i].current &&
            !isnan(r->places[i].speedup) && !is_dense(&r->points[i]) &&
            (r->layers[r->places[i].layer].tokens_len > 1) == many_tokens)
            return true;
    return false;
}

status_t panels_prepare(const sheet_t *sheet) {
    int panels = 0, turns = 0;
    bool left_out = false, thinned = false;
    char remark[192], more[128];
    double *tokens = malloc((size_t)sheet->r->points_len * sizeof *tokens);
    if (!tokens) return fail(STATUS_OOM, "out of host memory for the report");
    status_t st = write_panels(sheet, tokens, &panels, &left_out, &thinned);
    if (st == STATUS_OK) st = write_turns(sheet, tokens, &turns);
    free(tokens);
    if (st != STATUS_OK || panels == 0) return st;

    snprintf(more, sizeof more, "%s%s%s", turns > 0 ? "; a ring: as fast as dense" : "",
             left_out ? "; the first layers only" : "",
             thinned ? "; some of the token counts" : "");
    if (any_speedup(sheet, true)) {
        figure_t speedup = {.template = "tokens",
                            .what = "speedup",
                            .caption = "Speedup over dense against tokens: above 1x is faster."};
        sheet_title(sheet, "Speedup over dense", &speedup);
        snprintf(remark, sizeof remark, "above the line is faster than dense%s", more);
        st = sheet_add_pages(sheet, &speedup, remark, "speedup_vs_tokens", panels, PANELS_PER_PAGE);
        if (st != STATUS_OK) return st;
    }
    figure_t time = {
        .template = "tokens", .what = "time", .caption = "Time against tokens: lower is better."};
    sheet_title(sheet, "Time of a layer", &time);
    snprintf(remark, sizeof remark, "median and its 95 %% interval, lower is better%s", more);
    return sheet_add_pages(sheet, &time, remark, "time_vs_tokens", panels, PANELS_PER_PAGE);
}
