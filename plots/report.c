#include "plots/report.h"

#include <stdio.h>

#include "plots/report_counters.h"
#include "plots/report_figures.h"
#include "plots/report_paper.h"
#include "plots/report_tables.h"
#include "plots/report_text.h"

static status_t write_tables(const report_t *r, const char *dir, const report_options_t *options) {
    status_t st = write_speedup_md(r, dir);
    if (st == STATUS_OK) st = write_table2_md(r, dir);
    if (st == STATUS_OK && (options->paper || options->latex))
        st = paper_write(r, dir, options->latex);
    return st;
}

static status_t write_report(const report_t *r, const report_options_t *options) {
    figures_t figures = {0};
    char dir[1040], notice[256] = "";
    status_t st = STATUS_OK;
    snprintf(dir, sizeof dir, "%s/report", r->dir);
    TRY(figures_prepare(r, dir, &figures));
    TRY(write_tables(r, dir, options));
    /* Written first without pictures: whatever happens to gnuplot, the tables are there. */
    TRY(write_index_md(r, dir, &(figures_t){0}, "The pictures have not been drawn yet."));
    const status_t drawn = figures_draw(&figures, dir);
    if (drawn == STATUS_OK) {
        TRY(write_index_md(r, dir, &figures, ""));
    } else {
        snprintf(notice, sizeof notice, "No pictures: %s", last_error());
        TRY(write_index_md(r, dir, &(figures_t){0}, notice));
        st = fail(drawn, "%s (the tables are in %s)", last_error(), dir);
    }
cleanup:
    figures_free(&figures);
    return st;
}

status_t report_make(const char *run_dir, const report_options_t *options) {
    report_t report;
    status_t st = report_load(run_dir, &report);
    if (st != STATUS_OK) return st;
    if (options->peer) st = report_add_peer(&report, options->peer);
    if (st == STATUS_OK && options->console) st = report_print(&report, stdout);
    if (st == STATUS_OK) st = write_report(&report, options);
    report_free(&report);
    return st;
}

status_t report_write(const char *run_dir) {
    return report_make(run_dir, &(report_options_t){0});
}
