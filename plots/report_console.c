#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plots/model_passes.h"
#include "plots/report.h"
#include "plots/report_model.h"
#include "plots/report_text.h"

/* Widths of the columns behind layer, tokens and series; the sum decides what is left for names. */
enum {
    LINE = 100,
    TIME = 7,
    SPEEDUP = 6,
    TFLOPS = 7,
    GBPS = 6,
    PERCENT = 5,
    ERROR = 7,
    FIXED = TIME + SPEEDUP + TFLOPS + GBPS + PERCENT + ERROR + 7, /* and the spaces before */
    BOUND_MAX = 9,
    LAYER_MIN = 12,
    SERIES_MAX = 24, /* where there is no room for both */
    TOKENS_MIN = 6,
    WIDTH_TEXT = 2 * LINE
};

typedef struct {
    const report_t *r;
    FILE *out;
    bool colour;
    bool giga; /* GFLOP/s in this section, for no point of it reaches 1 TFLOP/s */
    int layer_width, tokens_width, series_width, bound_width;
    char (*names)[WIDTH_TEXT]; /* of the layers, as they fit */
} console_t;

static const char BOLD[] = "\033[1m", DIM[] = "\033[2m", YELLOW[] = "\033[33m", RED[] = "\033[31m",
                  RESET[] = "\033[0m";

static void style(const console_t *c, const char *code) {
    if (c->colour) fputs(code, c->out);
}

static int greater(int a, int b) {
    return a > b ? a : b;
}

/* ---- names ---- */

static void choose_widths(console_t *c) {
    const report_t *r = c->r;
    char text[NUMBER_LEN];
    c->tokens_width = TOKENS_MIN;
    c->series_width = (int)strlen("structure/variant");
    c->layer_width = (int)strlen("layer");
    c->bound_width = (int)strlen("bound");
    for (int i = 0; i < r->points_len; i++) {
        if (r->places[i].ok)
            c->bound_width = greater(c->bound_width, text_width(r->points[i].bound));
        const int len = snprintf(text, sizeof text, "%.0f", r->points[i].tokens);
        c->tokens_width = greater(c->tokens_width, len);
    }
    for (int i = 0; i < r->series_len; i++)
        c->series_width = greater(c->series_width, text_width(r->series[i].label));
    for (int i = 0; i < r->layers_len; i++)
        c->layer_width = greater(c->layer_width, text_width(r->layers[i].label));
    if (c->bound_width > BOUND_MAX) c->bound_width = BOUND_MAX;
    const int room = LINE - FIXED - c->bound_width - c->tokens_width - 2;
    if (c->layer_width + c->series_width <= room) return;
    if (c->series_width > SERIES_MAX) c->series_width = SERIES_MAX;
    if (c->series_width > room - LAYER_MIN) c->series_width = room - LAYER_MIN;
    if (c->layer_width > room - c->series_width) c->layer_width = room - c->series_width;
}

/* Cut names that came out alike end in ~1, ~2, ... instead. */
static void name_layers(console_t *c) {
    const report_t *r = c->r;
    for (int i = 0; i < r->layers_len; i++)
        text_shorten(r->layers[i].label, c->layer_width, c->names[i], sizeof c->names[i]);
    for (int i = 0; i < r->layers_len; i++) {
        char alike[WIDTH_TEXT], suffix[NUMBER_LEN];
        int number = 1;
        memcpy(alike, c->names[i], sizeof alike);
        for (int j = i + 1; j < r->layers_len; j++) {
            if (r->layers[j].section != r->layers[i].section || strcmp(c->names[j], alike) ||
                !strcmp(r->layers[j].label, r->layers[i].label))
                continue;
            for (int k = number == 1 ? i : j;; k = j) {
                const int len = snprintf(suffix, sizeof suffix, "~%d", number++);
                char head[WIDTH_TEXT];
                text_shorten(r->layers[k].label, c->layer_width - len, head, sizeof head);
                snprintf(c->names[k], sizeof c->names[k], "%.*s%s", WIDTH_TEXT - NUMBER_LEN, head,
                         suffix);
                if (k == j) break;
            }
        }
    }
}

