/*
 * The roofline model: pure arithmetic, no I/O. SI units throughout (bytes, FLOP, seconds).
 *
 * Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009; the hierarchical form after
 * Yang, Kurth, Williams, "Hierarchical Roofline analysis for GPUs", 2019.
 */
#ifndef BLROOF_ROOFLINE_H
#define BLROOF_ROOFLINE_H

#include <stdbool.h>

#include "roofline/ceilings.h"

/* The best measured value of each kind for one dtype; NAN where there is none. */
typedef struct {
    double compute_flops;        /* matrix units (a CPU: its FMA units), FLOP/s */
    bool compute_is_tensor;      /* false: fp32 CUDA cores (a CPU) stand in for it, or NAN */
    double cuda_core_flops;      /* CUDA cores in fp32, FLOP/s */
    double cuda_core_peak_flops; /* CUDA cores in their fastest dtype, FLOP/s */
    double dram_bytes, l2_bytes; /* bytes/s */
    double launch_s;             /* seconds that one dependent kernel costs inside a graph */
} roof_ceilings_t;

typedef enum {
    BOUND_COMPUTE,
    BOUND_CUDA_CORE,
    BOUND_DRAM,
    BOUND_L2,
    BOUND_LATENCY,
    BOUND_COUNT
} bound_t;
/* compute | cuda_core | dram | l2 | latency; "" for BOUND_COUNT */
const char *bound_name(bound_t bound);

/* What one launch of a point asks of the device. */
typedef struct {
    double compute_flops, cuda_core_flops; /* on matrix units, on CUDA cores */
    double dram_bytes, l2_bytes;
    int kernels; /* dependent kernels one launch starts */
} demand_t;

typedef struct {
    double seconds; /* the least time the ceilings allow */
    bound_t bound;  /* the ceiling that sets it */
} roof_t;

roof_ceilings_t roof_ceilings_none(void); /* all NAN */
/*
 * Folds one measured ceiling in: the envelope (fastest) of its kind, for points of `dtype`. Tensor
 * rows count for their own dtype; fp32 CUDA-core rows, and where an fp32 point has no tensor row
 * they are its compute ceiling too; launch rows but for the method "stream". The order of the rows
 * does not matter.
 */
void roof_ceilings_add(roof_ceilings_t *ceilings, const ceiling_t *row, const char *dtype);

/*
 * Largest of the terms; terms whose ceiling or demand is NAN, and demands of 0, are left out. If
 * none is left, seconds is NAN and bound BOUND_COUNT.
 */
roof_t roof_time(const demand_t *demand, const roof_ceilings_t *ceilings);

/* FLOP/byte; NAN when bytes are not positive. */
double intensity(double flops, double bytes);
/* Attainable FLOP/s at an intensity under one compute and one bandwidth ceiling; NAN if any is. */
double attainable_flops(double intensity, double flops_per_s, double bytes_per_s);

/*
 * Least DRAM bytes of a launch with `count` intermediates that are written and read back, when a
 * cache of `cache_bytes` may keep any part of each: bytes_min + 2 sum max(0, bytes[i] -
 * cache_bytes).
 */
double dram_bytes_floor(double bytes_min, const double *bytes, int count, double cache_bytes);

/* What was executed over what the algorithm needs, or read over what must be read; NAN unless both
 * are known and `needed` is positive. */
double times_needed(double measured, double needed);

/* What counters saw of one launch; NAN where they saw nothing. */
typedef struct {
    double tensor_flops, cuda_core_flops, dram_bytes, l2_bytes;
} executed_t;

/*
 * True where a launch of `seconds` cannot have been: some unit would have run at more than 105 % of
 * its ceiling, or fewer FLOPs (by more than 1 %) were executed than the `flops` the algorithm
 * needs. What is NAN proves nothing. tensor_flops count against the compute ceiling only where that
 * is of matrix units, CUDA-core FLOPs against the fastest rate of any dtype.
 */
bool impossible(const executed_t *executed, double flops, double seconds,
                const roof_ceilings_t *ceilings);

typedef struct {
    double from, to;
} range_t;
/*
 * Where y is above 1, in rising order: at most (count + 1) / 2 ranges. Ends are interpolated
 * between neighbours on logarithmic axes; a range that holds the first or last point ends at its x.
 * x[] rises, and all values are positive. Returns how many.
 */
int ranges_above_one(const double *x, const double *y, int count, range_t *out);

#endif
