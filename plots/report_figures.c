#include "plots/report_figures.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/paths.h"
#include "plots/gnuplot.h"
#include "plots/model_passes.h"
#include "plots/report_bars.h"
#include "plots/report_beside.h"
#include "plots/report_heatmap.h"
#include "plots/report_panels.h"
#include "plots/report_sheet.h"
#include "plots/svg.h"

/* The most characters of a name that fit in a legend; more points than these nobody tells apart. */
enum { LEGEND_NAME = 28, MAX_POINTS = 2000, PATH_LEN = 1400 };

/* Shared by all pictures, so that a series looks the same in each. */
static status_t write_series(const sheet_t *sheet) {
    whole_file_t w;
    status_t st = whole_open(sheet->data_dir, "series.tsv", &w);
    if (st != STATUS_OK) return st;
    fputs("series\tlabel\trgb\tpoint_type\n", w.file);
    for (int s = 0; s < sheet->r->series_len; s++) {
        fprintf(w.file, "%d\t", s + 1);
        sheet_tsv_name(w.file, sheet->r->series[s].label, LEGEND_NAME);
        fprintf(w.file, "\t%u\t%d\n", sheet->r->series[s].rgb, sheet->r->series[s].point_type);
    }
    return whole_close(&w, STATUS_OK);
}

/* ---- roofline ---- */

/* The fastest ceiling of a kind, of any device or dtype if NULL; NULL if there is none. */
static const ceiling_row_t *best_ceiling(const ceiling_row_t *rows, int len, const char *device,
                                         const char *kind, const char *dtype) {
    const ceiling_row_t *best = NULL;
    for (int i = 0; i < len; i++) {
        const ceiling_row_t *c = &rows[i];
        if (strcmp(c->kind, kind) || (dtype && strcmp(c->dtype, dtype))) continue;
        if (device && strcmp(c->device, device)) continue;
        const double value = c->value * report_unit(c->unit);
        if (value > 0 && (!best || value > best->value * report_unit(best->unit))) best = c;
    }
    return best;
}

static int write_ceiling(FILE *out, const char *name, bool bandwidth, const ceiling_row_t *c) {
    char value[NUMBER_LEN], label[4 * TEXT_LEN];
    if (!c) return 0;
    const double rate = c->value * report_unit(c->unit);
    const bool small = !bandwidth && rate < 1e12;
    number_text(bandwidth || small ? rate * 1e-9 : rate * 1e-12, value);
    snprintf(label, sizeof label, "%s: %s %s (%s)", name, value,
             bandwidth ? "GB/s"
             : small   ? "GFLOP/s"
                       : "TFLOP/s",
             c->method);
    fprintf(out, "%d\t%.9g\t", bandwidth, rate);
    text_tsv(out, label);
    putc('\n', out);
    return 1;
}

/* The bandwidth that a roofline is of: DRAM and the cache above it, or the cache alone. */
typedef enum { LEVEL_DRAM, LEVEL_L2 } level_t;

static const char *const LEVEL_STEM[] = {"roofline", "roofline_l2"};

int figures_write_ceilings(FILE *out, const ceiling_row_t *rows, int len, const char *device,
                           const char *dtype, const char *other, bool dram) {
    const char *const dtypes[] = {other, dtype};
    int count = 0;
    const bool gpu = best_ceiling(rows, len, device, "tensor", NULL) != NULL;
    fputs("bandwidth\tper_second\tlabel\n", out);
    if (dram)
        count += write_ceiling(out, "DRAM", true, best_ceiling(rows, len, device, "dram", NULL));
    count += write_ceiling(out, gpu ? "L2" : "last-level cache", true,
                           best_ceiling(rows, len, device, "l2", NULL));
    for (int d = 0; d < 2; d++) {
        char tensor[TEXT_LEN + 16];
        if (!dtypes[d]) continue;
        snprintf(tensor, sizeof tensor, "tensor cores %s", dtypes[d]);
        count +=
            write_ceiling(out, tensor, false, best_ceiling(rows, len, device, "tensor", dtypes[d]));
    }
    count += write_ceiling(out, gpu ? "CUDA cores fp32" : "FMA units fp32", false,
                           best_ceiling(rows, len, device, "cuda_core", "fp32"));
    return count;
}

