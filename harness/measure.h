/* What a worker process does on a device: rows that name a point come in, and go out measured. */
#ifndef BLROOF_MEASURE_H
#define BLROOF_MEASURE_H

#include "harness/case.h"
#include "harness/timing.h"
#include "harness/tuning.h"
#include "profiles/counters.h"
#include "results/schema.h"

typedef struct {
    device_t *device;
    double budget_s; /* of timing a point */
    tuning_t tuning;
    counters_t counters;
    bool counting; /* counters are open: nothing is to be timed any more */
    case_t c;      /* of the row before; structure NULL if none */
} measure_t;

status_t measure_open(const char *device_spec, double budget_s, measure_t *out);
void measure_close(measure_t *m);

/* Says in counter_source, counter_status and reason of a row how the counters open here. */
void measure_probe(measure_t *m, point_row_t *row);

/*
 * Checks and times the point that the row names, and fills in what came out: status, plan, costs,
 * errors, times. STATUS_UNSUPPORTED, STATUS_OOM and a mismatch (STATUS_OK, and the row says so) are
 * what a point may come to; the row is STATUS_DEVICE's too, but the device is dead then.
 */
status_t measure_time(measure_t *m, point_row_t *row, timing_t *timing);

/* Counts the launches of a row that was timed, and fills in the counted columns. */
status_t measure_count(measure_t *m, point_row_t *row);

#endif
