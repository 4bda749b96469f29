/* What the counters saw against what the model says: tables of a report. */
#ifndef BLROOF_REPORT_COUNTERS_H
#define BLROOF_REPORT_COUNTERS_H

#include "plots/report_model.h"

/* table2.md: modelled bytes and FLOPs of each point, as in the paper's Table 2, against the
 * counters; "not counted" where there are none. */
status_t write_table2_md(const report_t *report, const char *dir);

/* Variants of a section ranked by excess traffic, the greatest first. */
void write_traffic(FILE *out, const report_t *report, int section);

#endif