/* FLOP per byte at a level: as counted (NAN if it was not), and by the model. */
typedef struct {
    double counted, model;
} intensities_t;

static intensities_t intensities(const point_row_t *row, level_t level) {
    if (level == LEVEL_L2)
        return (intensities_t){row->l2_intensity, intensity(row->flops, row->bytes_model)};
    if (!strcmp(row->intensity_source, "counters"))
        return (intensities_t){row->intensity, row->intensity_model};
    return (intensities_t){NAN, row->intensity};
}

/* The roofline of the cache shows what was counted there; its model alone would say little. */
static bool on_roofline(const sheet_t *sheet, int i, level_t level) {
    const place_t *p = &sheet->r->places[i];
    const intensities_t at = intensities(&sheet->r->points[i], level);
    return p->section == sheet->section && p->current && p->ok && sheet->r->points[i].tflops > 0 &&
           (at.counted > 0 || (level == LEVEL_DRAM && at.model > 0));
}

/* What points multiply in that is not the section's dtype; NULL if nothing. */
static const char *other_dtype(const sheet_t *sheet, level_t level) {
    const report_t *r = sheet->r;
    for (int i = 0; i < r->points_len; i++) {
        const char *dtype = r->points[i].matrix_dtype;
        if (*dtype && strcmp(dtype, r->points[i].dtype) != 0 && on_roofline(sheet, i, level))
            return dtype;
    }
    return NULL;
}

static status_t write_ceilings(const sheet_t *sheet, level_t level, int *count) {
    whole_file_t w;
    char name[96];
    const section_t *section = &sheet->r->sections[sheet->section];
    snprintf(name, sizeof name, "%s_ceilings%s.tsv", LEVEL_STEM[level], sheet->suffix);
    const status_t st = whole_open(sheet->data_dir, name, &w);
    if (st != STATUS_OK) return st;
    *count = figures_write_ceilings(w.file, sheet->r->ceilings, sheet->r->ceilings_len,
                                    sheet->r->together ? NULL : section->device, section->dtype,
                                    other_dtype(sheet, level), level == LEVEL_DRAM);
    return whole_close(&w, STATUS_OK);
}

/* "bf16, cache rotate; intensity modelled (44 points)" */
static void subtitle_roofline(const sheet_t *sheet, level_t level, int step, figure_t *figure) {
    const report_t *r = sheet->r;
    const section_t *s = &r->sections[sheet->section];
    int modelled = 0, measured = 0;
    for (int i = 0; i < r->points_len; i++) {
        if (!on_roofline(sheet, i, level)) continue;
        if (intensities(&r->points[i], level).counted > 0)
            measured++;
        else
            modelled++;
    }
    char source[96];
    if (modelled && measured)
        snprintf(source, sizeof source, "measured by counters for %d points, modelled for %d",
                 measured, modelled);
    else
        snprintf(source, sizeof source, "%s (%d points)",
                 measured ? "measured by counters" : "modelled, not measured", modelled + measured);
    snprintf(figure->subtitle, sizeof figure->subtitle, "%s, cache %s; arithmetic intensity %s",
             s->dtype, *s->cache ? s->cache : "unknown", source);
    const size_t len = strlen(figure->subtitle);
    if (step > 1)
        snprintf(figure->subtitle + len, sizeof figure->subtitle - len, ", one in %d is drawn",
                 step);
}

