/* End-to-end latencies of a run, and what they are made of. */
#ifndef BLROOF_REPORT_MODELS_H
#define BLROOF_REPORT_MODELS_H

#include "plots/report_sheet.h"

/* In Markdown; says how to measure them where there are none. */
void write_models(FILE *out, const report_t *report);

/* Lists the picture, if any latency was measured; the sheet's section is FIGURE_MODELS. */
status_t models_prepare(const sheet_t *sheet);

#endif
