/*
 * The process that has a device. It is forked before this one ever opens a device, and answers one
 * request at a time; when it dies or hangs, the next request starts another. So a point can cost no
 * more than its own row.
 */
#ifndef BLROOF_WORKER_H
#define BLROOF_WORKER_H

#include <sys/types.h>

#include "harness/device.h"
#include "harness/timing.h"
#include "results/schema.h"

typedef struct worker worker_t;
struct reply; /* what the process answers */

struct worker {
    device_t device;  /* what the worker opened; of its operations: facts, state, ceilings */
    int siblings;     /* devices of this kind that the worker sees, its own one among them */
    const char *spec; /* as for device_open() */
    double budget_s;  /* timing seconds a point */
    pid_t pid;        /* 0 while there is no process */
    int socket;
    double oom_kills; /* of this machine when the process started */
    /* the job that it was given last */
    bool busy; /* and that has not ended */
    double end_s, limit_s;
    fact_t fact; /* who is told what comes before the end of it */
    ceiling_emit_t emit;
    void *ctx;
    status_t heard; /* what emit() answered */
    struct reply *reply;
    size_t got; /* bytes of it */
};

/*
 * Every function below returns, besides what the job itself may: STATUS_DEVICE when the process
 * died, was ended after its time limit or lost its device, STATUS_OOM when the kernel ended it for
 * want of memory, STATUS_INTERRUPTED on Ctrl-C. There is no process then; last_error() says why.
 */

/* `spec` is kept. Waits until the device is open and fills in worker->device. */
status_t worker_start(const char *spec, double budget_s, worker_t *out);
/* Starts another process if there is none. */
status_t worker_ready(worker_t *worker);
/* Frees all of it but what is known of the device; one that is busy is not waited for. */
void worker_stop(worker_t *worker);

/* As measure_probe(). */
status_t worker_probe(worker_t *worker, point_row_t *row);
/*
 * Several workers at once: these only ask, and worker_await() waits until the job of one of them
 * has ended, says which one's, and returns what came of it. On Ctrl-C all jobs end, and *which is
 * -1. All but worker_begin_start() need a process that is ready.
 */
status_t worker_begin_start(worker_t *worker);
void worker_begin_time(worker_t *worker, double limit_s, const point_row_t *row);
void worker_begin_count(worker_t *worker, double limit_s, const point_row_t *row);
void worker_begin_ceilings(worker_t *worker, ceiling_emit_t emit, void *ctx);
status_t worker_await(worker_t *workers, int len, int *which);

/* The row of a worker_begin_time() or _count() that has ended. A job that failed tells what it
 * found out, a process that died leaves the row as it is. */
void worker_take_row(const worker_t *worker, point_row_t *row);
/* Samples of the worker_begin_time() that has ended well, until its next job; returns how many. */
int worker_samples(const worker_t *worker, const double **samples);

#endif
