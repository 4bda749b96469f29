/*
 * Hardware counters: what a launch really moved and computed. A source counts in passes of its own,
 * after timing; a time is never taken from one.
 */
#ifndef BLROOF_COUNTERS_H
#define BLROOF_COUNTERS_H

#include "harness/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { COUNTERS_OK, COUNTERS_UNSUPPORTED, COUNTERS_DENIED, COUNTERS_OFF } counter_status_t;
const char *counter_status_name(counter_status_t status); /* ok | unsupported | denied | off */

/* Of one launch; NAN where the chip has no such counter. tensor_flops counts a multiply-add as 2,
 * and so does cuda_core_flops (fp32 and packed-half FMA, add, multiply). */
typedef struct {
    double dram_read_bytes, dram_write_bytes, l2_bytes, l1_bytes, tensor_flops, cuda_core_flops;
} counts_t;

/* A source on one device, which must stay open. status says whether it can count, reason why not
 * (with the remedy). */
typedef struct {
    const char *source; /* "cupti", "none" */
    counter_status_t status;
    char reason[256];
    device_t *device;
    void *session;
} counters_t;

/* Never fails: what stands in the way is in status and reason. */
void counters_open(device_t *device, counters_t *out);
void counters_close(counters_t *counters);

/*
 * Counts launches 0 to launches - 1 of `work` as one range, every pass over the same launches, and
 * fills *out with the mean of a launch. A failure that concerns counting alone sets
 * counters->status and reason and returns STATUS_OK with all NAN; STATUS_DEVICE if the device died.
 */
status_t counters_measure(counters_t *counters, work_t work, void *arg, int launches,
                          counts_t *out);

/*
 * device_ops_t.profile of a device whose kernels a tracing library has to tell apart. Nothing is to
 * be timed in this process afterwards. STATUS_ENVIRONMENT, with the remedy, where it cannot.
 */
status_t counters_profile(device_t *device, work_t work, void *arg, int steps, int passes,
                          double *us);

#ifdef __cplusplus
}
#endif
#endif
