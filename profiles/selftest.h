/* Counters against work whose traffic and FLOPs are known. */
#ifndef BLROOF_SELFTEST_H
#define BLROOF_SELFTEST_H

#include "harness/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/* deviation_pct is 100 (counted / expected - 1); NAN, with a reason, where nothing was counted. */
typedef struct {
    const char *name, *unit; /* "copy: DRAM read", "B" or "FLOP" */
    double counted, expected, deviation_pct, tolerance_pct;
    bool pass;
    char reason[256]; /* why it failed or could not run; "" */
} selftest_row_t;

/* A status other than STATUS_OK ends the test with that status. */
typedef status_t (*selftest_report_t)(void *ctx, const selftest_row_t *row);

/*
 * Counts a copy of 1 GiB (DRAM reads within 1 %; less where memory is short), a cuBLASLt GEMM and
 * an FMA loop (FLOPs exact), and reports a row for each. Takes about a second on a large GPU.
 * STATUS_ENVIRONMENT with the reason if the device has no counters, STATUS_DEVICE if it died.
 */
status_t counters_selftest(device_t *device, selftest_report_t report, void *ctx);

#ifdef __cplusplus
}
#endif
#endif
