#include "harness/counting.h"

#include <math.h>
#include <string.h>

#include "results/csv_table.h"
#include "roofline/roofline.h"

enum { HOT_LAUNCHES = 16 };

static const char *const COLD_REASON =
    "a flush between launches would be counted too: count with --cache rotate or hot";

status_t counting_parse(const char *name, counting_t *out) {
    static const char *const names[] = {"off", "auto", "require"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (counting_t)i;
            return STATUS_OK;
        }
    return fail(STATUS_USAGE, "--counters is auto, off or require, not '%s'", name);
}

status_t counting_open(counting_t counting, device_t *device, counters_t *out) {
    *out = (counters_t){.source = "none", .status = COUNTERS_OFF};
    if (counting == COUNTING_OFF) return STATUS_OK;
    counters_open(device, out);
    if (counting != COUNTING_REQUIRE || out->status == COUNTERS_OK) return STATUS_OK;
    const status_t st = fail(STATUS_ENVIRONMENT, "--counters require: %s: %s",
                             counter_status_name(out->status), out->reason);
    counters_close(out);
    return st;
}

static counts_t counts_unknown(void) {
    return (counts_t){NAN, NAN, NAN, NAN, NAN, NAN};
}

status_t counting_measure(counters_t *counters, binding_t *binding, cache_t cache, counts_t *out) {
    *out = counts_unknown();
    if (counters->status != COUNTERS_OK || cache == CACHE_COLD) return STATUS_OK;
    const int launches = cache == CACHE_HOT ? HOT_LAUNCHES : binding->sets;
    if (cache == CACHE_HOT) {
        device_t *device = binding->device;
        const status_t st = device->ops->run(device, binding_launch, binding, 0);
        if (st != STATUS_OK) return st;
    }
    return counters_measure(counters, binding_launch, binding, launches, out);
}

void counting_fill(const counters_t *counters, cache_t cache, const counts_t *counts,
                   point_row_t *row) {
    const bool cold = counters->status == COUNTERS_OK && cache == CACHE_COLD;
    const counter_status_t status = cold ? COUNTERS_UNSUPPORTED : counters->status;
    row_set_text(row->counter_source, "%s", counters->source);
    row_set_text(row->counter_status, "%s", counter_status_name(status));
    if (status == COUNTERS_UNSUPPORTED || status == COUNTERS_DENIED)
        row_set_text(row->reason, "not counted: %s", cold ? COLD_REASON : counters->reason);
    if (status != COUNTERS_OK) return;
    /* A count that fell short says why here: a metric that the chip lacks. */
    if (counters->reason[0]) row_set_text(row->reason, "counted: %s", counters->reason);
    row->dram_read_bytes = rint(counts->dram_read_bytes);
    row->dram_write_bytes = rint(counts->dram_write_bytes);
    row->l2_bytes = rint(counts->l2_bytes);
    row->l1_bytes = rint(counts->l1_bytes);
    row->tensor_flops_measured = rint(counts->tensor_flops);
    row->cuda_core_flops_measured = rint(counts->cuda_core_flops);
    row->flops_measured = rint(counts->tensor_flops + counts->cuda_core_flops);
    row->flops_waste = times_needed(row->flops_measured, row->flops);
    row->l2_intensity = intensity(row->flops, row->l2_bytes);
}
