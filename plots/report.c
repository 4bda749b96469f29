#include "plots/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "plots/model_passes.h"
#include "plots/report_counters.h"
#include "plots/report_index.h"
#include "plots/report_paper.h"
#include "plots/report_spread.h"
#include "plots/report_tables.h"
#include "plots/report_text.h"

enum { MAX_RUNS = 26 };

static status_t write_tables(const report_t *r, const char *dir, const report_options_t *options) {
    const bool paper = options->paper || options->latex;
    if (r->points_len == 0) return STATUS_OK;
    status_t st = write_speedup_md(r, dir);
    if (st == STATUS_OK) st = write_table2_md(r, dir);
    if (st == STATUS_OK) st = write_spread_csv(r, dir);
    if (st == STATUS_OK) st = tables_write(r, dir, paper, options->latex);
    if (st == STATUS_OK && paper) st = paper_write(r, dir);
    return st;
}

static status_t write_report(const report_t *r, const report_t *all, int all_len,
                             const report_options_t *options) {
    static const figures_t none = {0};
    figures_t figures = {0};
    char dir[1040], notice[256] = "";
    index_t index = {.figures = &none,
                     .notice = "The pictures have not been drawn yet.",
                     .paper = (options->paper || options->latex) && r->points_len > 0,
                     .others = all,
                     .others_len = all_len};
    status_t st = STATUS_OK;
    snprintf(dir, sizeof dir, "%s/report", r->dir);
    drawing_t drawing;
    TRY(figures_prepare(r, all, all_len, dir, &figures));
    drawing_begin(&figures, dir, &drawing);
    st = write_tables(r, dir, options);
    /* Written first without pictures: whatever happens to gnuplot, the tables are there. */
    if (st == STATUS_OK) st = write_index_md(r, dir, &index);
    if (st != STATUS_OK) snprintf(notice, sizeof notice, "%s", last_error());
    const status_t drawn = drawing_end(&drawing);
    if (st != STATUS_OK) {
        st = fail(st, "%s", notice);
        goto cleanup;
    }
    if (drawn == STATUS_OK) {
        index.figures = &figures;
        index.notice = "";
    } else {
        snprintf(notice, sizeof notice, "No pictures: %s", last_error());
        index.notice = notice;
    }
    TRY(write_index_md(r, dir, &index));
    TRY(write_index_html(r, dir, &index));
    if (drawn != STATUS_OK) st = fail(drawn, "%s (the tables are in %s)", notice, dir);
cleanup:
    figures_free(&figures);
    return st;
}

static status_t print_report(const report_t *r) {
    passes_t passes;
    status_t st = passes_open(r, &passes);
    if (st == STATUS_OK) passes_print(&passes, stdout);
    passes_close(&passes);
    return st == STATUS_OK && r->points_len > 0 ? report_print(r, stdout) : st;
}

/* Pictures that cannot be drawn do not keep the other runs from theirs: *drawn says so at the end.
 */
static status_t make_one(const report_t *r, const report_t *all, int all_len,
                         const report_options_t *options, status_t *drawn) {
    status_t st = options->console ? print_report(r) : STATUS_OK;
    if (st == STATUS_OK) st = write_report(r, all, all_len, options);
    if (st == STATUS_ENVIRONMENT) *drawn = st, st = STATUS_OK;
    if (st == STATUS_OK && options->console) printf("report: %s/report/index.html\n", r->dir);
    return st;
}

status_t report_make(const char *const *run_dirs, int count, const report_options_t *options) {
    if (count > MAX_RUNS)
        return fail(STATUS_USAGE, "%d run directories are more than %d in one call", count,
                    MAX_RUNS);
    /* Runs of models alone fill it from the end: only those with points stand side by side. */
    report_t *all = calloc((size_t)count + 1, sizeof *all);
    int first_alone = count, points = 0;
    status_t drawn = STATUS_OK, st = STATUS_OK;
    if (!all) return fail(STATUS_OOM, "out of host memory for the report");
    for (int i = 0; i < count && st == STATUS_OK; i++) {
        report_t loaded;
        st = report_load(run_dirs[i], &loaded);
        if (st != STATUS_OK) break;
        if (loaded.points_len > 0 && options->peer) st = report_add_peer(&loaded, options->peer);
        all[loaded.points_len > 0 ? points++ : --first_alone] = loaded;
    }
    for (int i = 0; i < points && st == STATUS_OK; i++)
        st = make_one(&all[i], all, points, options, &drawn);
    for (int i = count - 1; i >= first_alone && st == STATUS_OK; i--)
        st = make_one(&all[i], NULL, 0, options, &drawn);
    for (int i = 0; i < count; i++) report_free(&all[i]);
    free(all);
    return st == STATUS_OK ? drawn : st;
}

status_t report_write(const char *run_dir) {
    return report_make(&run_dir, 1, &(report_options_t){0});
}
