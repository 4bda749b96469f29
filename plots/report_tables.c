#include "plots/report_tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plots/report_counters.h"
#include "plots/report_diagnosis.h"
#include "plots/report_text.h"

/* ---- speedup over dense ---- */

static bool in_section(const report_t *r, int series, int section) {
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].series == series && r->places[i].section == section) return true;
    return false;
}

/* The fastest of the row stands out; what did not run says so. */
static void write_cell(FILE *out, const report_t *r, int i, double fastest_us) {
    char time[NUMBER_LEN], speedup[NUMBER_LEN];
    if (i < 0) return;
    const point_row_t *row = &r->points[i];
    if (!r->places[i].ok) {
        text_markdown(out, strcmp(row->status, "ok") ? row->status : "no time");
        return;
    }
    const char *mark = row->time_us == fastest_us ? "**" : "";
    fprintf(out, "%s%s us", mark, number_text(row->time_us, time));
    if (!isnan(r->places[i].speedup))
        fprintf(out, ", %sx", number_text(r->places[i].speedup, speedup));
    fputs(mark, out);
}

static void write_size(FILE *out, const report_t *r, int layer, double tokens) {
    double fastest_us = INFINITY;
    for (int s = 0; s < r->series_len; s++) {
        const int i = report_find(r, layer, s, tokens);
        if (i >= 0 && r->places[i].ok) fastest_us = fmin(fastest_us, r->points[i].time_us);
    }
    fputs("| ", out);
    text_markdown(out, r->layers[layer].label);
    fprintf(out, " | %.0f |", tokens);
    for (int s = 0; s < r->series_len; s++) {
        if (!in_section(r, s, r->layers[layer].section)) continue;
        putc(' ', out);
        write_cell(out, r, report_find(r, layer, s, tokens), fastest_us);
        fputs(" |", out);
    }
    putc('\n', out);
}

static status_t write_speedups(FILE *out, const report_t *r, int section) {
    double *tokens = malloc((size_t)r->points_len * sizeof *tokens);
    if (!tokens) return fail(STATUS_OOM, "out of host memory for the report");
    fputs("| layer | tokens |", out);
    for (int s = 0; s < r->series_len; s++)
        if (in_section(r, s, section)) {
            putc(' ', out);
            text_markdown(out, r->series[s].label);
            fputs(" |", out);
        }
    fputs("\n| --- | ---: |", out);
    for (int s = 0; s < r->series_len; s++)
        if (in_section(r, s, section)) fputs(" ---: |", out);
    putc('\n', out);
    for (int l = 0; l < r->layers_len; l++) {
        if (r->layers[l].section != section) continue;
        const int count = report_tokens(r, l, tokens);
        for (int t = 0; t < count; t++) write_size(out, r, l, tokens[t]);
    }
    putc('\n', out);
    free(tokens);
    return STATUS_OK;
}

static const char *const speedup_legend =
    "Median time, and how many times as fast as dense it is: the fastest dense variant of the "
    "same\n"
    "layer, tokens, dtype and cache state. Below 1x is slower. Bold is the fastest of its row.\n"
    "Empty: not in this run.\n\n";

static void write_section_title(FILE *out, const report_t *r, int section) {
    char device[2 * TEXT_LEN];
    const section_t *s = &r->sections[section];
    report_device(r, s->device, device, sizeof device);
    fputs("## ", out);
    text_markdown(out, device);
    fputs(", ", out);
    text_markdown(out, s->dtype);
    fputs(", cache ", out);
    text_markdown(out, *s->cache ? s->cache : "unknown");
    fputs("\n\n", out);
}

status_t write_speedup_md(const report_t *r, const char *dir) {
    whole_file_t w;
    status_t st = whole_open(dir, "speedup.md", &w);
    if (st != STATUS_OK) return st;
    fprintf(w.file, "# Speedup over dense\n\n%s", speedup_legend);
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++) {
        write_section_title(w.file, r, s);
        st = write_speedups(w.file, r, s);
    }
    return whole_close(&w, st);
}

