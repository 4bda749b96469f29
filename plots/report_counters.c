#include "plots/report_counters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"

/* Differences below this share of the modelled bytes are not worth a remark. */
static const double REMARK_SHARE = 0.05;

/* The first row of a section that says why it was not counted, in one line of Markdown. */
static void write_not_counted(FILE *out, const report_t *r, int section) {
    fputs("Not counted: ", out);
    for (int i = 0; i < r->points_len; i++) {
        const point_row_t *row = &r->points[i];
        if (r->places[i].section != section || !r->places[i].ok || is_counted(row) ||
            r->places[i].peer)
            continue;
        static const char prefix[] = "not counted: ";
        const bool told = !strncmp(row->reason, prefix, sizeof prefix - 1);
        const char *status = *row->counter_status ? row->counter_status : "unknown";
        fputs("counters were ", out);
        text_markdown(out, status);
        if (told) {
            fputs(" (", out);
            text_markdown(out, row->reason + sizeof prefix - 1);
            putc(')', out);
        }
        fputs(".\n\n", out);
        return;
    }
    fputs("no point has a time.\n\n", out);
}

static int count_counted(const report_t *r, int section, int *rows) {
    int counted = 0;
    *rows = 0;
    for (int i = 0; i < r->points_len; i++) {
        const place_t *p = &r->places[i];
        if (p->section != section || !p->ok || !p->current || p->peer) continue;
        ++*rows;
        counted += is_counted(&r->points[i]);
    }
    return counted;
}

/* ---- Table 2 ---- */

/* Millions of bytes or 1e9 FLOPs; "not counted" for NAN. */
static void write_measured(FILE *out, double value, double unit) {
    char text[NUMBER_LEN];
    fprintf(out, " %s |", isnan(value) ? "not counted" : number_text(value / unit, text));
}

static void write_model(FILE *out, double value, double unit) {
    char text[NUMBER_LEN];
    fprintf(out, " %s |", number_text(value / unit, text));
}

/* Where measured and modelled DRAM bytes part. What the cache absorbs is told by reads, for writes
 * may leave it later: read-back intermediates but for what was read beyond the compulsory. */
static void write_remark(FILE *out, const report_t *r, const point_row_t *row) {
    char less_mb[NUMBER_LEN], absorbed_mb[NUMBER_LEN], again_mb[NUMBER_LEN], cache_mb[NUMBER_LEN];
    const double less = row->bytes_model - row->dram_read_bytes - row->dram_write_bytes;
    const double again = (row->bytes_model - row->bytes_min) / 2;
    const double beyond = row->dram_read_bytes * (1 - 1 / row->excess_traffic);
    const double absorbed = fmin(again, again - beyond);
    if (isnan(less) || fabs(less) < REMARK_SHARE * row->bytes_model) return;
    number_text(fabs(less) / 1e6, less_mb);
    fprintf(out, "%s MB %s than the model", less_mb, less > 0 ? "less" : "more");
    if (less < 0) return;
    if (row->excess_traffic < 1 - REMARK_SHARE) {
        fputs(": inputs or weights were in the cache", out);
    } else if (absorbed > 0) {
        const char *l2 = report_fact(r, "gpu_l2_bytes");
        number_text(absorbed / 1e6, absorbed_mb);
        number_text(again / 1e6, again_mb);
        number_text(*l2 ? strtod(l2, NULL) / 1e6 : NAN, cache_mb);
        fprintf(out, ": the L2%s%s%s absorbs at least %s of the %s MB of intermediates read back",
                *cache_mb ? " of " : "", cache_mb, *cache_mb ? " MB" : "", absorbed_mb, again_mb);
    } else {
        fputs(": writes stayed in the cache", out);
    }
}

static void write_table2_row(FILE *out, const report_t *r, int i) {
    const point_row_t *row = &r->points[i];
    fputs("| ", out);
    text_markdown(out, r->layers[r->places[i].layer].label);
    fprintf(out, " | %.0f | ", row->tokens);
    text_markdown(out, r->series[r->places[i].series].label);
    fputs(" |", out);
    write_model(out, row->flops, 1e9);
    write_measured(out, row->flops_measured, 1e9);
    write_model(out, row->bytes_min, 1e6);
    write_model(out, row->bytes_model, 1e6);
    write_measured(out, row->dram_read_bytes, 1e6);
    write_measured(out, row->dram_write_bytes, 1e6);
    write_measured(out, row->l2_bytes, 1e6);
    putc(' ', out);
    write_remark(out, r, row);
    fputs(" |\n", out);
}

