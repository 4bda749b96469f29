#include "plots/report_bars.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The most characters of a name beside its bars. Nobody tells apart more layers than these. */
enum { BAR_NAME = 40, LAYERS_PER_PAGE = 24, MAX_LAYERS = 2 * LAYERS_PER_PAGE };

/* What the pictures of one kind show. */
typedef struct {
    const char *what, *layers, *lanes, *points; /* of the template; its data files */
    const char *stem, *title, *remark, *caption;
} bars_t;

static const bars_t SPEEDUP = {
    .what = "",
    .layers = "bar_layers",
    .lanes = "bar_lanes",
    .points = "bars",
    .stem = "speedup_bars",
    .title = "Speedup over dense",
    .remark = "n is tokens; a marker a variant, the bar reaches to the fastest of its structure",
    .caption = "Speedup over dense, layer by layer: right of 1x is faster."};

static const bars_t EXCESS = {
    .what = "excess",
    .layers = "excess_layers",
    .lanes = "excess_lanes",
    .points = "excess",
    .stem = "excess_traffic",
    .title = "Excess traffic",
    .remark = "n is tokens; a marker a variant, the bar reaches to the most wasteful one",
    .caption = "Bytes read from DRAM over inputs and weights read once: right of 1x reads again."};

/* NAN for a point that has no place in the picture. */
static double value_of(const report_t *r, const bars_t *bars, int i) {
    if (bars == &SPEEDUP) return is_dense(&r->points[i]) ? NAN : r->places[i].speedup;
    return is_counted(&r->points[i]) ? r->points[i].excess_traffic : NAN;
}

/* The points of a layer that are shown, in the order of their series; returns how many. */
static int collect(const report_t *r, const bars_t *bars, int layer, double tokens, int *points) {
    int len = 0;
    for (int s = 0; s < r->series_len; s++) {
        const int i = report_find(r, layer, s, tokens);
        if (i >= 0 && r->places[i].ok && value_of(r, bars, i) > 0) points[len++] = i;
    }
    return len;
}

/* The one with the greatest value; of another tool only where there is no other. */
static int greatest(const report_t *r, const bars_t *bars, const int *points, int len) {
    int best = points[0];
    for (int k = 1; k < len; k++) {
        const place_t *p = &r->places[points[k]], *b = &r->places[best];
        if (p->peer == b->peer ? value_of(r, bars, points[k]) > value_of(r, bars, best) : b->peer)
            best = points[k];
    }
    return best;
}

/* One structure of a layer. */
static void write_lane(FILE *out, const report_t *r, const bars_t *bars, int group, int lane,
                       const int *points, int len, bool of_layer) {
    char text[NUMBER_LEN];
    const int best = greatest(r, bars, points, len);
    double low = INFINITY, high = 0;
    for (int k = 0; k < len; k++) {
        low = fmin(low, value_of(r, bars, points[k]));
        high = fmax(high, value_of(r, bars, points[k]));
    }
    fprintf(out, "%d\t%d\t%d\t%.9g\t%.9g\t%.9g\t%s\303\227\t%d\n", group, lane,
            r->places[points[0]].series + 1, low, high, value_of(r, bars, best),
            number_text(value_of(r, bars, best), text), of_layer);
}

static void write_point(FILE *out, const report_t *r, const bars_t *bars, int group, int lane,
                        int i) {
    fprintf(out, "%d\t%d\t", group, lane);
    text_tsv(out, r->layers[r->places[i].layer].label);
    fprintf(out, "\t%.0f\t%d\t", r->points[i].tokens, r->places[i].series + 1);
    text_tsv(out, r->series[r->places[i].series].label);
    fprintf(out, "\t%.9g\t", value_of(r, bars, i));
    report_tell(r, i, out);
    putc('\n', out);
}

typedef struct {
    whole_file_t layers, lanes, points;
} files_t;

/* A lane for each structure of a layer, one more between layers. Returns the last of them. */
static int write_layer(const files_t *files, const report_t *r, const bars_t *bars, int group,
                       int lane, const int *points, int len) {
    const int best = greatest(r, bars, points, len);
    for (int from = 0, to; from < len; from = to) {
        const char *structure = r->points[points[from]].structure;
        bool of_layer = false;
        for (to = from; to < len && !strcmp(r->points[points[to]].structure, structure); to++) {
            of_layer = of_layer || points[to] == best;
            write_point(files->points.file, r, bars, group, lane, points[to]);
        }
        write_lane(files->lanes.file, r, bars, group, lane++, points + from, to - from, of_layer);
    }
    return lane - 1;
}

