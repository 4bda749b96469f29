/* Time and speedup of each layer against tokens, and where its variants are as fast as dense. */
#ifndef BLROOF_REPORT_PANELS_H
#define BLROOF_REPORT_PANELS_H

#include "plots/report_sheet.h"

/* Lists the pictures where a run holds several token counts of a layer. */
status_t panels_prepare(const sheet_t *sheet);

#endif
