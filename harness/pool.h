/*
 * The workers of a sweep: one for a device, or ("cuda:all") one for each GPU of this machine, which
 * then are one device to run_open() and run_ceilings(). Each has its own process and context.
 */
#ifndef BLROOF_POOL_H
#define BLROOF_POOL_H

#include "harness/worker.h"

enum { POOL_MAX = 64, SPEC_LEN = 16 };

typedef struct {
    device_t together; /* all of them: id "cuda:all", facts side by side */
    device_t *device;  /* that, or the only one */
    bool pin_point;    /* every point is for every device: a fact of the run */
    worker_t *workers;
    int len;
    char specs[POOL_MAX][SPEC_LEN]; /* of the workers, where there are several */
} pool_t;

/* True for "KIND:all". */
bool pool_asked(const char *spec);
/* The first device that a spec means: "KIND:0" of "KIND:all", else the spec itself. */
const char *pool_first(const char *spec, char buffer[SPEC_LEN]);
/*
 * `spec` as for device_open(), or "KIND:all"; it is kept. STATUS_ENVIRONMENT where the GPUs of this
 * machine are of several models; else as worker_start(). Nothing is left to stop on failure. `out`
 * must not move.
 */
status_t pool_start(const char *spec, double budget_s, bool pin_point, pool_t *out);
void pool_stop(pool_t *pool);

/* The worker whose device has this id ("cuda:1"); -1 if none has. */
int pool_find(const pool_t *pool, const char *device_id);

#endif