/* The token count that stands for a layer; NAN for a layer that is shown elsewhere. */
static double tokens_of(const sheet_t *sheet, const bars_t *bars, int layer, double *tokens) {
    const layer_t *l = &sheet->r->layers[layer];
    if (l->section != sheet->section || (bars == &SPEEDUP && l->tokens_len != 1)) return NAN;
    const int len = report_tokens(sheet->r, layer, tokens);
    return len > 0 ? tokens[len - 1] : NAN;
}

static int write_layers(const sheet_t *sheet, const bars_t *bars, const files_t *files, int *points,
                        double *tokens, bool *left_out) {
    const report_t *r = sheet->r;
    int groups = 0, lane = 1;
    for (int l = 0; l < r->layers_len; l++) {
        const double n = tokens_of(sheet, bars, l, tokens);
        const int len = isnan(n) ? 0 : collect(r, bars, l, n, points);
        if (len == 0) continue;
        *left_out = groups == MAX_LAYERS;
        if (*left_out) break;
        const int last = write_layer(files, r, bars, ++groups, lane, points, len);
        fprintf(files->layers.file, "%d\t%d\t%d\t", groups, lane, last);
        sheet_tsv_name(files->layers.file, r->layers[l].label, BAR_NAME);
        fprintf(files->layers.file, ", n=%.0f\n", n);
        lane = last + 2;
    }
    return groups;
}

static status_t open_files(const sheet_t *sheet, const bars_t *bars, files_t *files) {
    status_t st =
        sheet_open_data(sheet, bars->layers, "group\tfirst_lane\tlast_lane\tlabel", &files->layers);
    if (st != STATUS_OK) return st;
    st = sheet_open_data(sheet, bars->lanes,
                         "group\tlane\tseries\tlow\thigh\tbar\ttext\tgreatest_of_layer",
                         &files->lanes);
    if (st != STATUS_OK) return whole_close(&files->layers, st);
    st = sheet_open_data(sheet, bars->points,
                         "group\tlane\tlayer\ttokens\tseries\tlabel\tvalue\trow", &files->points);
    if (st == STATUS_OK) return st;
    return whole_close(&files->layers, whole_close(&files->lanes, st));
}

static status_t write_files(const sheet_t *sheet, const bars_t *bars, int *points, double *tokens,
                            int *groups, bool *left_out) {
    files_t files;
    status_t st = open_files(sheet, bars, &files);
    if (st != STATUS_OK) return st;
    *groups = write_layers(sheet, bars, &files, points, tokens, left_out);
    st = whole_close(&files.points, st);
    st = whole_close(&files.lanes, st);
    return whole_close(&files.layers, st);
}

static status_t prepare(const sheet_t *sheet, const bars_t *bars) {
    bool left_out = false;
    char remark[160];
    int groups = 0, *points = malloc(((size_t)sheet->r->series_len + 1) * sizeof *points);
    double *tokens = malloc(((size_t)sheet->r->points_len + 1) * sizeof *tokens);
    const status_t st = points && tokens
                            ? write_files(sheet, bars, points, tokens, &groups, &left_out)
                            : fail(STATUS_OOM, "out of host memory for the report");
    free(points);
    free(tokens);
    if (st != STATUS_OK || groups == 0) return st;
    figure_t figure = {.template = "bars", .what = bars->what};
    snprintf(figure.caption, sizeof figure.caption, "%s", bars->caption);
    sheet_title(sheet, bars->title, &figure);
    snprintf(remark, sizeof remark, "%s%s", bars->remark,
             left_out ? "; the first layers only" : "");
    return sheet_add_pages(sheet, &figure, remark, bars->stem, groups, LAYERS_PER_PAGE);
}

status_t bars_prepare(const sheet_t *sheet) {
    return prepare(sheet, &SPEEDUP);
}

status_t excess_prepare(const sheet_t *sheet) {
    return prepare(sheet, &EXCESS);
}
