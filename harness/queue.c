#include "harness/queue.h"

#include <stdlib.h>

typedef struct {
    int (*compare)(void *ctx, int a, int b);
    void *ctx;
} shapes_t;

static int by_shape(const void *left, const void *right, void *ctx) {
    const shapes_t *shapes = ctx;
    const int a = *(const int *)left, b = *(const int *)right;
    const int order = shapes->compare(shapes->ctx, a, b);
    return order ? order : a - b;
}

static int by_first(const void *left, const void *right, void *ctx) {
    const queue_t *q = ctx;
    const int a = *(const int *)left, b = *(const int *)right;
    const int order = q->batch_of[a] - q->batch_of[b];
    return order ? order : a - b;
}

/* Gives each point of a shape the number of the first point of that shape. */
static void find_shapes(queue_t *q, const shapes_t *shapes) {
    qsort_r(q->order, (size_t)q->points_len, sizeof *q->order, by_shape, (void *)shapes);
    for (int k = 0, first = 0; k < q->points_len; k++) {
        if (k == 0 || shapes->compare(shapes->ctx, q->order[k - 1], q->order[k]) != 0)
            first = q->order[k];
        q->batch_of[q->order[k]] = first;
    }
    qsort_r(q->order, (size_t)q->points_len, sizeof *q->order, by_first, q);
}

/* Neighbours of one shape become a batch. */
static void make_batches(queue_t *q) {
    for (int k = 0, first = -1; k < q->points_len; k++) {
        const int point = q->order[k];
        if (q->batch_of[point] != first) {
            first = q->batch_of[point];
            q->batches[q->batches_len++] = (batch_t){.from = k, .at = k, .owner = -1};
        }
        q->batches[q->batches_len - 1].end = k + 1;
        q->batch_of[point] = q->batches_len - 1;
    }
}

/* All points in one batch for each worker. */
static void give_all(queue_t *q) {
    q->batches_len = q->workers_len;
    for (int w = 0; w < q->workers_len; w++)
        q->batches[w] = (batch_t){.end = q->points_len, .owner = w};
}

status_t queue_open(int points_len, int workers_len, bool pinned,
                    int (*compare)(void *ctx, int a, int b), void *ctx, queue_t *q) {
    const shapes_t shapes = {compare, ctx};
    const size_t len = (size_t)points_len + (size_t)workers_len;
    *q = (queue_t){.points_len = points_len, .workers_len = workers_len, .pinned = pinned};
    q->order = malloc(len * sizeof *q->order);
    q->batch_of = malloc(len * sizeof *q->batch_of);
    q->batches = malloc(len * sizeof *q->batches);
    q->hands = calloc((size_t)workers_len, sizeof *q->hands);
    if (!q->order || !q->batch_of || !q->batches || !q->hands) {
        queue_close(q);
        return fail(STATUS_OOM, "out of host memory for %d points", points_len);
    }
    for (int i = 0; i < points_len; i++) q->order[i] = i;
    if (pinned || workers_len == 1) {
        give_all(q);
        return STATUS_OK;
    }
    find_shapes(q, &shapes);
    make_batches(q);
    return STATUS_OK;
}

void queue_close(queue_t *q) {
    free(q->order);
    free(q->batch_of);
    free(q->batches);
    free(q->hands);
    *q = (queue_t){0};
}

void queue_claim(queue_t *q, int point, int worker) {
    if (q->pinned || q->workers_len == 1) return;
    q->batches[q->batch_of[point]].owner = worker;
}

/* What it has begun; then what it had before, that no shape waits for its end; then what nobody
 * has. */
static batch_t *next_batch(queue_t *q, int worker) {
    hand_t *hand = &q->hands[worker];
    if (hand->batch && hand->batch->at < hand->batch->end) return hand->batch;
    for (; hand->from < q->batches_len; hand->from++) {
        batch_t *batch = &q->batches[hand->from];
        if (batch->owner == worker && batch->at < batch->end) return hand->batch = batch;
    }
    for (; q->free_from < q->batches_len; q->free_from++) {
        batch_t *batch = &q->batches[q->free_from];
        if (batch->owner >= 0) continue;
        batch->owner = worker;
        return hand->batch = batch;
    }
    return NULL;
}

int queue_next(queue_t *q, int worker) {
    batch_t *batch = next_batch(q, worker);
    return batch ? q->order[batch->at++] : -1;
}
