/* The models on the page: the passes of each group, Amdahl's law, where the time of each goes. */
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

static void write_group_passes(FILE *out, const passes_t *m, const model_group_t *group) {
    fputs("| structure/variant | latency | 95 % interval | one by one | tokens/s | vs dense | "
          "accounted for | weights | activations | workspace | peak |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
          out);
    for (int i = 0; i < m->r->models_len; i++) {
        const model_row_t *p = &m->r->models[i];
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
    for (int i = 0; i < m->r->models_len; i++)
        if (passes_in_group(group, &m->r->models[i]) && !isnan(m->r->models[i].replaced_speedup))
            return true;
    return false;
}

static void write_amdahl(FILE *out, const passes_t *m, const model_group_t *group) {
    if (!any_speedup(m, group)) return;
    fputs("| structure/variant | replaced part of dense, f | faster alone, s | predicted, "
          "1 / (1 - f + f / s) | measured | measured / predicted |\n"
          "| --- | ---: | ---: | ---: | ---: | ---: |\n",
          out);
    for (int i = 0; i < m->r->models_len; i++) {
        const model_row_t *p = &m->r->models[i];
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
    for (int i = 0; i < m->r->model_layers_len; i++) {
        const model_layer_row_t *l = &m->r->model_layers[i];
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
    fputs("### ", out);
    text_markdown(out, group->title);
    fputs("\n\n", out);
    write_group_passes(out, m, group);
    write_amdahl(out, m, group);
    for (int i = 0; i < m->r->models_len; i++) {
        const model_row_t *p = &m->r->models[i];
        if (!passes_in_group(group, p) || !passes_ok(p)) continue;
        fputs("#### ", out);
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

status_t write_passes(page_t *page, const report_t *r, const figures_t *figures) {
    passes_t m;
    fputs("## Whole models\n\n", page->md);
    if (r->models_len == 0) {
        fputs("This run has none: `blroof model MODEL... -o DIR` measures them.\n\n", page->md);
        return page->st;
    }
    for (int f = 0; f < figures->len; f++)
        if (figures->items[f].section == FIGURE_MODELS) page_figure(page, &figures->items[f]);
    if (page->st != STATUS_OK) return page->st;
    const status_t st = passes_open(r, &m);
    if (st != STATUS_OK) return st;
    fputs(
        "Latency is the median of whole passes; \"one by one\" is the same without a graph, each\n"
        "launch enqueued by itself. Operators are timed inside such a pass and (all their "
        "launches)\nalone, as a sweep does; accounted for is their sum over the latency. What is "
        "left is named:\ngaps between them, and the launch before the first and behind the last. "
        "Predicted is Amdahl's\nlaw from the layers alone: a measured speedup below it was lost in "
        "the model. MB of an operator\nare all bytes it reads and writes; memory is what the "
        "device says was taken, at the peak with\nthe driver's own (kernels, the graph).\n\n",
        page->md);
    for (int g = 0; g < m.groups_len; g++) write_group(page->md, &m, &m.groups[g]);
    passes_close(&m);
    return STATUS_OK;
}
