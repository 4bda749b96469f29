/* Tables and pictures of a recorded run directory. Nothing here measures. */
#ifndef BLROOF_REPORT_H
#define BLROOF_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/status.h"

typedef struct {
    const char *peer;  /* NULL, or a file of another tool's timings for the same tables and plots */
    bool console;      /* prints the table of points to stdout first */
    bool paper, latex; /* the paper's tables too; as LaTeX too */
} report_options_t;

/*
 * report_write() with more, for each run; several are also set side by side. STATUS_USAGE for more
 * than 26 of them.
 */
status_t report_make(const char *const *run_dirs, int count, const report_options_t *options);

/*
 * Reads run_dir/{run,points,ceilings,models,model_layers}.csv and writes run_dir/report/: index.md,
 * index.html, speedup.md and table2.md (of points), the pictures as .svg, .png and .pdf, and the
 * numbers behind them as TSV files in data/. Files appear whole or not at all; older ones of
 * the same name are replaced. Without gnuplot the tables are still written and the answer is
 * STATUS_ENVIRONMENT. STATUS_IO or STATUS_USAGE when points.csv is missing, empty or malformed; a
 * missing run.csv or ceilings.csv only leaves its part out.
 */
status_t report_write(const char *run_dir);

/*
 * The table of points, at most 100 columns wide, and how
 * many points have each status. A section where no point reaches 1 TFLOP/s counts in GFLOP/s.
 * Colour only when out is a terminal and NO_COLOR is unset or empty. Errors as above.
 */
status_t report_console(const char *run_dir, FILE *out);

/* The table of models.csv: a line for each pass; nothing where there is none. */
status_t report_models_console(const char *run_dir, FILE *out);

#endif
