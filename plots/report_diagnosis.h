/* Why points are slow, and where layers turn: parts of a report in words. */
#ifndef BLROOF_REPORT_DIAGNOSIS_H
#define BLROOF_REPORT_DIAGNOSIS_H

#include "plots/report_model.h"

/* The points below 50 % of their roof that take over 20 us, by the time they lose: what bounds them
 * and what would help. At most 15. */
void write_slow_points(FILE *out, const report_t *report, int section);

/*
 * Where in tokens each layer turns from memory- to compute-bound, and where each variant beats
 * dense, interpolated between the token counts of the run. STATUS_OOM.
 */
status_t write_crossings(FILE *out, const report_t *report, int section);

#endif
