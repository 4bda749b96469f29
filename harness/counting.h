/* The counter pass of a point: the same launches as were timed, counted, and what that means. */
#ifndef BLROOF_COUNTING_H
#define BLROOF_COUNTING_H

#include "harness/case.h"
#include "harness/timing.h"
#include "profiles/counters.h"
#include "results/schema.h"

typedef enum { COUNTING_OFF, COUNTING_AUTO, COUNTING_REQUIRE } counting_t;
/* "auto", "off" or "require"; STATUS_USAGE for another name. */
status_t counting_parse(const char *name, counting_t *out);

/*
 * Opens the counters of the device, unless they are off. What stands in the way is in out->status;
 * with COUNTING_REQUIRE it is STATUS_ENVIRONMENT and nothing stays open.
 */
status_t counting_open(counting_t counting, device_t *device, counters_t *out);

/*
 * Counts the launches of a timed binding: each of its copies once, so that no pass finds in the
 * cache what the pass before it left there, as in timing. Hot: one copy that has just been used.
 * Cold launches cannot be counted, for the flush between them would be too; all of *out is NAN
 * then.
 */
status_t counting_measure(counters_t *counters, binding_t *binding, cache_t cache, counts_t *out);

/*
 * Fills the counted columns of a row, and counter_source, counter_status and (where the counters
 * did not count) reason. Counts are rounded; what is not known stays NAN.
 */
void counting_fill(const counters_t *counters, cache_t cache, const counts_t *counts,
                   point_row_t *row);

#endif
