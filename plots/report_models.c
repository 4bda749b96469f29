#include "plots/report_models.h"

#include <math.h>
#include <string.h>

enum { MAX_OPERATORS = 64, LANE_NAME = 44 };

static bool is_measured(const model_row_t *m) {
    return !strcmp(m->status, "ok") && m->latency_ms > 0;
}

static bool is_part(const model_layer_row_t *part, const model_row_t *m) {
    return !strcmp(part->model, m->model) && !strcmp(part->structure, m->structure) &&
           !strcmp(part->phase, m->phase) && part->share_pct > 0;
}

/* ---- in words ---- */

static void cell(FILE *out, double value, const char *unit) {
    char text[NUMBER_LEN];
    number_text(value, text);
    fprintf(out, " %s%s |", text, *text ? unit : "");
}

static void write_model(FILE *out, const model_row_t *m) {
    fputs("| ", out);
    text_markdown(out, m->model);
    fputs(" | ", out);
    text_markdown(out, m->phase);
    fprintf(out, " | %.0f | ", m->tokens);
    text_markdown(out, m->structure);
    putc('/', out);
    text_markdown(out, m->variant);
    fputs(" |", out);
    if (!is_measured(m)) {
        putc(' ', out);
        text_markdown(out, *m->reason ? m->reason : m->status);
        fputs(" | | | | |\n", out);
        return;
    }
    cell(out, m->latency_ms, "");
    cell(out, m->speedup_vs_dense, "x");
    cell(out, m->speedup_predicted, "x");
    cell(out, m->accounted_pct, " %");
    cell(out, m->peak_bytes / 1e6, "");
    putc('\n', out);
}

static void write_part(FILE *out, const model_layer_row_t *part) {
    const char *const names[] = {part->model, part->phase, part->structure, part->operator,
                                 part->variant };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        fputs("| ", out);
        text_markdown(out, names[i]);
        putc(' ', out);
    }
    fprintf(out, "| %.0f |", part->count);
    cell(out, part->time_in_model_us, "");
    cell(out, part->time_alone_us, "");
    cell(out, part->share_pct, " %");
    putc(' ', out);
    text_markdown(out, part->bound);
    fputs(" |\n", out);
}

void write_models(FILE *out, const report_t *r) {
    fputs("## End to end\n\n", out);
    if (r->models_len == 0) {
        fputs("This run has no end-to-end latencies: `blroof model MODEL... -o DIR` measures "
              "them.\n\n",
              out);
        return;
    }
    fputs(
        "| model | phase | tokens | structure/variant | latency, ms | over dense | predicted from "
        "layers | accounted for | peak MB |\n"
        "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |\n",
        out);
    for (int i = 0; i < r->models_len; i++) write_model(out, &r->models[i]);
    putc('\n', out);
    if (r->model_layers_len == 0) return;
    fputs(
        "What they are made of:\n\n"
        "| model | phase | structure | operator | variant | count | in the model, us | alone, us | "
        "share | bound |\n"
        "| --- | --- | --- | --- | --- | ---: | ---: | ---: | ---: | --- |\n",
        out);
    for (int i = 0; i < r->model_layers_len; i++) write_part(out, &r->model_layers[i]);
    putc('\n', out);
}

/* ---- the picture ---- */

typedef struct {
    const char *names[MAX_OPERATORS];
    int len;
} operators_t;

/* Of the run, in the order they first appear; those beyond the last share its place. */
static int operator_index(operators_t *o, const char *name) {
    for (int i = 0; i < o->len; i++)
        if (!strcmp(o->names[i], name)) return i;
    if (o->len < MAX_OPERATORS) o->names[o->len++] = name;
    return o->len - 1;
}

static void write_segment(FILE *out, int lane, double from, double to, int operator,
                          const char * what, double share) {
    fprintf(out, "%d\t%.9g\t%.9g\t%d\t", lane, from, to, operator+ 1);
    text_tsv(out, what);
    fprintf(out, ": %.3g ms, %.3g %%\n", to - from, share);
}