static void write_table2(FILE *out, const report_t *r, int section) {
    int rows;
    const int counted = count_counted(r, section, &rows);
    if (counted == 0) write_not_counted(out, r, section);
    if (rows == 0) return;
    if (counted > 0) fprintf(out, "%d of %d points were counted.\n\n", counted, rows);
    fputs("| layer | tokens | structure/variant | model GFLOP | executed GFLOP | compulsory MB | "
          "model MB | DRAM read MB | DRAM written MB | L2 MB | remark |\n"
          "| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n",
          out);
    for (int l = 0; l < r->layers_len; l++)
        for (int i = 0; i < r->points_len; i++)
            if (r->places[i].section == section && r->places[i].layer == l && r->places[i].ok &&
                r->places[i].current && !r->places[i].peer)
                write_table2_row(out, r, i);
    putc('\n', out);
}

status_t write_table2_md(const report_t *r, const char *dir) {
    whole_file_t w;
    char device[2 * TEXT_LEN];
    status_t st = whole_open(dir, "table2.md", &w);
    if (st != STATUS_OK) return st;
    fputs(
        "# The cost model against the counters\n\n"
        "Model: the FLOPs of the structure, and compulsory bytes plus each intermediate written\n"
        "once and read once, as in Table 2 of arXiv 2512.20861. Executed: on tensor and CUDA\n"
        "cores together, a multiply-add counts 2. Counted bytes are of one launch, the mean over\n"
        "rotating buffers. Reads judge a kernel; writes may leave the cache after the window.\n"
        "MB are 1e6 bytes.\n\n",
        w.file);
    for (int s = 0; s < r->sections_len; s++) {
        const section_t *section = &r->sections[s];
        report_device(r, section->device, device, sizeof device);
        fputs("## ", w.file);
        text_markdown(w.file, device);
        fputs(", ", w.file);
        text_markdown(w.file, section->dtype);
        fputs(", cache ", w.file);
        text_markdown(w.file, *section->cache ? section->cache : "unknown");
        fputs("\n\n", w.file);
        write_table2(w.file, r, s);
    }
    return whole_close(&w, STATUS_OK);
}

/* ---- excess traffic ---- */

typedef struct {
    int series, counted, worst;
    double excess, waste; /* geometric means */
} traffic_t;

static traffic_t sum_traffic(const report_t *r, int section, int series) {
    traffic_t t = {.series = series, .worst = -1, .excess = NAN, .waste = NAN};
    double excess = 0, waste = 0;
    int wastes = 0;
    for (int i = 0; i < r->points_len; i++) {
        const place_t *p = &r->places[i];
        const point_row_t *row = &r->points[i];
        if (p->section != section || p->series != series || !p->ok || !p->current) continue;
        if (row->flops_waste > 0) waste += log(row->flops_waste), wastes++;
        if (!(row->excess_traffic > 0)) continue;
        excess += log(row->excess_traffic);
        t.counted++;
        if (t.worst < 0 || row->excess_traffic > r->points[t.worst].excess_traffic) t.worst = i;
    }
    if (t.counted) t.excess = exp(excess / t.counted);
    if (wastes) t.waste = exp(waste / wastes);
    return t;
}

static int more_excess(const void *left, const void *right) {
    const traffic_t *a = left, *b = right;
    if (a->excess != b->excess) return a->excess < b->excess ? 1 : -1;
    return a->series - b->series;
}

static void write_traffic_row(FILE *out, const report_t *r, const traffic_t *t) {
    char excess[NUMBER_LEN], worst[NUMBER_LEN], waste[NUMBER_LEN];
    const point_row_t *row = &r->points[t->worst];
    fputs("| ", out);
    text_markdown(out, r->series[t->series].label);
    fprintf(out, " | %d | %sx | %sx: ", t->counted, number_text(t->excess, excess),
            number_text(row->excess_traffic, worst));
    text_markdown(out, r->layers[r->places[t->worst].layer].label);
    number_text(t->waste, waste);
    fprintf(out, ", n=%.0f | %s%s |\n", row->tokens, *waste ? waste : "not counted",
            *waste ? "x" : "");
}

void write_traffic(FILE *out, const report_t *r, int section) {
    traffic_t *ranking = calloc((size_t)r->series_len + 1, sizeof *ranking);
    int count = 0;
    fputs("### Excess traffic\n\n", out);
    for (int s = 0; ranking && s < r->series_len; s++) {
        ranking[count] = sum_traffic(r, section, s);
        count += ranking[count].counted > 0;
    }
    if (count == 0) {
        write_not_counted(out, r, section);
        free(ranking);
        return;
    }
    qsort(ranking, (size_t)count, sizeof *ranking, more_excess);
    fputs(
        "Bytes read from DRAM over those that must be read (inputs and weights, once), and FLOPs\n"
        "executed over those that the algorithm needs; the most wasteful variant first. Below 1x:\n"
        "kept by the cache, or packed in fewer bits than the dtype has.\n"
        "[Model against counters](table2.md), point by point.\n\n"
        "| structure/variant | points counted | reads, geometric mean | worst | FLOPs, geometric "
        "mean |\n| --- | ---: | ---: | --- | ---: |\n",
        out);
    for (int i = 0; i < count; i++) write_traffic_row(out, r, &ranking[i]);
    putc('\n', out);
    free(ranking);
}
