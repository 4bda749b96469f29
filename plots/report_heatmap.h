/* Speedup over dense by blocks and rank, a panel for each structure, size and token count. */
#ifndef BLROOF_REPORT_HEATMAP_H
#define BLROOF_REPORT_HEATMAP_H

#include "plots/report_sheet.h"

/* Lists the picture where a run holds several blocks and several ranks of a size. */
status_t heatmap_prepare(const sheet_t *sheet);

#endif
