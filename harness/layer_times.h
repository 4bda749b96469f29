/*
 * Times of layers alone, checked and measured as a sweep does: each variant of each problem once a
 * program run, however many models have it.
 */
#ifndef BLROOF_LAYER_TIMES_H
#define BLROOF_LAYER_TIMES_H

#include "harness/tuning.h"

/* One variant of one problem. */
typedef struct {
    const variant_t *variant, *plan; /* plan is what runs as the variant here */
    problem_t problem;
    bool ok;
    double time_us;       /* alone; NAN where it could not be measured */
    char reason[WHY_LEN]; /* why not ok */
} layer_time_t;

typedef struct {
    device_t *device;
    double budget_s; /* of timing one */
    tuning_t tuning;
    layer_time_t *items;
    int len;
} layer_times_t;

void layer_times_open(layer_times_t *times, device_t *device, double budget_s);
void layer_times_close(layer_times_t *times);
/* Adds times from elsewhere: `items` are bytes of layer_time_t. STATUS_OOM. */
status_t layer_times_add(layer_times_t *times, const void *items, int len);

/*
 * The time of a variant; *out is valid until the next call. What concerns this problem alone
 * (unsupported, out of memory, a wrong result) is told in it. STATUS_DEVICE when the device fails,
 * STATUS_INTERRUPTED on Ctrl-C.
 */
status_t layer_times_get(layer_times_t *times, const structure_t *structure,
                         const problem_t *problem, const variant_t *variant,
                         const layer_time_t **out);

/*
 * The fastest variant of a structure that computes in its dtype and whose result is right; one that
 * could not be timed (no room for a second copy) comes after those that could. With in_order, only
 * variants whose columns come in the order of the dense layer. STATUS_UNSUPPORTED, with the reason
 * of the last one, if there is none.
 */
status_t layer_times_best(layer_times_t *times, const structure_t *structure,
                          const problem_t *problem, bool in_order, const layer_time_t **out);

#endif
