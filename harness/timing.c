#include "harness/timing.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/throttle.h"

enum { MIN_SAMPLES = 20, LEAST_SAMPLES = 3, MAX_LAUNCHES = 4096 };

static const double SAMPLE_US = 1000, CI_TARGET = 0.005;
/* Clocks and power settle in tens of milliseconds; a share of the budget, so that short runs stay
 * short. */
static const double WARMUP_S = 0.1;
/* The share of the budget below which there is no time to sample again. */
static const double LEAST_AGAIN = 0.1;

static const char *const CACHE_NAMES[] = {"rotate", "cold", "hot"};

const char *cache_name(cache_t cache) {
    return CACHE_NAMES[cache];
}

status_t cache_parse(const char *name, cache_t *out) {
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, CACHE_NAMES[i])) {
            *out = (cache_t)i;
            return STATUS_OK;
        }
    return fail(STATUS_USAGE, "--cache is rotate, cold or hot, not '%s'", name);
}

double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static volatile sig_atomic_t stop_requested;

static void request_stop(int signal_number) {
    stop_requested = 1;
    signal(signal_number, SIG_DFL); /* a second Ctrl-C ends at once */
}

void interrupt_install(void) {
    signal(SIGINT, request_stop);
    signal(SIGTERM, request_stop);
}

int interrupted(void) {
    return stop_requested;
}

/* Launches for a sample of SAMPLE_US; a fixed sequence must visit every copy. */
static status_t choose_launches(device_t *device, work_t work, void *arg, int sets, cache_t cache,
                                int *launches) {
    recording_t *probe = NULL;
    double us = 0;
    status_t st = device->ops->record(device, work, arg, 1, cache == CACHE_COLD, &probe);
    for (int i = 0; st == STATUS_OK && i < 2; i++) st = device->ops->replay(device, probe, &us);
    if (probe) device->ops->discard(probe);
    if (st != STATUS_OK) return st;
    double count = fmin(MAX_LAUNCHES, fmax(1, ceil(SAMPLE_US / fmax(us, 0.1))));
    if (cache == CACHE_COLD) count = fmin(count, 16);
    if (device->ops->fixed_sequence) count = ceil(count / sets) * sets;
    *launches = (int)count;
    return STATUS_OK;
}

static bool precise(const double *samples, int count) {
    const summary_t s = stats_summary(samples, count);
    return (s.ci_high - s.ci_low) / 2 <= CI_TARGET * s.median;
}

static status_t warm_up(device_t *device, recording_t *recording, double budget_s) {
    const double start = now_s(), length = fmin(WARMUP_S, budget_s / 2);
    double us;
    do {
        status_t st = device->ops->replay(device, recording, &us);
        if (st != STATUS_OK) return st;
    } while (now_s() - start < length && !interrupted());
    return STATUS_OK;
}

/* Reads what throttles the device now into what did before. */
static status_t look_again(device_t *device, timing_t *out) {
    device_state_t now;
    const status_t st = device->ops->state(device, &now);
    if (st == STATUS_OK)
        throttle_join(out->state.throttle, sizeof out->state.throttle, now.throttle);
    return st;
}

static status_t collect(device_t *device, recording_t *recording, double budget_s, timing_t *out) {
    const double start = now_s();
    bool state_read = false;
    out->samples_len = 0;
    out->stop_reason = "samples";
    while (out->samples_len < TIMING_MAX_SAMPLES) {
        status_t st = device->ops->replay(device, recording, &out->samples[out->samples_len]);
        if (st != STATUS_OK) return st;
        const int count = ++out->samples_len;
        const double elapsed = now_s() - start;
        if (!state_read && (count >= MIN_SAMPLES / 2 || elapsed > budget_s / 2)) {
            st = device->ops->state(device, &out->state);
            if (st != STATUS_OK) return st;
            state_read = true;
        }
        if (interrupted()) {
            out->stop_reason = "interrupted";
            break;
        }
        if (count >= MIN_SAMPLES && elapsed > budget_s / 4 && precise(out->samples, count)) {
            out->stop_reason = "ci";
            break;
        }
        if (count >= LEAST_SAMPLES && elapsed > budget_s / 2) {
            out->stop_reason = "budget";
            break;
        }
    }
    return look_again(device, out);
}

/* Samples again in what is left of the budget; `out` is as good as before or better. */
static status_t collect_again(device_t *device, recording_t *recording, double left_s,
                              timing_t *out) {
    timing_t again = *out;
    again.samples = malloc(TIMING_MAX_SAMPLES * sizeof *again.samples);
    if (!again.samples) return fail(STATUS_OOM, "out of host memory for samples");
    again.state = (device_state_t){NAN, NAN, NAN, ""};
    const status_t st = collect(device, recording, 2 * left_s, &again);
    out->remeasured = ++again.remeasured;
    if (st == STATUS_OK && !throttle_any(again.state.throttle)) {
        double *const before = out->samples;
        *out = again;
        again.samples = before;
    }
    free(again.samples);
    return st;
}

status_t timing_run(device_t *device, work_t work, void *arg, int sets, cache_t cache,
                    double budget_s, timing_t *out) {
    *out = (timing_t){.state = {NAN, NAN, NAN, ""}, .stream_us = NAN};
    recording_t *recording = NULL;
    status_t st = STATUS_OK;
    int launches = 1;
    const double start_s = now_s();
    out->samples = malloc(TIMING_MAX_SAMPLES * sizeof *out->samples);
    if (!out->samples) return fail(STATUS_OOM, "out of host memory for samples");
    TRY(choose_launches(device, work, arg, sets, cache, &launches));
    TRY(device->ops->record(device, work, arg, launches, cache == CACHE_COLD, &recording));
    TRY(warm_up(device, recording, budget_s));
    TRY(collect(device, recording, budget_s, out));
    while (throttle_any(out->state.throttle) && !interrupted()) {
        const double left_s = budget_s - (now_s() - start_s);
        if (left_s < LEAST_AGAIN * budget_s) break;
        TRY(collect_again(device, recording, left_s, out));
    }
    out->summary = stats_summary(out->samples, out->samples_len);
    out->kernels = device->ops->kernels(recording);
    if (device->ops->fixed_sequence && cache != CACHE_COLD)
        TRY(device->ops->stream_us(device, work, arg, launches, &out->stream_us));
cleanup:
    if (recording) device->ops->discard(recording);
    if (st != STATUS_OK) timing_free(out);
    return st;
}

void timing_free(timing_t *timing) {
    free(timing->samples);
    timing->samples = NULL;
}
