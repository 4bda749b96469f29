/*
 * Which worker is given which point next. Points of one shape stay on one worker, so that a speedup
 * is a ratio of times of one device; or (pinned) every worker is given every point.
 */
#ifndef BLROOF_QUEUE_H
#define BLROOF_QUEUE_H

#include <stdbool.h>

#include "harness/status.h"

typedef struct {
    int from, end; /* its points are order[from ... end - 1] */
    int at;        /* the next of them */
    int owner;     /* the worker that has it; -1: none yet */
} batch_t;

typedef struct {
    batch_t *batch; /* that it is at; NULL before the first */
    int from;       /* no batch before this one is to be gone on with */
} hand_t;

typedef struct {
    int *order; /* points, those of a batch together */
    batch_t *batches;
    int batches_len, free_from; /* batches before free_from have an owner */
    int *batch_of;              /* of each point */
    hand_t *hands;              /* of each worker */
    int points_len, workers_len;
    bool pinned;
} queue_t;

/*
 * For points 0 to points_len - 1; compare() tells whether two are of one shape (0) and orders
 * shapes. One worker is given all of them in their order, several get whole shapes, in the order of
 * their first points. STATUS_OOM.
 */
status_t queue_open(int points_len, int workers_len, bool pinned,
                    int (*compare)(void *ctx, int a, int b), void *ctx, queue_t *out);
void queue_close(queue_t *queue);

/* A point that a worker measured before keeps its shape there; before the first queue_next(). */
void queue_claim(queue_t *queue, int point, int worker);
/* The next point of a worker; -1 when none is left for it. */
int queue_next(queue_t *queue, int worker);

#endif
