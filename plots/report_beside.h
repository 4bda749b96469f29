/* Several runs side by side. */
#ifndef BLROOF_REPORT_BESIDE_H
#define BLROOF_REPORT_BESIDE_H

#include "plots/report_sheet.h"

/* In Markdown: which runs, what differs between their machines, and ceilings. `all` holds the
 * report itself too. */
void write_beside(FILE *out, const report_t *report, const report_t *all, int all_len);
/* The points that they share. */
void write_points_beside(FILE *out, const report_t *report, const report_t *all, int all_len);

/* Lists the picture of shared points, other runs against this one; the sheet's section is
 * FIGURE_BESIDE. */
status_t beside_prepare(const sheet_t *sheet, const report_t *all, int all_len);

#endif
