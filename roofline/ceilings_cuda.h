/*
 * Measured limits of a CUDA device. ceilings_cuda.cu searches and reports, the files beside it hold
 * the kernels of one kind of ceiling each.
 */
#ifndef BLROOF_CEILINGS_CUDA_H
#define BLROOF_CEILINGS_CUDA_H

#include "harness/device.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Measures and emits every ceiling, about 20 s on a large GPU. A ceiling that the chip has but that
 * cannot be measured here (no cuBLASLt, no memory) is emitted with value NAN. STATUS_DEVICE if the
 * device failed, STATUS_INTERRUPTED after Ctrl-C, or what `emit` returned.
 */
status_t ceilings_cuda(device_t *device, ceiling_emit_t emit, void *ctx);

/* What the ceilings share. */
typedef struct {
    device_t *device;
    ceiling_emit_t emit;
    void *ctx;
    double sm_hz;          /* highest SM clock, the one of theoretical values; NAN if unknown */
    double memory_bytes_s; /* theoretical DRAM bandwidth; NAN if unknown */
    void *sink;            /* where kernels may write a word, to keep their results alive */
} probe_t;

/* One way to reach a ceiling: `work` moves or computes `amount` (bytes or operations) a launch. */
typedef struct {
    work_t work;
    void *arg;
    double amount;
} candidate_t;

/* A row without values yet; theoretical is NAN where it is unknown. */
ceiling_t probe_row(ceiling_kind_t kind, const char *dtype, const char *method, double theoretical,
                    const char *unit);

/*
 * Tries the candidates briefly, measures the fastest at length and emits it in `row`. Candidates
 * that do not fit or are unsupported are passed over; if none is left, the row is emitted without a
 * value.
 */
status_t probe_best(const probe_t *probe, ceiling_t row, const candidate_t *candidates, int count);

status_t ceilings_cuda_memory(const probe_t *probe); /* dram, l2, l1 */
status_t ceilings_cuda_tensor(const probe_t *probe); /* tensor */

#ifdef __cplusplus
}
#endif
#endif
