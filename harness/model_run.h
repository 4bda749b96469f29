/* Whole models: each wanted structure of each description is run, timed and accounted for. */
#ifndef BLROOF_MODEL_RUN_H
#define BLROOF_MODEL_RUN_H

#include "harness/list.h"
#include "harness/model.h"
#include "harness/run.h"
#include "harness/safetensors.h"
#include "harness/worker.h"

/* NULL lists are those of the description. */
typedef struct {
    const char *structures; /* of linear layers; also "mixed" */
    const char *variants;   /* NULL is "best": the fastest of each layer */
    const char *phases;
    const int_list_t *tokens, *batches;
    dtype_t dtype;
    double budget_s; /* timing seconds a pass */
    const safetensors_t *weights;
    uint64_t seed;
} model_options_t;

typedef struct {
    int ok, unsupported, mismatch, oom, error, disturbed;
} model_counts_t;

/* STATUS_USAGE if a name in the option lists is not known for this device. */
status_t models_check_options(const model_options_t *options, const model_t *models, int models_len,
                              device_kind_t kind);

/*
 * Measures into the run: the worker measures the ceilings and ends, and each pass opens its device
 * again in a process of its own. STATUS_IO when a row cannot be written, STATUS_INTERRUPTED on
 * Ctrl-C: the rows so far are on disk.
 */
status_t models_run(run_t *run, worker_t *worker, const model_t *models, int models_len,
                    const model_options_t *options, model_counts_t *counts);

#endif
