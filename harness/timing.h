/* Timing one piece of work: warm-up, repetition, and when to stop. */
#ifndef BLROOF_TIMING_H
#define BLROOF_TIMING_H

#include "harness/device.h"
#include "harness/stats.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Where the data is when a launch starts: rotated out of the cache, flushed out of it, or left in
 * it. */
typedef enum { CACHE_ROTATE, CACHE_COLD, CACHE_HOT } cache_t;
const char *cache_name(cache_t cache);
/* STATUS_USAGE for another name. */
status_t cache_parse(const char *name, cache_t *out);

enum { TIMING_MAX_SAMPLES = 1000 };

typedef struct {
    double *samples; /* microseconds a launch, in the order measured; timing_free() */
    int samples_len;
    summary_t summary;
    const char *stop_reason; /* "ci", "budget", "samples" or "interrupted" */
    device_state_t state;    /* read in the middle of the samples, right after a replay; what
                                throttled it then or at their end */
    int remeasured;          /* times that the samples were taken anew, since something did */
    double stream_us;        /* a launch when enqueued one by one, gaps included */
    int kernels;             /* started by one launch; 0 if unknown */
} timing_t;

/*
 * Warms up for half of `budget_s` seconds (0.1 s at most), then samples for a quarter to a half of
 * it: until the 95 % interval of the median is within 0.5 % of it and 20 samples are there, or time
 * is up (3 samples are taken in any case). Where something throttled the device meanwhile, samples
 * are taken again in what is left of the budget; the first ones that nothing disturbed stand, or
 * else the first. A sample is the mean of enough launches for a millisecond; `sets` is how many
 * copies work() rotates over.
 */
status_t timing_run(device_t *device, work_t work, void *arg, int sets, cache_t cache,
                    double budget_s, timing_t *out);
void timing_free(timing_t *timing);

double now_s(void); /* monotonic clock */

/* Ctrl-C and SIGTERM set this; whoever loops looks at it. */
void interrupt_install(void);
int interrupted(void);

#ifdef __cplusplus
}
#endif
#endif
