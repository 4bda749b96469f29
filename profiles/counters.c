/* Which source counts on which kind of device. */
#include "profiles/counters.h"

#include <math.h>
#include <stdio.h>

#include "profiles/source.h"

static const char *const NO_CUPTI =
    "this blroof was built without CUPTI: rebuild with CUDA 12.6 or later";

static const counter_source_t *sources[DEVICE_KIND_COUNT];

void counter_source_register(const counter_source_t *source) {
    sources[source->kind] = source;
}

const char *counter_status_name(counter_status_t status) {
    static const char *const names[] = {"ok", "unsupported", "denied", "off"};
    return names[status];
}

void counters_open(device_t *device, counters_t *out) {
    const counter_source_t *source = sources[device->info.kind];
    *out = (counters_t){
        .source = source ? source->name : "none", .status = COUNTERS_UNSUPPORTED, .device = device};
    if (source)
        source->open(device, out);
    else
        snprintf(out->reason, sizeof out->reason, "%s",
                 device->info.kind == DEVICE_CUDA
                     ? NO_CUPTI
                     : "hardware counters are read on NVIDIA GPUs only");
}

void counters_close(counters_t *counters) {
    if (counters->device && sources[counters->device->info.kind])
        sources[counters->device->info.kind]->close(counters);
    counters->session = NULL;
}

status_t counters_measure(counters_t *counters, work_t work, void *arg, int launches,
                          counts_t *out) {
    *out = (counts_t){NAN, NAN, NAN, NAN, NAN, NAN};
    if (counters->status != COUNTERS_OK) return STATUS_OK;
    return sources[counters->device->info.kind]->measure(counters, work, arg, launches, out);
}

status_t counters_profile(device_t *device, work_t work, void *arg, int steps, int passes,
                          double *us) {
    const counter_source_t *source = sources[device->info.kind];
    if (!source) return fail(STATUS_ENVIRONMENT, "%s", NO_CUPTI);
    return source->profile(device, work, arg, steps, passes, us);
}

status_t counters_selftest(device_t *device, selftest_report_t report, void *ctx) {
    counters_t counters;
    counters_open(device, &counters);
    const status_t st =
        counters.status == COUNTERS_OK
            ? sources[device->info.kind]->selftest(&counters, report, ctx)
            : fail(STATUS_ENVIRONMENT, "%s has no counters: %s", device->id, counters.reason);
    counters_close(&counters);
    return st;
}

status_t counters_check(const counter_group_t *group, const char *chip, group_check_t *out) {
    const counter_source_t *source = sources[DEVICE_CUDA];
    *out = (group_check_t){0};
    if (source) return source->check(group, chip, out);
    return fail(STATUS_ENVIRONMENT, "%s", NO_CUPTI);
}
