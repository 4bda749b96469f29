#include "roofline/roofline.h"

#include <math.h>
#include <string.h>

static const double IMPOSSIBLE_RATE = 1.05, LEAST_FLOPS = 0.99;

const char *ceiling_kind_name(ceiling_kind_t kind) {
    static const char *const names[] = {"dram", "l2", "l1", "tensor", "cuda_core", "launch"};
    return (unsigned)kind < CEILING_KIND_COUNT ? names[kind] : "";
}

const char *bound_name(bound_t bound) {
    static const char *const names[] = {"compute", "cuda_core", "dram", "l2", "latency"};
    return (unsigned)bound < BOUND_COUNT ? names[bound] : "";
}

roof_ceilings_t roof_ceilings_none(void) {
    return (roof_ceilings_t){.compute_flops = NAN,
                             .compute_is_tensor = false,
                             .cuda_core_flops = NAN,
                             .cuda_core_peak_flops = NAN,
                             .dram_bytes = NAN,
                             .l2_bytes = NAN,
                             .launch_s = NAN};
}

static void add_tensor(roof_ceilings_t *c, double value) {
    /* A matrix unit's own figure replaces what stood in for it. */
    c->compute_flops = c->compute_is_tensor ? fmax(c->compute_flops, value) : value;
    c->compute_is_tensor = true;
}

/* Work outside the matrix units runs in fp32, so packed-half rates say nothing about it. */
static void add_cuda_core(roof_ceilings_t *c, const ceiling_t *row, const char *dtype) {
    c->cuda_core_peak_flops = fmax(c->cuda_core_peak_flops, row->value);
    if (strcmp(row->dtype, "fp32") != 0) return;
    c->cuda_core_flops = fmax(c->cuda_core_flops, row->value);
    if (!c->compute_is_tensor && !strcmp(dtype, "fp32")) c->compute_flops = c->cuda_core_flops;
}

void roof_ceilings_add(roof_ceilings_t *ceilings, const ceiling_t *row, const char *dtype) {
    if (isnan(row->value)) return;
    switch (row->kind) {
    case CEILING_DRAM:
        ceilings->dram_bytes = fmax(ceilings->dram_bytes, row->value);
        break;
    case CEILING_L2:
        ceilings->l2_bytes = fmax(ceilings->l2_bytes, row->value);
        break;
    case CEILING_TENSOR:
        if (!strcmp(row->dtype, dtype)) add_tensor(ceilings, row->value);
        break;
    case CEILING_CUDA_CORE:
        add_cuda_core(ceilings, row, dtype);
        break;
    case CEILING_LAUNCH:
        /* "stream" also holds the host's share, which a recording does not pay. */
        if (strcmp(row->method, "stream") != 0)
            ceilings->launch_s = fmin(ceilings->launch_s, row->value);
        break;
    case CEILING_L1:
    case CEILING_KIND_COUNT:
        break;
    }
}

roof_t roof_time(const demand_t *demand, const roof_ceilings_t *ceilings) {
    const double seconds[BOUND_COUNT] = {
        [BOUND_COMPUTE] = demand->compute_flops / ceilings->compute_flops,
        [BOUND_CUDA_CORE] = demand->cuda_core_flops / ceilings->cuda_core_flops,
        [BOUND_DRAM] = demand->dram_bytes / ceilings->dram_bytes,
        [BOUND_L2] = demand->l2_bytes / ceilings->l2_bytes,
        [BOUND_LATENCY] = demand->kernels * ceilings->launch_s,
    };
    roof_t roof = {NAN, BOUND_COUNT};
    for (int i = 0; i < BOUND_COUNT; i++)
        if (isfinite(seconds[i]) && seconds[i] > 0 && !(seconds[i] <= roof.seconds))
            roof = (roof_t){seconds[i], (bound_t)i};
    return roof;
}

double intensity(double flops, double bytes) {
    return bytes > 0 ? flops / bytes : NAN;
}

double attainable_flops(double intensity, double flops_per_s, double bytes_per_s) {
    const double by_memory = intensity * bytes_per_s;
    return isnan(by_memory) || isnan(flops_per_s) ? NAN : fmin(flops_per_s, by_memory);
}

double dram_bytes_floor(double bytes_min, const double *bytes, int count, double cache_bytes) {
    double total = bytes_min;
    for (int i = 0; i < count; i++) total += 2 * fmax(0, bytes[i] - cache_bytes);
    return total;
}

double times_needed(double measured, double needed) {
    return needed > 0 ? measured / needed : NAN;
}

/* False where the amount or the ceiling is unknown. */
static bool beyond(double amount, double seconds, double ceiling) {
    return ceiling > 0 && amount > IMPOSSIBLE_RATE * ceiling * seconds;
}

bool impossible(const executed_t *e, double flops, double seconds, const roof_ceilings_t *c) {
    const double tensor = c->compute_is_tensor ? c->compute_flops : NAN;
    return beyond(e->tensor_flops, seconds, tensor) ||
           beyond(e->cuda_core_flops, seconds, c->cuda_core_peak_flops) ||
           beyond(e->dram_bytes, seconds, c->dram_bytes) ||
           beyond(e->l2_bytes, seconds, c->l2_bytes) ||
           e->tensor_flops + e->cuda_core_flops < LEAST_FLOPS * flops;
}

/* Where y is 1 between points i - 1 and i, which are on different sides of it. */
static double one_between(const double *x, const double *y, int i) {
    const double before = log(y[i - 1]), after = log(y[i]);
    return x[i - 1] * pow(x[i] / x[i - 1], before / (before - after));
}

int ranges_above_one(const double *x, const double *y, int count, range_t *out) {
    int ranges = 0;
    bool inside = false;
    for (int i = 0; i < count; i++) {
        const bool above = y[i] > 1;
        if (above && !inside) out[ranges].from = i ? one_between(x, y, i) : x[0];
        if (!above && inside) out[ranges++].to = one_between(x, y, i);
        if (above && i + 1 == count) out[ranges++].to = x[i];
        inside = above;
    }
    return ranges;
}
