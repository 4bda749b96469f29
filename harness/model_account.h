/* Where the time of a pass goes: rows of model_layers.csv from the times of its steps. */
#ifndef BLROOF_MODEL_ACCOUNT_H
#define BLROOF_MODEL_ACCOUNT_H

#include "harness/layer_times.h"
#include "harness/network.h"
#include "results/schema.h"
#include "roofline/roofline.h"

/* What one step asks of the device, and its time. */
typedef struct {
    double in_model_us, alone_us; /* NAN where unknown */
    const variant_t *variant;     /* as it is named; NULL for a pointwise operator */
} step_time_t;

/*
 * Rows of all steps, those of one label, variant and shape together, and what the latency has
 * beyond them: "launch", the launch_us of a pass that launches nothing (where it takes any), and
 * "gaps". `pass` gives the cells that all rows share. *rows is freed by the
 * caller. *accounted_pct is the share of the latency that the steps explain; NAN, as their cells,
 * where their times inside are.
 */
status_t account_rows(const network_t *network, const step_time_t *times, double launch_us,
                      const model_row_t *pass, const roof_ceilings_t *ceilings,
                      model_layer_row_t **rows, int *rows_len, double *accounted_pct);

double step_flops(const step_t *step);

/*
 * Seconds that the ceilings allow one step at least, and the bound. Weights, and keys and values of
 * the past, come from DRAM unless those of the whole model fit the last-level cache; activations
 * only as far as they exceed it. *dram_bytes and *bytes are of one launch: the least at DRAM, and
 * all it touches.
 */
roof_t step_roof(const network_t *network, const step_t *step, const roof_ceilings_t *ceilings,
                 double *dram_bytes, double *bytes);

#endif
