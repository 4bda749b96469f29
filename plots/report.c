#include "plots/report.h"

#include <stdio.h>

#include "plots/report_counters.h"
#include "plots/report_figures.h"
#include "plots/report_models.h"
#include "plots/report_tables.h"

static status_t write_points(const char *run_dir) {
    report_t report;
    figures_t figures = {0};
    char dir[1040], notice[256] = "";
    status_t st = report_load(run_dir, &report);
    if (st != STATUS_OK) return st;
    snprintf(dir, sizeof dir, "%s/report", run_dir);
    TRY(figures_prepare(&report, dir, &figures));
    TRY(write_speedup_md(&report, dir));
    TRY(write_table2_md(&report, dir));
    /* Written first without pictures: whatever happens to gnuplot, the tables are there. */
    TRY(write_index_md(&report, dir, &(figures_t){0}, "The pictures have not been drawn yet."));
    const status_t drawn = figures_draw(&figures, dir);
    if (drawn == STATUS_OK) {
        TRY(write_index_md(&report, dir, &figures, ""));
    } else {
        snprintf(notice, sizeof notice, "No pictures: %s", last_error());
        TRY(write_index_md(&report, dir, &(figures_t){0}, notice));
        st = fail(drawn, "%s (the tables are in %s)", last_error(), dir);
    }
cleanup:
    figures_free(&figures);
    report_free(&report);
    return st;
}

/* models.md, or index.md where the run holds nothing else. */
static status_t write_models(const models_t *models, const char *run_dir, bool alone) {
    figures_t figures = {0};
    char dir[1040], notice[256] = "";
    const char *name = alone ? "index.md" : "models.md";
    snprintf(dir, sizeof dir, "%s/report", run_dir);
    status_t st = models_prepare(models, dir, &figures);
    if (st == STATUS_OK)
        st = write_models_md(models, dir, name, &(figures_t){0},
                             "The pictures have not been drawn yet.");
    if (st != STATUS_OK) goto cleanup;
    const status_t drawn = figures_draw(&figures, dir);
    if (drawn != STATUS_OK) snprintf(notice, sizeof notice, "No pictures: %s", last_error());
    TRY(write_models_md(models, dir, name, drawn == STATUS_OK ? &figures : &(figures_t){0},
                        notice));
    if (drawn != STATUS_OK) st = fail(drawn, "%s (the tables are in %s)", notice, dir);
cleanup:
    figures_free(&figures);
    return st;
}

status_t report_write(const char *run_dir) {
    models_t models;
    status_t st = models_read(run_dir, &models);
    if (st != STATUS_OK) return st;
    const bool alone = models_alone(&models, run_dir);
    if (models.passes_len > 0) st = write_models(&models, run_dir, alone);
    if (st == STATUS_OK && !alone) st = write_points(run_dir);
    models_free(&models);
    return st;
}