/* ---- one line a series ---- */

typedef struct {
    int ok, compared, faster;
    double log_sum, best, roof_sum;
    int roofs;
} summary_t;

static summary_t summarise(const report_t *r, int section, int series) {
    summary_t sum = {.best = NAN};
    for (int i = 0; i < r->points_len; i++) {
        const place_t *p = &r->places[i];
        if (p->section != section || p->series != series || !p->current || !p->ok) continue;
        sum.ok++;
        if (!isnan(r->points[i].roof_pct)) {
            sum.roof_sum += r->points[i].roof_pct;
            sum.roofs++;
        }
        if (isnan(p->speedup)) continue;
        sum.compared++;
        sum.faster += p->speedup > 1;
        sum.log_sum += log(p->speedup);
        sum.best = fmax(sum.best, p->speedup);
    }
    return sum;
}

static void write_summary(FILE *out, const report_t *r, int section) {
    char mean[NUMBER_LEN], best[NUMBER_LEN], roof[NUMBER_LEN];
    fputs("| structure/variant | points ok | faster than dense | speedup, geometric mean | best | "
          "mean % of roof |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
          out);
    for (int s = 0; s < r->series_len; s++) {
        if (!in_section(r, s, section)) continue;
        const summary_t sum = summarise(r, section, s);
        number_text(sum.compared ? exp(sum.log_sum / sum.compared) : NAN, mean);
        number_text(sum.best, best);
        number_text(sum.roofs ? sum.roof_sum / sum.roofs : NAN, roof);
        fputs("| ", out);
        text_markdown(out, r->series[s].label);
        fprintf(out, " | %d | %d of %d | %s%s | %s%s | %s |\n", sum.ok, sum.faster, sum.compared,
                mean, *mean ? "x" : "", best, *best ? "x" : "", roof);
    }
    putc('\n', out);
}

/* ---- index.md ---- */

static void write_facts(FILE *out, const report_t *r) {
    fputs("## Origin\n\n", out);
    if (r->facts_len == 0) {
        fputs("This directory has no run.csv: where the numbers come from is unknown.\n\n", out);
        return;
    }
    fputs("| key | value |\n| --- | --- |\n", out);
    for (int i = 0; i < r->facts_len; i++) {
        fputs("| ", out);
        text_markdown(out, r->facts[i].key);
        fputs(" | ", out);
        text_markdown(out, r->facts[i].value);
        fputs(" |\n", out);
    }
    putc('\n', out);
}

static void write_ceilings(FILE *out, const report_t *r) {
    char text[NUMBER_LEN], low[NUMBER_LEN], high[NUMBER_LEN];
    fputs("## Ceilings\n\n", out);
    if (r->ceilings_len == 0) {
        fputs("This directory has no ceilings: `blroof ceilings -o DIR` measures them.\n\n", out);
        return;
    }
    fputs("Measured on the device itself. The pictures draw the best method of each kind.\n\n"
          "| device | kind | dtype | method | value | unit | 95 % interval | theoretical | "
          "SM clock, MHz |\n"
          "| --- | --- | --- | --- | ---: | --- | --- | ---: | ---: |\n",
          out);
    for (int i = 0; i < r->ceilings_len; i++) {
        const ceiling_row_t *c = &r->ceilings[i];
        const char *const texts[] = {c->device, c->kind, c->dtype, c->method};
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            fputs("| ", out);
            text_markdown(out, texts[t]);
            putc(' ', out);
        }
        fprintf(out, "| %s | ", number_text(c->value, text));
        text_markdown(out, c->unit);
        number_text(c->ci_low, low);
        number_text(c->ci_high, high);
        fprintf(out, " | %s%s%s ", low, *low && *high ? " to " : "", high);
        fprintf(out, "| %s ", number_text(c->theoretical, text));
        fprintf(out, "| %s |\n", number_text(c->sm_clock_mhz, text));
    }
    putc('\n', out);
}

