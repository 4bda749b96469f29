/* The Markdown tables of a report. */
#ifndef BLROOF_REPORT_TABLES_H
#define BLROOF_REPORT_TABLES_H

#include "plots/report_figures.h"

/* speedup.md: a row for each layer and token count, a column for each series. */
status_t write_speedup_md(const report_t *report, const char *dir);
/* index.md; `notice` says what is missing from the pictures, "" if nothing is. */
status_t write_index_md(const report_t *report, const char *dir, const figures_t *figures,
                        const char *notice);

#endif
