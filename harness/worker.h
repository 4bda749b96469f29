/*
 * The process that has the device. It is forked before this one ever opens a device, and answers
 * one request at a time; when it dies or hangs, the next request starts another. So a point can
 * cost no more than its own row.
 */
#ifndef BLROOF_WORKER_H
#define BLROOF_WORKER_H

#include <sys/types.h>

#include "harness/device.h"
#include "harness/timing.h"
#include "results/schema.h"

typedef struct {
    device_t device;  /* what the worker opened; of its operations: facts, state, ceilings */
    const char *spec; /* as for device_open() */
    double budget_s;  /* timing seconds a point */
    pid_t pid;        /* 0 while there is no process */
    int socket;
    double oom_kills; /* of this machine when the process started */
} worker_t;

/*
 * Every function below returns, besides what the job itself may: STATUS_DEVICE when the process
 * died, was ended after its time limit or lost its device, STATUS_OOM when the kernel ended it for
 * want of memory, STATUS_INTERRUPTED on Ctrl-C. There is no process then; last_error() says why.
 */

/* `spec` is kept. Waits until the device is open and fills in worker->device. */
status_t worker_start(const char *spec, double budget_s, worker_t *out);
/* Starts another process if there is none. */
status_t worker_ready(worker_t *worker);
void worker_stop(worker_t *worker);

/* As the functions of harness/measure.h; the samples hold until the next request. */
status_t worker_probe(worker_t *worker, point_row_t *row);
status_t worker_time(worker_t *worker, double limit_s, point_row_t *row, const double **samples,
                     int *samples_len);
status_t worker_count(worker_t *worker, double limit_s, point_row_t *row);

#endif
