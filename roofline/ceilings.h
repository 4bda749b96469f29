/*
 * Ceilings: measured limits of one device. Each device kind measures its own (ceilings_cpu.c,
 * ceilings_cuda.cu) and emits rows; results/ writes them as ceilings.csv.
 */
#ifndef BLROOF_CEILINGS_H
#define BLROOF_CEILINGS_H

#include "harness/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cuda_core also holds a CPU's FMA units; l2 is the last-level cache shared by all cores. */
typedef enum {
    CEILING_DRAM,
    CEILING_L2,
    CEILING_L1,
    CEILING_TENSOR,
    CEILING_CUDA_CORE,
    CEILING_LAUNCH,
    CEILING_KIND_COUNT
} ceiling_kind_t;

const char *ceiling_kind_name(ceiling_kind_t kind); /* the names in ceilings.csv */

/* value: bytes/s ("B/s"), FLOP/s or OP/s ("FLOP/s", "OP/s"), or seconds a launch ("s"). NAN:
 * unknown. */
typedef struct {
    ceiling_kind_t kind;
    const char *dtype;  /* "fp32", "bf16", ...; "" where it has no meaning */
    const char *method; /* "read", "copy", "triad", "cublaslt_gemm", "mma_loop", ... */
    double value, ci_low, ci_high, theoretical;
    const char *unit;
    double sm_clock_mhz;
    const char *device; /* whose it is, where several are measured; else NULL */
} ceiling_t;

typedef status_t (*ceiling_emit_t)(void *ctx, const ceiling_t *ceiling);

#ifdef __cplusplus
}
#endif
#endif
