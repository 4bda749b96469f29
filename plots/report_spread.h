/* How much the devices of a --pin-point sweep differ: each point was measured on every one. */
#ifndef BLROOF_REPORT_SPREAD_H
#define BLROOF_REPORT_SPREAD_H

#include "plots/report_model.h"

/*
 * A section of the page (at most `limit` points, the largest spread first), or the whole table as
 * spread.csv; nothing where no point was measured on two devices. STATUS_OOM, STATUS_IO.
 */
status_t write_spread(FILE *out, const report_t *report, int limit);
status_t write_spread_csv(const report_t *report, const char *dir);

#endif
