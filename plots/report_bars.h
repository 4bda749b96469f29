/* A number of each point, a row for each structure of a layer: speedup over dense, excess traffic.
 */
#ifndef BLROOF_REPORT_BARS_H
#define BLROOF_REPORT_BARS_H

#include "plots/report_sheet.h"

/* Lists the pictures of the layers with one token count. */
status_t bars_prepare(const sheet_t *sheet);
/* Lists the pictures of what was counted to be read beyond the compulsory, each layer at its
 * largest token count. */
status_t excess_prepare(const sheet_t *sheet);

#endif
