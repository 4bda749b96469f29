/* A sweep: every chosen variant of every workload entry is checked, timed, placed on the roofline
 * and filed. */
#ifndef BLROOF_SWEEP_H
#define BLROOF_SWEEP_H

#include "harness/counting.h"
#include "harness/pool.h"
#include "harness/run.h"
#include "harness/shard.h"
#include "harness/workload.h"
#include "roofline/roofline.h"

typedef struct {
    const char *structures, *variants,
        *dtypes; /* comma lists; NULL is all (dtypes: the device's own) */
    cache_t cache;
    counting_t counting;
    double limit_s; /* a point that takes longer is given up; 0: by its size */
    shard_t shard;
} sweep_options_t;

typedef struct {
    int ok, unsupported, mismatch, oom, error, skipped, left;
    int disturbed;  /* points measured while others or heat slowed the device */
    int remeasured; /* points sampled anew, since something throttled the device */
    int tuned;      /* shapes whose plan was chosen by timing */
    double tuning_s;
    bool ceilings_disturbed; /* the same for the ceilings */
} sweep_counts_t;

/* STATUS_USAGE if a name in the option lists is not known for this device. */
status_t sweep_check_options(const sweep_options_t *options, device_kind_t kind);

/*
 * Measures what run does not hold yet, ceilings first, and counts it when all is timed. Points of
 * one shape (layer, tokens, dtype) are measured on one device, or all on each (pool->pin_point). A
 * point that ends its worker is a row with status error. STATUS_DEVICE or STATUS_ENVIRONMENT when a
 * worker cannot open its device any more: the others go on first, and its points are left.
 * STATUS_IO when a row cannot be written, STATUS_INTERRUPTED on Ctrl-C, STATUS_ENVIRONMENT once
 * required counters fail: the rows so far are on disk in each case. `counters` are from
 * counting_probe().
 */
status_t sweep_run(run_t *run, pool_t *pool, const counters_t *counters,
                   const workload_t *workloads, int workloads_len, const sweep_options_t *options,
                   sweep_counts_t *counts);

#endif