/* Rows with something to say: all that are not ok, or (flags) those that carry a flag. */
static void write_remarks(FILE *out, const report_t *r, bool flags) {
    int count = 0;
    for (int i = 0; i < r->points_len; i++) {
        const point_row_t *row = &r->points[i];
        if (flags ? !*row->flags : r->places[i].ok || !r->places[i].current) continue;
        if (count++ == 0)
            fprintf(out, "## %s\n\n| layer | tokens | structure/variant | dtype | %s |\n%s\n",
                    flags ? "Flags" : "Points without a time", flags ? "flag" : "status | reason",
                    flags ? "| --- | ---: | --- | --- | --- |"
                          : "| --- | ---: | --- | --- | --- | --- |");
        fputs("| ", out);
        text_markdown(out, r->layers[r->places[i].layer].label);
        fprintf(out, " | %.0f | ", row->tokens);
        text_markdown(out, r->series[r->places[i].series].label);
        fputs(" | ", out);
        text_markdown(out, row->dtype);
        fputs(" | ", out);
        text_markdown(out, flags ? row->flags : row->status);
        if (!flags) {
            fputs(" | ", out);
            text_markdown(out, *row->reason ? row->reason : "no reason recorded");
        }
        fputs(" |\n", out);
    }
    if (count && flags)
        fputs("\nover_roof: more than 2 % faster than the ceilings allow. impossible: more than 5 "
              "%,\n"
              "or fewer FLOPs executed than the algorithm needs. A ceiling, a count or a kernel is "
              "wrong.\n",
              out);
    if (count) putc('\n', out);
}

static void write_figures(FILE *out, const figures_t *figures, int section) {
    for (int f = 0; f < figures->len; f++) {
        const figure_t *figure = &figures->items[f];
        if (figure->section != section) continue;
        fprintf(out, "![%s](%s.svg)\n\n%s [PNG](%s.png)\n\n", figure->caption, figure->name,
                figure->caption, figure->name);
    }
}

static void write_heading(FILE *out, const report_t *r) {
    fputs("# blroof report\n\n", out);
    const char *const keys[] = {"run_id", "utc", "argv", "git"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *value = report_fact(r, keys[k]);
        if (!*value) continue;
        fprintf(out, "%s%s: ", k ? "; " : "", keys[k]);
        text_markdown(out, value);
    }
    const int ok = report_count_ok(r);
    fprintf(out, "\n\n%d points, %d of them ok. ", r->points_len, ok);
    fputs("Tables: [speedup over dense](speedup.md), [cost model against counters](table2.md);\n"
          "numbers behind the pictures: [data](data/).\n",
          out);
    char models[1280];
    snprintf(models, sizeof models, "%s/%s", r->dir, MODELS_TABLE.file);
    if (access(models, F_OK) == 0) fputs("Whole models: [models.md](models.md).\n", out);
    if (ok == 0) fputs("\n**No point is ok, so there is nothing to draw: reasons below.**\n", out);
}

status_t write_index_md(const report_t *r, const char *dir, const figures_t *figures,
                        const char *notice) {
    whole_file_t w;
    status_t st = whole_open(dir, "index.md", &w);
    if (st != STATUS_OK) return st;
    write_heading(w.file, r);
    if (*notice) {
        fputs("\n**", w.file);
        text_markdown(w.file, notice);
        fputs("**\n", w.file);
    }
    putc('\n', w.file);
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++) {
        write_section_title(w.file, r, s);
        write_summary(w.file, r, s);
        write_figures(w.file, figures, s);
        fputs(speedup_legend, w.file);
        st = write_speedups(w.file, r, s);
        if (st == STATUS_OK) st = write_crossings(w.file, r, s);
        write_traffic(w.file, r, s);
        write_slow_points(w.file, r, s);
    }
    write_ceilings(w.file, r);
    write_remarks(w.file, r, true);
    write_remarks(w.file, r, false);
    write_facts(w.file, r);
    return whole_close(&w, st);
}
