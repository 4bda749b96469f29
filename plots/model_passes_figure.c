/* The picture of whole models: a panel for each group, a stacked bar for each pass. */
#include <math.h>
#include <string.h>

#include "plots/model_passes.h"
#include "plots/report_text.h"

enum { PANELS_PER_PAGE = 6, NAME_WIDTH = 13 };

/* Okabe and Ito's palette, as for the series; gaps are grey. */
static const unsigned COLOURS[PART_COUNT] = {0x0072B2, 0x56B4E9, 0xD55E00, 0x009E73,
                                             0xE69F00, 0xCC79A7, 0xBBBBBB};

/* Filled ones of gnuplot. */
static const int MARKERS[PART_COUNT] = {7, 7, 5, 9, 11, 13, 15};

static status_t write_parts(const sheet_t *sheet) {
    whole_file_t w;
    status_t st = sheet_open_data(sheet, "passes_parts", "series\tlabel\trgb\tpoint_type", &w);
    if (st != STATUS_OK) return st;
    for (int p = 0; p < PART_COUNT; p++)
        fprintf(w.file, "%d\t%s\t%u\t%d\n", p + 1, passes_part_name((model_part_t)p), COLOURS[p],
                MARKERS[p]);
    return whole_close(&w, STATUS_OK);
}

static void write_name(FILE *out, const char *name) {
    char fitting[TEXT_LEN];
    text_shorten(name, NAME_WIDTH, fitting, sizeof fitting);
    text_tsv(out, fitting);
}

/* Milliseconds of each part of a pass; what is below 0 (a gap of noise) is not drawn. */
static void write_bar(FILE *out, const passes_t *m, const model_group_t *group, int panel, int bar,
                      const model_row_t *pass) {
    double parts[PART_COUNT] = {0};
    char text[NUMBER_LEN], label[3 * NUMBER_LEN];
    for (int i = 0; i < m->r->model_layers_len; i++)
        if (passes_belongs(&m->r->model_layers[i], pass) &&
            m->r->model_layers[i].time_in_model_us > 0)
            parts[passes_part(m, group, &m->r->model_layers[i])] +=
                m->r->model_layers[i].time_in_model_us * 1e-3;
    fprintf(out, "%d\t%d\t", panel, bar);
    write_name(out, pass->structure);
    fprintf(out, "\t%.9g\t", pass->latency_ms);
    snprintf(label, sizeof label, "%s ms", number_text(pass->latency_ms, text));
    text_tsv(out, label);
    label[0] = '\0';
    if (strcmp(pass->structure, "dense") != 0 && !isnan(pass->speedup_vs_dense))
        snprintf(label, sizeof label, "%s\303\227", number_text(pass->speedup_vs_dense, text));
    fprintf(out, "\t%s", label);
    double top = 0; /* noise may put the parts above the latency */
    for (int p = 0; p < PART_COUNT; p++) {
        fprintf(out, "\t%.9g", parts[p]);
        top += parts[p];
    }
    fprintf(out, "\t%.9g\t", fmax(top, pass->latency_ms));
    write_name(out, pass->variant);
    putc('\n', out);
}

static status_t write_bars(const passes_t *m, const sheet_t *sheet, int *panels) {
    whole_file_t bars, titles;
    *panels = 0;
    status_t st = sheet_open_data(sheet, "passes_panels", "panel\ttitle\tbars", &titles);
    if (st != STATUS_OK) return st;
    st = whole_open(sheet->data_dir, "passes.tsv", &bars);
    if (st != STATUS_OK) return whole_close(&titles, st);
    fputs("panel\tbar\tname\tlatency_ms\tlatency\tspeedup", bars.file);
    for (int p = 0; p < PART_COUNT; p++)
        fprintf(bars.file, "\t%s ms", passes_part_name((model_part_t)p));
    fputs("\ttop\tvariant\n", bars.file);
    for (int g = 0; g < m->groups_len; g++) {
        int count = 0;
        for (int i = 0; i < m->r->models_len; i++)
            if (passes_in_group(&m->groups[g], &m->r->models[i]) && passes_ok(&m->r->models[i]))
                write_bar(bars.file, m, &m->groups[g], *panels + 1, ++count, &m->r->models[i]);
        if (count == 0) continue;
        fprintf(titles.file, "%d\t", ++*panels);
        text_tsv(titles.file, m->groups[g].title);
        fprintf(titles.file, "\t%d\n", count);
    }
    st = whole_close(&bars, STATUS_OK);
    return whole_close(&titles, st);
}

