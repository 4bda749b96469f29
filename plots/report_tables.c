#include "plots/report_tables.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"

enum { MAX_DEVICES = 64 };

/* ---- speedup over dense ---- */

static bool in_section(const report_t *r, int series, int section) {
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].series == series && r->places[i].section == section) return true;
    return false;
}

/* Marks a ratio of times of two GPUs. */
static const char CROSSED[] = "\342\200\240";

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
        fprintf(out, ", %sx%s", number_text(r->places[i].speedup, speedup),
                r->places[i].crossed ? CROSSED : "");
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

status_t write_speedups(FILE *out, const report_t *r, int section, int limit) {
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
    int rows = 0;
    for (int l = 0; l < r->layers_len; l++) {
        if (r->layers[l].section != section) continue;
        const int count = report_tokens(r, l, tokens);
        for (int t = 0; t < count; t++)
            if (rows++ < limit) write_size(out, r, l, tokens[t]);
    }
    putc('\n', out);
    if (rows > limit)
        fprintf(out, "The first %d of %d rows; all are in [speedup.md](speedup.md).\n\n", limit,
                rows);
    free(tokens);
    return STATUS_OK;
}

const char *const SPEEDUP_LEGEND =
    "Median time, and how many times as fast as dense it is: the fastest dense variant of the "
    "same\n"
    "layer, tokens, dtype and cache state. Below 1x is slower. Bold is the fastest of its row.\n"
    "Empty: not in this run.\n\n";

/* How many points of a section each device measured, and whether ratios cross from one to another.
 */
static void write_devices(FILE *out, const report_t *r, int section) {
    struct {
        const char *device, *uuid;
        int points;
    } seen[MAX_DEVICES];
    int len = 0, crossed = 0;
    for (int i = 0; i < r->own_len; i++) {
        const point_row_t *row = &r->points[i];
        int d = 0;
        if (r->places[i].section != section || !r->places[i].current) continue;
        crossed += r->places[i].crossed && !isnan(r->places[i].speedup);
        while (d < len &&
               (strcmp(seen[d].device, row->device) || strcmp(seen[d].uuid, row->gpu_uuid)))
            d++;
        if (d == MAX_DEVICES) continue;
        if (d == len) {
            seen[d].device = row->device;
            seen[d].uuid = row->gpu_uuid;
            seen[d].points = 0;
            len++;
        }
        seen[d].points++;
    }
    if (len < 2) return;
    fputs("Points were shared out among", out);
    for (int d = 0; d < len; d++) {
        fprintf(out, "%s ", d ? "," : "");
        text_markdown(out, seen[d].device);
        if (*seen[d].uuid) fputs(" ", out);
        text_markdown(out, seen[d].uuid);
        fprintf(out, " (%d)", seen[d].points);
    }
    fputs(". A row's % of roof is of its own device; pictures draw the best ceiling of them all.\n",
          out);
    if (crossed)
        fprintf(out,
                "**%d ratios are of times of two devices**, for want of a dense row of the same "
                "one: marked %s in the tables.\n\n",
                crossed, CROSSED);
    else
        fputs("Every speedup is a ratio of times of one device.\n\n", out);
}

void write_section_title(FILE *out, const report_t *r, int section) {
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
    if (r->together) write_devices(out, r, section);
}

status_t write_speedup_md(const report_t *r, const char *dir) {
    whole_file_t w;
    status_t st = whole_open(dir, "speedup.md", &w);
    if (st != STATUS_OK) return st;
    fprintf(w.file, "# Speedup over dense\n\n%s", SPEEDUP_LEGEND);
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++) {
        write_section_title(w.file, r, s);
        st = write_speedups(w.file, r, s, INT_MAX);
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

void write_summary(FILE *out, const report_t *r, int section) {
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
