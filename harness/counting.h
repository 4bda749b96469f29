/* The counter pass: after all timing, the launches that were timed again, counted. */
#ifndef BLROOF_COUNTING_H
#define BLROOF_COUNTING_H

#include "harness/case.h"
#include "harness/pool.h"
#include "harness/run.h"
#include "harness/timing.h"
#include "profiles/counters.h"
#include "roofline/roofline.h"

typedef enum { COUNTING_AUTO, COUNTING_OFF, COUNTING_REQUIRE } counting_t;
/* "auto", "off" or "require"; STATUS_USAGE for another name. */
status_t counting_parse(const char *name, counting_t *out);

/*
 * Says in out->source, status and reason how the counters of a device would open, unless they are
 * off. A child process tries it, so that the library that counts stays out of a process that is
 * still to measure times; call it before the first device_open(). With COUNTING_REQUIRE it is
 * STATUS_ENVIRONMENT if they would not open.
 */
status_t counting_probe(counting_t counting, const char *device_name, counters_t *out);

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

/* Dtypes that matrix products multiply in: those of tensors, and fp8. */
enum { MATRIX_DTYPES = DTYPE_COUNT + 1 };
const char *matrix_dtype_name(int i);

typedef struct {
    roof_ceilings_t of[MATRIX_DTYPES];
} device_ceilings_t;

/* Those of a row's matrix_dtype. */
const roof_ceilings_t *ceilings_of(const device_ceilings_t *ceilings, const point_row_t *row);

/*
 * Counts every row of the run's points.csv that is ok and not counted yet, on the device that timed
 * it, and places it on the roofline again; ceilings are of each worker. Nothing is to be timed by
 * these workers afterwards. The file is replaced as a whole about every minute and at the end. A
 * row that has no room to be counted, or that ends the worker, says so. Rows that are left are
 * copied as they are on Ctrl-C (STATUS_INTERRUPTED), and once no worker starts (STATUS_DEVICE, ...)
 * or required counters fail (STATUS_ENVIRONMENT). limit_s: the longest a row may take; 0: by its
 * size.
 */
status_t counting_rows(run_t *run, pool_t *pool, counting_t counting,
                       const device_ceilings_t *ceilings, double limit_s);

#endif
