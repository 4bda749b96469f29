#include "plots/report.h"

#include <stdio.h>

#include "plots/report_counters.h"
#include "plots/report_figures.h"
#include "plots/report_paper.h"
#include "plots/report_tables.h"
#include "plots/report_text.h"

status_t report_write(const char *run_dir) {
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

status_t report_paper(const char *run_dir, bool latex) {
    report_t report;
    char dir[1040];
    status_t st = report_load(run_dir, &report);
    if (st != STATUS_OK) return st;
    snprintf(dir, sizeof dir, "%s/report", run_dir);
    st = make_directory(dir);
    if (st == STATUS_OK) st = paper_write(&report, dir, latex);
    report_free(&report);
    return st;
}
