/* The tables of speed of a report, in Markdown. */
#ifndef BLROOF_REPORT_TABLES_H
#define BLROOF_REPORT_TABLES_H

#include "plots/report_model.h"

/* speedup.md: a row for each layer and token count, a column for each series. */
status_t write_speedup_md(const report_t *report, const char *dir);

/* Its table of one section, at most `limit` rows of it, and what is to be known to read it.
 * STATUS_OOM. */
extern const char *const SPEEDUP_LEGEND;
status_t write_speedups(FILE *out, const report_t *report, int section, int limit);
/* One line a series: how many points, how much faster than dense. */
void write_summary(FILE *out, const report_t *report, int section);
/* "## NVIDIA H200 (cuda:0), bf16, cache rotate" */
void write_section_title(FILE *out, const report_t *report, int section);

#endif
