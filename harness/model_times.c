#include "harness/model_times.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of a pass' budget: a pointwise operator alone, passes without a graph, passes looked into. */
static const double POINTWISE_SHARE = 0.1, STREAM_SHARE = 0.1, PROFILE_SHARE = 0.25;
enum { LEAST_PROFILES = 3, MAX_PROFILES = 9, MAX_STREAMED = 50, LAUNCHES = 51 };

/* The launches of one pointwise operator in turn, as they stand in the network. */
typedef struct {
    network_t *network;
    const int *steps;
    int len;
} turns_t;

static status_t launch_turn(void *arg, int index, stream_t stream) {
    const turns_t *turns = arg;
    return network_step(turns->network, turns->steps[index % turns->len], stream);
}

static bool like(const step_t *a, const step_t *b) {
    return a->op && a->op == b->op && !strcmp(a->statement->label, b->statement->label) &&
           a->call.out[0].rows == b->call.out[0].rows &&
           a->call.out[0].width == b->call.out[0].width;
}

static bool first_of_kind(const network_t *n, int i) {
    for (int j = 0; j < i; j++)
        if (like(&n->steps[i], &n->steps[j])) return false;
    return n->steps[i].op != NULL;
}

status_t network_time_pointwise(network_t *n, double budget_s, step_time_t *times) {
    int *steps = malloc((size_t)n->steps_len * sizeof *steps);
    if (!steps) return fail(STATUS_OOM, "out of host memory for a model");
    status_t st = STATUS_OK;
    for (int i = 0; i < n->steps_len && st == STATUS_OK; i++) {
        if (!first_of_kind(n, i)) continue;
        turns_t turns = {.network = n, .steps = steps};
        for (int j = i; j < n->steps_len; j++)
            if (like(&n->steps[i], &n->steps[j])) steps[turns.len++] = j;
        timing_t timing = {0};
        st = timing_run(n->options.device, launch_turn, &turns, turns.len, CACHE_HOT,
                        POINTWISE_SHARE * budget_s, &timing);
        for (int j = 0; j < turns.len && st == STATUS_OK; j++)
            times[steps[j]].alone_us = timing.summary.median;
        timing_free(&timing);
        if (interrupted()) st = fail(STATUS_INTERRUPTED, "interrupted");
    }
    free(steps);
    return st;
}

/* The one of `count` passes whose length is the median (the lower one of two). */
static int median_pass(const double *us, size_t steps, int count) {
    double total[MAX_PROFILES] = {0};
    int median = 0;
    for (int k = 0; k < count; k++)
        for (size_t i = 0; i < steps; i++) total[k] += us[(size_t)k * steps + i];
    for (int k = 0; k < count; k++) {
        int shorter = 0;
        for (int j = 0; j < count; j++)
            shorter += total[j] < total[k] || (j < k && total[j] == total[k]);
        if (shorter == (count - 1) / 2) median = k;
    }
    return median;
}

status_t network_time_inside(network_t *n, double budget_s, double latency_us, step_time_t *times) {
    device_t *device = n->options.device;
    const size_t steps = (size_t)n->steps_len;
    const double wanted = PROFILE_SHARE * budget_s * 1e6 / latency_us;
    const int passes = (int)fmax(LEAST_PROFILES, fmin(MAX_PROFILES, wanted));
    double *us = malloc((size_t)passes * steps * sizeof *us);
    if (!us) return fail(STATUS_OOM, "out of host memory for a model");
    const status_t st = device->ops->profile(device, network_step, n, n->steps_len, passes, us);
    const int median = st == STATUS_OK ? median_pass(us, steps, passes) : 0;
    const double *const of_step = us + (size_t)median * steps;
    for (size_t i = 0; i < steps && st == STATUS_OK; i++)
        times[i].in_model_us =
            n->steps[i].together > 0 ? of_step[i] / n->steps[i].together : times[i - 1].in_model_us;
    free(us);
    return st;
}

static status_t launch_nothing(void *arg, int index, stream_t stream) {
    (void)arg, (void)index, (void)stream;
    return STATUS_OK;
}

status_t device_launch_us(device_t *device, double *us) {
    double samples[LAUNCHES];
    recording_t *recording = NULL;
    status_t st = device->ops->record(device, launch_nothing, NULL, 1, false, &recording);
    for (int i = 0; i < LAUNCHES && st == STATUS_OK; i++)
        st = device->ops->replay(device, recording, &samples[i]);
    if (recording) device->ops->discard(recording);
    if (st == STATUS_OK) *us = stats_summary(samples, LAUNCHES).median;
    return st;
}

status_t network_time_stream(network_t *n, double budget_s, summary_t *out) {
    device_t *device = n->options.device;
    double us[MAX_STREAMED];
    const double start_s = now_s();
    int count = 0;
    status_t st = STATUS_OK;
    do {
        st = device->ops->stream_us(device, network_launch, n, 1, &us[count]);
        count++;
    } while (st == STATUS_OK && count < MAX_STREAMED &&
             (count < 5 || now_s() - start_s < STREAM_SHARE * budget_s));
    if (st == STATUS_OK) *out = stats_summary(us, count);
    return st;
}

status_t network_note_graph(network_t *n) {
    device_t *device = n->options.device;
    recording_t *recording = NULL;
    status_t st = device->ops->record(device, network_launch, n, 1, false, &recording);
    if (st == STATUS_OK) st = network_note_peak(n);
    if (recording) device->ops->discard(recording);
    return st;
}

status_t network_check(network_t *n, bool *finite) {
    device_t *device = n->options.device;
    const char *output = n->options.model->output;
    const int64_t count = network_count(n, output);
    float *values = malloc((size_t)count * sizeof *values);
    if (!values) return fail(STATUS_OOM, "out of host memory for the output");
    status_t st = device->ops->run(device, network_launch, n, 0);
    if (st == STATUS_OK) st = network_read(n, output, values);
    *finite = true;
    for (int64_t i = 0; i < count && st == STATUS_OK; i++) *finite &= isfinite(values[i]) != 0;
    free(values);
    return st;
}
