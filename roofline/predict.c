#include "roofline/predict.h"

#include <math.h>

/* The part of the bytes of an intermediate that leaves a cache before it is read. */
static double spilled(double bytes, double cache_bytes) {
    return cache_bytes > 0 ? fmin(1, bytes / cache_bytes) : 1;
}

static double known(double seconds) {
    return isnan(seconds) ? 0 : seconds;
}

/* Blocks run in waves of one a multiprocessor: how much longer than if all had work to the end. */
static double idle_share(double blocks, int multiprocessors) {
    if (!(blocks > 0) || multiprocessors < 1) return 0;
    return ceil(blocks / multiprocessors) * multiprocessors / blocks - 1;
}

prediction_t predict(const load_t *w, const machine_t *m) {
    const roof_ceilings_t *rates = &m->rates;
    prediction_t p = {.seconds = 0, .bound = BOUND_COMPUTE, .dram_bytes = w->bytes_min};
    double cached = w->reread_bytes;
    for (int i = 0; i < w->intermediates_len; i++) {
        const double bytes = 2 * w->intermediates[i];
        const double to_dram = bytes * spilled(w->intermediates[i], m->cache_bytes);
        p.dram_bytes += to_dram;
        cached += bytes - to_dram;
    }
    const double compute = w->matrix_flops / rates->compute_flops;
    const double compulsory = w->bytes_min / rates->dram_bytes;
    p.terms[compute >= compulsory ? BOUND_COMPUTE : BOUND_DRAM] = fmax(compute, compulsory);
    p.terms[BOUND_COMPUTE] +=
        w->tile_flops / rates->compute_flops * idle_share(w->tile_blocks, m->multiprocessors) +
        known(w->shared_bytes / m->shared_bytes);
    p.terms[BOUND_DRAM] += (p.dram_bytes - w->bytes_min) / rates->dram_bytes;
    p.terms[BOUND_CUDA_CORE] = known(w->cuda_core_flops / rates->cuda_core_flops);
    p.terms[BOUND_L2] = known(cached / rates->l2_bytes);
    p.terms[BOUND_LATENCY] = known((w->intermediates_len + 1) * rates->launch_s);
    for (int i = 0; i < BOUND_COUNT; i++) {
        p.seconds += p.terms[i];
        if (p.terms[i] > p.terms[p.bound]) p.bound = (bound_t)i;
    }
    if (isnan(compute) || isnan(compulsory)) p.seconds = NAN;
    return p;
}