/* ---- lines ---- */

static void number(const console_t *c, double value, int width) {
    char text[NUMBER_LEN];
    if ((int)strlen(number_text(value, text)) > width) snprintf(text, sizeof text, "%.1e", value);
    if ((int)strlen(text) > width) snprintf(text, sizeof text, "%.0e", value);
    fprintf(c->out, " %*s", width, text);
}

static void write_header(const console_t *c, int section) {
    const section_t *s = &c->r->sections[section];
    char device[2 * TEXT_LEN], title[3 * LABEL_LEN];
    report_device(c->r, s->device, device, sizeof device);
    snprintf(title, sizeof title, "%s, %s, cache %s", device, s->dtype,
             *s->cache ? s->cache : "unknown");
    if (section > 0) putc('\n', c->out);
    style(c, BOLD);
    text_pad(c->out, title, text_width(title) < LINE ? text_width(title) : LINE);
    style(c, RESET);
    putc('\n', c->out);
    style(c, BOLD);
    text_pad(c->out, "layer", c->layer_width);
    fprintf(c->out, " %*s ", c->tokens_width, "tokens");
    text_pad(c->out, "structure/variant", c->series_width);
    fprintf(c->out, " %*s %*s %*s %*s %*s %-*s %*s", TIME, "time_us", SPEEDUP, "xdense", TFLOPS,
            c->giga ? "GFLOP/s" : "TFLOP/s", GBPS, "GB/s", PERCENT, "roof%", c->bound_width,
            "bound", ERROR, "error");
    style(c, RESET);
    putc('\n', c->out);
}

static void write_ok(const console_t *c, int i) {
    const point_row_t *row = &c->r->points[i];
    const double speedup = c->r->places[i].speedup;
    char text[NUMBER_LEN] = "";
    number(c, row->time_us, TIME);
    style(c, !is_dense(row) && speedup > 1 ? BOLD : "");
    number(c, speedup, SPEEDUP);
    style(c, !is_dense(row) && speedup > 1 ? RESET : "");
    number(c, c->giga ? 1e3 * row->tflops : row->tflops, TFLOPS);
    number(c, row->gbps, GBPS);
    number(c, row->roof_pct, PERCENT);
    putc(' ', c->out);
    text_pad(c->out, row->bound, c->bound_width);
    if (!isnan(row->error)) snprintf(text, sizeof text, "%.1e", row->error);
    if ((int)strlen(text) > ERROR) snprintf(text, sizeof text, "%.0e", row->error);
    fprintf(c->out, " %*s\n", ERROR, text);
}

/* Why there is no time takes the place of the numbers, on as many lines as it needs. */
static void write_not_ok(const console_t *c, int i) {
    const point_row_t *row = &c->r->points[i];
    const bool expected = !strcmp(row->status, "unsupported") || !strcmp(row->status, "oom");
    const char *reason = *row->reason                ? row->reason
                         : strcmp(row->status, "ok") ? "no reason recorded"
                                                     : "no time recorded";
    const int room = FIXED + c->bound_width - 1;
    char text[2 * TEXT_LEN + 8];
    snprintf(text, sizeof text, "%s: %s", *row->status ? row->status : "no status", reason);
    style(c, expected ? YELLOW : RED);
    for (const char *rest = text; *rest;) {
        const int taken = text_break(rest, room);
        fprintf(c->out, "%*s", rest == text ? 1 : LINE - room, "");
        text_pad(c->out, rest, taken);
        rest += text_bytes(rest, taken);
        while (*rest == ' ') rest++;
        if (*rest) putc('\n', c->out);
    }
    style(c, RESET);
    putc('\n', c->out);
}