/* Segments of one bar; what the operators do not account for is its end. */
static void write_bar(FILE *out, const report_t *r, const model_row_t *m, int lane,
                      operators_t *operators) {
    double at = 0;
    for (int i = 0; i < r->model_layers_len; i++) {
        const model_layer_row_t *part = &r->model_layers[i];
        if (!is_part(part, m)) continue;
        const double length = m->latency_ms * part->share_pct / 100;
        write_segment(out, lane, at, at + length, operator_index(operators, part->operator),
                      part->operator, part->share_pct);
        at += length;
    }
    if (at < 0.999 * m->latency_ms)
        write_segment(out, lane, at, m->latency_ms, operator_index(operators, "other"), "other",
                      100 * (1 - at / m->latency_ms));
}

static status_t write_operators(const sheet_t *sheet, const operators_t *operators) {
    /* Okabe and Ito's palette, then greys; the rest is light. */
    static const unsigned colours[] = {0x0072B2, 0xE69F00, 0x009E73, 0xCC79A7, 0x56B4E9,
                                       0xD55E00, 0xF0E442, 0x606060, 0x909090};
    enum { COLOURS = sizeof colours / sizeof *colours };
    whole_file_t w;
    const status_t st = sheet_open_data(sheet, "operators", "operator\tname\trgb", &w);
    if (st != STATUS_OK) return st;
    for (int i = 0, used = 0; i < operators->len; i++) {
        const bool other = !strcmp(operators->names[i], "other");
        fprintf(w.file, "%d\t", i + 1);
        sheet_tsv_name(w.file, operators->names[i], 28);
        fprintf(w.file, "\t%u\n", other ? 0xD8D8D8 : colours[used++ % COLOURS]);
    }
    return whole_close(&w, STATUS_OK);
}

static status_t write_lanes(const sheet_t *sheet, operators_t *operators, int *lanes) {
    const report_t *r = sheet->r;
    whole_file_t bars, parts;
    status_t st = sheet_open_data(sheet, "models", "lane\tlabel\tlatency_ms\ttext", &bars);
    if (st != STATUS_OK) return st;
    st = sheet_open_data(sheet, "model_parts", "lane\tfrom_ms\tto_ms\toperator\trow", &parts);
    if (st != STATUS_OK) return whole_close(&bars, st);
    for (int i = 0; i < r->models_len; i++) {
        const model_row_t *m = &r->models[i];
        char label[5 * TEXT_LEN], latency[NUMBER_LEN], speedup[NUMBER_LEN];
        if (!is_measured(m)) continue;
        snprintf(label, sizeof label, "%s %s, %s/%s", m->model, m->phase, m->structure, m->variant);
        fprintf(bars.file, "%d\t", ++*lanes);
        sheet_tsv_name(bars.file, label, LANE_NAME);
        number_text(m->speedup_vs_dense, speedup);
        fprintf(bars.file, "\t%.9g\t%s ms%s%s%s\n", m->latency_ms,
                number_text(m->latency_ms, latency), *speedup ? ", " : "", speedup,
                *speedup ? "\303\227" : "");
        write_bar(parts.file, r, m, *lanes, operators);
    }
    st = whole_close(&parts, STATUS_OK);
    return whole_close(&bars, st);
}

status_t models_prepare(const sheet_t *sheet) {
    operators_t operators = {.len = 0};
    int lanes = 0;
    if (sheet->r->models_len == 0) return STATUS_OK;
    status_t st = write_lanes(sheet, &operators, &lanes);
    if (st == STATUS_OK) st = write_operators(sheet, &operators);
    if (st != STATUS_OK || lanes == 0) return st;
    figure_t figure = {.template = "models",
                       .what = "",
                       .first = 1,
                       .last = lanes,
                       .name = "models",
                       .caption = "End-to-end latency and the operators it is made of; shorter is "
                                  "better, the factor is over dense."};
    char device[2 * TEXT_LEN];
    report_device(sheet->r, sheet->r->models[0].device, device, sizeof device);
    snprintf(figure.title, sizeof figure.title, "End to end: %s", device);
    snprintf(figure.subtitle, sizeof figure.subtitle,
             "latency, shorter is better; behind it times as fast as dense");
    return sheet_add_figure(sheet, figure);
}
