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
                     .paper = options->paper || options->latex,
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

/* models.md, or index.md where the run holds nothing else. */
static status_t write_passes(const passes_t *passes, const char *run_dir, bool alone) {
    static const figures_t none = {0};
    figures_t figures = {0};
    char dir[1040], notice[256] = "";
    const char *name = alone ? "index.md" : "models.md";
    status_t st = STATUS_OK;
    snprintf(dir, sizeof dir, "%s/report", run_dir);
    TRY(passes_prepare(passes, dir, &figures));
    TRY(write_passes_md(passes, dir, name, &none, "The pictures have not been drawn yet."));
    const status_t drawn = figures_draw(&figures, dir);
    if (drawn != STATUS_OK) snprintf(notice, sizeof notice, "No pictures: %s", last_error());
    TRY(write_passes_md(passes, dir, name, drawn == STATUS_OK ? &figures : &none, notice));
    if (drawn != STATUS_OK) st = fail(drawn, "%s (the tables are in %s)", notice, dir);
cleanup:
    figures_free(&figures);
    return st;
}

/*
 * The models of each run; runs without points are left out of `rest`. Pictures that cannot be drawn
 * do not keep the rest from being written: *drawn says so at the end.
 */
static status_t make_models(const char *const *run_dirs, int count, const report_options_t *options,
                            const char **rest, int *rest_len, status_t *drawn) {
    status_t st = STATUS_OK;
    *drawn = STATUS_OK;
    for (int i = 0; i < count && st == STATUS_OK; i++) {
        passes_t passes;
        st = passes_read(run_dirs[i], &passes);
        if (st != STATUS_OK) break;
        const bool alone = passes_alone(&passes, run_dirs[i]);
        if (options->console) passes_print(&passes, stdout);
        if (passes.passes_len > 0) st = write_passes(&passes, run_dirs[i], alone);
        if (st == STATUS_ENVIRONMENT) *drawn = st, st = STATUS_OK;
        if (st == STATUS_OK && alone && options->console)
            printf("report: %s/report/index.md\n", run_dirs[i]);
        if (!alone) rest[(*rest_len)++] = run_dirs[i];
        passes_free(&passes);
    }
    return st;
}

status_t report_make(const char *const *run_dirs, int count, const report_options_t *options) {
    const char *dirs[MAX_RUNS];
    int loaded = 0, dirs_len = 0;
    if (count > MAX_RUNS)
        return fail(STATUS_USAGE, "%d run directories are more than %d in one call", count,
                    MAX_RUNS);
    status_t drawn, st = make_models(run_dirs, count, options, dirs, &dirs_len, &drawn);
    if (st != STATUS_OK || dirs_len == 0) return st == STATUS_OK ? drawn : st;
    report_t *all = calloc((size_t)dirs_len, sizeof *all);
    if (!all) return fail(STATUS_OOM, "out of host memory for the report");
    for (int i = 0; i < dirs_len && st == STATUS_OK; i++) {
        st = report_load(dirs[i], &all[i]);
        if (st == STATUS_OK) loaded++;
        if (st == STATUS_OK && options->peer) st = report_add_peer(&all[i], options->peer);
    }
    for (int i = 0; i < dirs_len && st == STATUS_OK; i++) {
        if (options->console) st = report_print(&all[i], stdout);
        if (st == STATUS_OK) st = write_report(&all[i], all, dirs_len, options);
        if (st == STATUS_OK && options->console) printf("report: %s/report/index.html\n", dirs[i]);
    }
    for (int i = 0; i < loaded; i++) report_free(&all[i]);
    free(all);
    return st == STATUS_OK ? drawn : st;
}

status_t report_write(const char *run_dir) {
    return report_make(&run_dir, 1, &(report_options_t){0});
}
