#include "roofline/roofline.h"

#include <math.h>
#include <string.h>

const char *ceiling_kind_name(ceiling_kind_t kind) {
    static const char *const names[] = {"dram", "l2", "l1", "tensor", "cuda_core", "launch"};
    return names[kind];
}

const char *bound_name(bound_t bound) {
    static const char *const names[] = {"compute", "cuda_core", "dram", "l2", "latency"};
    return names[bound];
}

roof_ceilings_t roof_ceilings_none(void) {
    return (roof_ceilings_t){NAN, NAN, NAN, NAN, NAN, NAN};
}

/* fmax and fmin leave NAN out. */
void roof_ceilings_add(roof_ceilings_t *c, const ceiling_t *row, const char *dtype) {
    switch (row->kind) {
    case CEILING_DRAM:
        c->dram_bytes = fmax(c->dram_bytes, row->value);
        break;
    case CEILING_L2:
        c->l2_bytes = fmax(c->l2_bytes, row->value);
        break;
    case CEILING_TENSOR:
        if (!strcmp(row->dtype, dtype)) c->tensor_flops = fmax(c->tensor_flops, row->value);
        break;
    case CEILING_CUDA_CORE: /* work outside the matrix units is done in fp32 */
        if (!strcmp(row->dtype, "fp32")) c->cuda_core_flops = fmax(c->cuda_core_flops, row->value);
        break;
    case CEILING_LAUNCH:
        if (strcmp(row->method, "stream")) c->launch_s = fmin(c->launch_s, row->value);
        break;
    case CEILING_L1: /* no demand is stated for it */
    case CEILING_KIND_COUNT:
        break;
    }
    /* A device without matrix units for the dtype, such as a CPU, computes fp32 on its FMA units.
     */
    const bool fma_units = isnan(c->tensor_flops) && !strcmp(dtype, "fp32");
    c->compute_flops = fma_units ? c->cuda_core_flops : c->tensor_flops;
}

roof_t roof_time(const demand_t *d, const roof_ceilings_t *c) {
    const double terms[BOUND_COUNT] = {
        [BOUND_COMPUTE] = d->compute_flops / c->compute_flops,
        [BOUND_CUDA_CORE] = d->cuda_core_flops / c->cuda_core_flops,
        [BOUND_DRAM] = d->dram_bytes / c->dram_bytes,
        [BOUND_L2] = d->l2_bytes / c->l2_bytes,
        [BOUND_LATENCY] = d->kernels * c->launch_s,
    };
    roof_t roof = {NAN, BOUND_COMPUTE};
    for (int i = 0; i < BOUND_COUNT; i++)
        if (!isnan(terms[i]) && !(terms[i] <= roof.seconds)) roof = (roof_t){terms[i], (bound_t)i};
    return roof;
}

double intensity(double flops, double bytes) {
    return bytes > 0 ? flops / bytes : NAN;
}

double attainable_flops(double intensity, double flops_per_s, double bytes_per_s) {
    return fmin(flops_per_s, intensity * bytes_per_s);
}

double dram_bytes_floor(double bytes_min, const double *bytes, int count, double cache_bytes) {
    double total = bytes_min;
    for (int i = 0; i < count; i++) total += 2 * fmax(0, bytes[i] - cache_bytes);
    return total;
}