static void write_line(const console_t *c, int i) {
    const place_t *p = &c->r->places[i];
    char series[WIDTH_TEXT];
    text_shorten(c->r->series[p->series].label, c->series_width, series, sizeof series);
    style(c, p->current ? "" : DIM);
    text_pad(c->out, c->names[p->layer], c->layer_width);
    fprintf(c->out, " %*.0f ", c->tokens_width, c->r->points[i].tokens);
    text_pad(c->out, series, c->series_width);
    if (p->ok)
        write_ok(c, i);
    else
        write_not_ok(c, i);
    style(c, p->current ? "" : RESET);
}

static void write_flags(const console_t *c) {
    for (int i = 0; i < c->r->points_len; i++) {
        const point_row_t *row = &c->r->points[i];
        if (!*row->flags || !strcmp(row->flags, "disturbed")) continue;
        char text[5 * TEXT_LEN];
        snprintf(text, sizeof text, "flag %s: %s n=%.0f %s/%s", row->flags, row->layer, row->tokens,
                 row->structure, row->variant);
        const int width = text_width(text);
        style(c, YELLOW);
        text_pad(c->out, text, width > LINE ? LINE - 1 : width);
        if (width > LINE) putc('~', c->out);
        style(c, RESET);
        putc('\n', c->out);
    }
}

/* "44 points: 40 ok, 4 unsupported" */
static void write_counts(const console_t *c) {
    static const char *const statuses[] = {"ok", "unsupported", "mismatch", "oom", "error"};
    const report_t *r = c->r;
    int rest = r->points_len;
    fprintf(c->out, "\n%d point%s:", r->points_len, r->points_len == 1 ? "" : "s");
    const char *separator = " ";
    for (size_t s = 0; s < sizeof statuses / sizeof *statuses; s++) {
        int count = 0;
        for (int i = 0; i < r->points_len; i++) count += !strcmp(r->points[i].status, statuses[s]);
        rest -= count;
        if (count == 0) continue;
        fprintf(c->out, "%s%d %s", separator, count, statuses[s]);
        separator = ", ";
    }
    if (rest > 0) fprintf(c->out, "%s%d of another status", separator, rest);
    putc('\n', c->out);
}

static bool reaches_tera(const report_t *r, int section) {
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].section == section && r->places[i].ok && r->points[i].tflops >= 1)
            return true;
    return false;
}

status_t report_print(const report_t *r, FILE *out) {
    status_t st = STATUS_OK;
    const char *no_color = getenv("NO_COLOR");
    console_t c = {.r = r, .out = out};
    c.colour = (!no_color || !*no_color) && isatty(fileno(out));
    c.names = calloc((size_t)r->layers_len, sizeof *c.names);
    if (!c.names) return fail(STATUS_OOM, "out of host memory for the report");
    choose_widths(&c);
    name_layers(&c);
    for (int s = 0; s < r->sections_len; s++) {
        c.giga = !reaches_tera(r, s);
        write_header(&c, s);
        for (int i = 0; i < r->points_len; i++)
            if (r->places[i].section == s) write_line(&c, i);
    }
    write_counts(&c);
    write_flags(&c);
    if (fflush(out) != 0 || ferror(out)) st = fail(STATUS_IO, "cannot write to standard output");
    free(c.names);
    return st;
}

status_t report_models_console(const char *run_dir, FILE *out) {
    report_t report;
    passes_t passes;
    status_t st = report_load(run_dir, &report);
    if (st != STATUS_OK) return st;
    st = passes_open(&report, &passes);
    if (st == STATUS_OK) passes_print(&passes, out);
    passes_close(&passes);
    report_free(&report);
    return st;
}

status_t report_console(const char *run_dir, FILE *out) {
    report_t report;
    status_t st = report_load(run_dir, &report);
    if (st != STATUS_OK) return st;
    st = report_print(&report, out);
    report_free(&report);
    return st;
}
