/* Times of a network that is filled: a whole pass without its graph, its operators inside and
 * alone. Budgets are the timing seconds of a pass, of which each takes its share. */
#ifndef BLROOF_MODEL_TIMES_H
#define BLROOF_MODEL_TIMES_H

#include "harness/model_account.h"
#include "harness/network.h"
#include "harness/timing.h"

/* Runs one pass: before its time counts it must end in finite numbers. */
status_t network_check(network_t *network, bool *finite);
/* The memory that a pass takes is that with its graph: looks at the peak while there is one. */
status_t network_note_graph(network_t *network);

/* A pass enqueued launch by launch, as a program without graphs would: microseconds. */
status_t network_time_stream(network_t *network, double budget_s, summary_t *out);

/* alone_us of the pointwise operators, on the buffers of the network, a layer after the other. */
status_t network_time_pointwise(network_t *network, double budget_s, step_time_t *times);

/*
 * in_model_us of all steps, inside the median of a few passes, each of about latency_us. Medians of
 * the steps would not add up to a pass where others disturb a few steps of every pass. Nothing is
 * to be timed in this process afterwards. STATUS_ENVIRONMENT, with the reason, where the device
 * cannot tell steps apart.
 */
status_t network_time_inside(network_t *network, double budget_s, double latency_us,
                             step_time_t *times);

/* The microseconds of a recording that launches nothing. */
status_t device_launch_us(device_t *device, double *us);

#endif