static void write_roofline_row(FILE *out, const report_t *r, int i, level_t level) {
    const place_t *p = &r->places[i];
    const intensities_t at = intensities(&r->points[i], level);
    fprintf(out, "%d\t", p->series + 1);
    text_tsv(out, r->series[p->series].label);
    putc('\t', out);
    text_tsv(out, r->layers[p->layer].label);
    fprintf(out, "\t%.0f\t%.9g\t%.9g\t", r->points[i].tokens,
            at.counted > 0 ? at.counted : at.model, r->points[i].tflops * 1e12);
    number_tsv(out, r->points[i].roof_pct);
    putc('\t', out);
    number_tsv(out, at.model);
    putc('\t', out);
    report_tell(r, i, out);
    fprintf(out, "\t%d\n", at.counted > 0);
}

static status_t prepare_roofline(const sheet_t *sheet, level_t level) {
    const report_t *r = sheet->r;
    const bool l2 = level == LEVEL_L2;
    figure_t figure = {.template = "roofline", .what = l2 ? "l2" : "", .first = 1};
    whole_file_t w;
    int points = 0;
    for (int i = 0; i < r->points_len; i++) points += on_roofline(sheet, i, level);
    if (l2 && points == 0) return STATUS_OK;
    status_t st = write_ceilings(sheet, level, &figure.last);
    if (st != STATUS_OK) return st;
    st = sheet_open_data(sheet, LEVEL_STEM[level],
                         "series\tlabel\tlayer\ttokens\tflop_per_byte\tflop_per_s\troof_pct\t"
                         "flop_per_byte_model\trow\tcounted",
                         &w);
    if (st != STATUS_OK) return st;
    const int step = (points + MAX_POINTS - 1) / MAX_POINTS;
    for (int i = 0, seen = 0; i < r->points_len; i++)
        if (on_roofline(sheet, i, level) && seen++ % step == 0)
            write_roofline_row(w.file, r, i, level);
    st = whole_close(&w, STATUS_OK);
    if (st != STATUS_OK || points == 0) return st;
    sheet_title(sheet, l2 ? "Roofline of the L2" : "Roofline", &figure);
    subtitle_roofline(sheet, level, step, &figure);
    snprintf(figure.name, sizeof figure.name, "%s%s", LEVEL_STEM[level], sheet->suffix);
    snprintf(figure.caption, sizeof figure.caption,
             "%s: filled where bytes were counted, hollow "
             "where the model puts the point.",
             l2 ? "Roofline of the L2" : "Roofline");
    return sheet_add_figure(sheet, figure);
}

/* ---- public ---- */

status_t figures_prepare(const report_t *r, const report_t *all, int all_len, const char *dir,
                         figures_t *figures) {
    char data_dir[PATH_LEN];
    *figures = (figures_t){0};
    snprintf(data_dir, sizeof data_dir, "%s/data", dir);
    status_t st = make_directory(dir);
    if (st == STATUS_OK) st = make_directory(data_dir);
    sheet_t sheet = {.r = r, .data_dir = data_dir, .figures = figures};
    if (st == STATUS_OK) st = write_series(&sheet);
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++) {
        sheet.section = s;
        if (s > 0) snprintf(sheet.suffix, sizeof sheet.suffix, "_%d", s + 1);
        st = prepare_roofline(&sheet, LEVEL_DRAM);
        if (st == STATUS_OK) st = prepare_roofline(&sheet, LEVEL_L2);
        if (st == STATUS_OK) st = bars_prepare(&sheet);
        if (st == STATUS_OK) st = panels_prepare(&sheet);
        if (st == STATUS_OK) st = heatmap_prepare(&sheet);
        if (st == STATUS_OK) st = excess_prepare(&sheet);
    }
    sheet.suffix[0] = '\0';
    sheet.section = FIGURE_MODELS;
    if (st == STATUS_OK) st = passes_prepare(&sheet);
    sheet.section = FIGURE_BESIDE;
    if (st == STATUS_OK && all_len > 1) st = beside_prepare(&sheet, all, all_len);
    if (st != STATUS_OK) figures_free(figures);
    return st;
}

/* ---- drawing ---- */

