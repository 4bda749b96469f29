/* models.md: the passes of each group, Amdahl's law, and where the time of each pass goes. */
#include <math.h>
#include <string.h>

#include "plots/model_passes.h"
#include "plots/report_text.h"

static void cell(FILE *out, double value, const char *unit) {
    char text[NUMBER_LEN];
    fprintf(out, " %s%s |", number_text(value, text), isnan(value) ? "" : unit);
}

static void name_cell(FILE *out, const model_row_t *p) {
    fputs("| ", out);
    text_markdown(out, p->structure);
    putc('/', out);
    text_markdown(out, p->variant);
    fputs(" |", out);
}

static void write_passes(FILE *out, const passes_t *m, const model_group_t *group) {
    fputs("| structure/variant | latency | 95 % interval | one by one | tokens/s | vs dense | "
          "accounted for | weights | activations | workspace | peak |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
          out);
    for (int i = 0; i < m->passes_len; i++) {
        const model_row_t *p = &m->passes[i];
        char low[NUMBER_LEN], high[NUMBER_LEN];
        if (!passes_in_group(group, p)) continue;
        name_cell(out, p);
        if (!passes_ok(p)) {
            putc(' ', out);
            text_markdown(out, p->status);
            fputs(": ", out);
            text_markdown(out, p->reason);
            fputs(" | | | | | | | | | |\n", out);
            continue;
        }
        cell(out, p->latency_ms, " ms");
        fprintf(out, " %s to %s |", number_text(p->latency_ci_low_ms, low),
                number_text(p->latency_ci_high_ms, high));
        cell(out, p->stream_latency_ms, " ms");
        cell(out, p->tokens_per_s, "");
        cell(out, p->speedup_vs_dense, "x");
        cell(out, p->accounted_pct, " %");
        cell(out, p->weight_bytes * 1e-6, " MB");
        cell(out, p->activation_bytes * 1e-6, " MB");
        cell(out, p->workspace_bytes * 1e-6, " MB");
        cell(out, p->peak_bytes * 1e-6, " MB");
        putc('\n', out);
    }
    putc('\n', out);
}

static bool any_speedup(const passes_t *m, const model_group_t *group) {
    for (int i = 0; i < m->passes_len; i++)
        if (passes_in_group(group, &m->passes[i]) && !isnan(m->passes[i].replaced_speedup))
            return true;
    return false;
}

static void write_amdahl(FILE *out, const passes_t *m, const model_group_t *group) {
    if (!any_speedup(m, group)) return;
    fputs("| structure/variant | replaced part of dense, f | faster alone, s | predicted, "
          "1 / (1 - f + f / s) | measured | measured / predicted |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: |\n",
          out);
    for (int i = 0; i < m->passes_len; i++) {
        const model_row_t *p = &m->passes[i];
        if (!passes_in_group(group, p) || isnan(p->replaced_speedup)) continue;
        name_cell(out, p);
        cell(out, p->replaced_pct, " %");
        cell(out, p->replaced_speedup, "x");
        cell(out, p->speedup_predicted, "x");
        cell(out, p->speedup_vs_dense, "x");
        cell(out, p->speedup_vs_dense / p->speedup_predicted, "");
        putc('\n', out);
    }
    putc('\n', out);
}

static void write_operators(FILE *out, const passes_t *m, const model_row_t *pass) {
    fputs("| operator | variant | launches | in the model | alone | share | bound | % of roof | "
          "GFLOP | MB |\n"
          "| --- | --- | ---: | ---: | ---: | ---: | --- | ---: | ---: | ---: |\n",
          out);
    for (int i = 0; i < m->layers_len; i++) {
        const model_layer_row_t *l = &m->layers[i];
        if (!passes_belongs(l, pass)) continue;
        fputs("| ", out);
        text_markdown(out, l->operator);
        fputs(" | ", out);
        text_markdown(out, l->variant);
        fputs(" |", out);
        if (isnan(l->count))
            fputs(" |", out);
        else
            fprintf(out, " %.0f |", l->count);
        cell(out, l->time_in_model_us * 1e-3, " ms");
        cell(out, l->time_alone_us * 1e-3, " ms");
        cell(out, l->share_pct, " %");
        fprintf(out, " ");
        text_markdown(out, l->bound);
        fputs(" |", out);
        cell(out, l->roof_pct, " %");
        cell(out, l->flops * 1e-9, "");
        cell(out, l->bytes * 1e-6, "");
        putc('\n', out);
    }
    putc('\n', out);
}

static void write_group(FILE *out, const passes_t *m, const model_group_t *group) {
    fputs("## ", out);
    text_markdown(out, group->title);
    fputs("\n\n", out);
    write_passes(out, m, group);
    write_amdahl(out, m, group);
    for (int i = 0; i < m->passes_len; i++) {
        const model_row_t *p = &m->passes[i];
        if (!passes_in_group(group, p) || !passes_ok(p)) continue;
        fputs("### ", out);
        text_markdown(out, p->structure);
        putc('/', out);
        text_markdown(out, p->variant);
        fputs("\n\n", out);
        if (*p->reason) {
            text_markdown(out, p->reason);
            fputs("\n\n", out);
        }
        write_operators(out, m, p);
    }
}

status_t write_passes_md(const passes_t *m, const char *dir, const char *name,
                         const figures_t *figures, const char *notice) {
    whole_file_t w;
    status_t st = whole_open(dir, name, &w);
    if (st != STATUS_OK) return st;
    fputs("# Whole models\n\n", w.file);
    if (*notice) {
        fputs("**", w.file);
        text_markdown(w.file, notice);
        fputs("**\n\n", w.file);
    }
    for (int f = 0; f < figures->len; f++) {
        const figure_t *figure = &figures->items[f];
        fprintf(w.file, "![%s](%s.svg)\n\n%s [PNG](%s.png)\n\n", figure->caption, figure->name,
                figure->caption, figure->name);
    }
    fputs(
        "Latency is the median of whole passes; \"one by one\" is the same without a graph.\n"
        "Operators are timed inside such a pass and (all their launches) alone, as a sweep does;\n"
        "accounted for is their sum over the latency, and gaps are the rest. Predicted is\n"
        "Amdahl's law from the layers alone: a measured speedup below it was lost in the model.\n"
        "MB are all bytes that an operator reads and writes; memory is what was allocated.\n\n",
        w.file);
    for (int g = 0; g < m->groups_len; g++) write_group(w.file, m, &m->groups[g]);
    return whole_close(&w, STATUS_OK);
}