static status_t bars_figures(const passes_t *m, const sheet_t *sheet) {
    int panels = 0;
    status_t st = write_bars(m, sheet, &panels);
    for (int first = 1; first <= panels && st == STATUS_OK; first += PANELS_PER_PAGE) {
        const int last = first + PANELS_PER_PAGE - 1;
        figure_t figure = {.template = "model_passes",
                           .what = "",
                           .first = first,
                           .last = last < panels ? last : panels,
                           .title = "Where the time of whole models goes",
                           .subtitle = "latency of a pass on top, and its speedup over dense",
                           .caption = "Time of a pass by kind of operator: lower is better."};
        if (first == 1)
            snprintf(figure.name, sizeof figure.name, "passes");
        else
            snprintf(figure.name, sizeof figure.name, "passes_page%d", first / PANELS_PER_PAGE + 1);
        st = sheet_add_figure(sheet, figure);
    }
    return st;
}

/* ---- roofline of the operators ---- */

/* Operators that compute something, of passes on the device and in the dtype of the first one. */
static int write_operators(FILE *out, const passes_t *m) {
    const model_row_t *first = m->groups[0].first;
    int count = 0;
    fputs("series\tlabel\toperator\ttokens\tflop_per_byte\tflop_per_s\troof_pct\t"
          "flop_per_byte_model\ttell\tcounted\n",
          out);
    for (int g = 0; g < m->groups_len; g++)
        for (int p = 0; p < m->r->models_len; p++) {
            const model_row_t *pass = &m->r->models[p];
            if (!passes_in_group(&m->groups[g], pass) || strcmp(pass->device, first->device) ||
                strcmp(pass->dtype, first->dtype))
                continue;
            for (int i = 0; i < m->r->model_layers_len; i++) {
                const model_layer_row_t *l = &m->r->model_layers[i];
                if (!passes_belongs(l, pass) || !(l->flops > 0 && l->time_in_model_us > 0))
                    continue;
                const model_part_t part = passes_part(m, &m->groups[g], l);
                const double intensity = l->flops / l->bytes;
                fprintf(out, "%d\t%s\t", (int)part + 1, passes_part_name(part));
                text_tsv(out, l->operator);
                fprintf(out, "\t%.0f\t%.9g\t%.9g\t", l->tokens, intensity,
                        l->flops / l->time_in_model_us * 1e6);
                number_tsv(out, l->roof_pct);
                fprintf(out, "\t%.9g\t", intensity);
                text_tsv(out, l->operator);
                fputs("\t0\n", out);
                count++;
            }
        }
    return count;
}

static status_t roofline_figure(const passes_t *m, const sheet_t *sheet) {
    whole_file_t points, ceilings;
    figure_t figure = {.template = "roofline",
                       .what = "models",
                       .first = 1,
                       .name = "roofline_models",
                       .caption = "Roofline of the operators inside the models: bytes are all that "
                                  "an operator reads and writes, from memory or from the cache."};
    status_t st = whole_open(sheet->data_dir, "roofline_models.tsv", &points);
    if (st != STATUS_OK) return st;
    const int count = write_operators(points.file, m);
    st = whole_close(&points, STATUS_OK);
    if (st == STATUS_OK)
        st = whole_open(sheet->data_dir, "roofline_models_ceilings.tsv", &ceilings);
    if (st != STATUS_OK) return st;
    const model_row_t *first = m->groups[0].first;
    figure.last = figures_write_ceilings(ceilings.file, m->r->ceilings, m->r->ceilings_len,
                                         first->device, first->dtype, NULL, true);
    st = whole_close(&ceilings, STATUS_OK);
    snprintf(figure.title, sizeof figure.title, "Roofline of the operators inside the models: %s",
             first->device);
    snprintf(figure.subtitle, sizeof figure.subtitle,
             "%s, time inside a pass; bytes are those read and written, in memory or cache",
             first->dtype);
    return st == STATUS_OK && count > 0 ? sheet_add_figure(sheet, figure) : st;
}

status_t passes_prepare(const sheet_t *sheet) {
    passes_t m;
    if (sheet->r->models_len == 0) return STATUS_OK;
    status_t st = passes_open(sheet->r, &m);
    if (st == STATUS_OK) st = write_parts(sheet);
    if (st == STATUS_OK) st = bars_figures(&m, sheet);
    if (st == STATUS_OK) st = roofline_figure(&m, sheet);
    passes_close(&m);
    return st;
}