static const char *const EXTENSIONS[] = {"svg", "png", "pdf"};
enum { EXTENSIONS_LEN = sizeof EXTENSIONS / sizeof *EXTENSIONS, MAX_DRAWING = 16 };

/* A picture that a gnuplot is at. */
typedef struct {
    gnuplot_t gnuplot;
    char extension[8];
    char output[PATH_LEN], temporary[PATH_LEN + 8];
} picture_t;

static status_t begin(const figure_t *f, const char *dir, const char *extension, picture_t *d) {
    char script[PATH_LEN], data[PATH_LEN], first[16], last[16];
    snprintf(script, sizeof script, "%s/plots/%s.gp", blroof_root(), f->template);
    snprintf(d->output, sizeof d->output, "%s/%s.%s", dir, f->name, extension);
    snprintf(d->temporary, sizeof d->temporary, "%s.tmp", d->output);
    snprintf(data, sizeof data, "%s/data/", dir);
    snprintf(first, sizeof first, "%d", f->first);
    snprintf(last, sizeof last, "%d", f->last);
    snprintf(d->extension, sizeof d->extension, "%s", extension);
    const char *const arguments[] = {extension, d->temporary, f->title, f->subtitle, data,
                                     f->suffix, first,        last,     f->what,     NULL};
    return gnuplot_start(script, arguments, &d->gnuplot);
}

static status_t end(const picture_t *d) {
    status_t st = gnuplot_wait(&d->gnuplot);
    if (st == STATUS_OK && !strcmp(d->extension, "svg")) st = svg_tidy(d->temporary);
    if (st == STATUS_OK && rename(d->temporary, d->output) != 0)
        st = fail(STATUS_IO, "cannot rename %s: %s", d->temporary, strerror(errno));
    if (st != STATUS_OK) unlink(d->temporary);
    return st;
}

/* So many cores may be used. */
static int count_cores(void) {
    cpu_set_t set;
    const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return cores < MAX_DRAWING ? cores : MAX_DRAWING;
}

/* As many at once as there are cores. The first failure ends it, and is what is told. */
status_t figures_draw(const figures_t *figures, const char *dir) {
    picture_t *pictures = calloc(MAX_DRAWING, sizeof *pictures);
    const int count = figures->len * EXTENSIONS_LEN, cores = count_cores();
    char why[512] = "";
    status_t st = STATUS_OK;
    if (!pictures) return fail(STATUS_OOM, "out of host memory for the report");
    for (int begun = 0, ended = 0; ended < begun || (begun < count && st == STATUS_OK);) {
        const bool start = begun < count && st == STATUS_OK && begun - ended < cores;
        const status_t now =
            start ? begin(&figures->items[begun / EXTENSIONS_LEN], dir,
                          EXTENSIONS[begun % EXTENSIONS_LEN], &pictures[begun % MAX_DRAWING])
                  : end(&pictures[ended % MAX_DRAWING]);
        begun += start && now == STATUS_OK;
        ended += !start;
        if (now == STATUS_OK || st != STATUS_OK) continue;
        st = now;
        snprintf(why, sizeof why, "%s", last_error());
    }
    free(pictures);
    return st == STATUS_OK ? st : fail(st, "%s", why);
}

static void *draw_beside(void *ctx) {
    drawing_t *d = ctx;
    d->status = figures_draw(d->figures, d->dir);
    snprintf(d->why, sizeof d->why, "%s", last_error());
    return NULL;
}

void drawing_begin(const figures_t *figures, const char *dir, drawing_t *d) {
    *d = (drawing_t){.figures = figures, .dir = dir};
    d->started = pthread_create(&d->thread, NULL, draw_beside, d) == 0;
}

status_t drawing_end(drawing_t *d) {
    if (!d->started) return figures_draw(d->figures, d->dir);
    pthread_join(d->thread, NULL);
    return d->status == STATUS_OK ? d->status : fail(d->status, "%s", d->why);
}

void figures_free(figures_t *figures) {
    free(figures->items);
    *figures = (figures_t){0};
}
