/* Whole models: passes and their operators, as tables and as a picture. */
#ifndef BLROOF_REPORT_MODELS_H
#define BLROOF_REPORT_MODELS_H

#include "results/csv_table.h"

/* The rows of a run, in the order of the files. */
typedef struct {
    model_row_t *passes;
    model_layer_row_t *layers;
    int passes_len, layers_len;
} models_t;

/* All empty, and STATUS_OK, where the run holds no models. */
status_t models_read(const char *run_dir, models_t *out);
void models_free(models_t *models);

/* True if the operator belongs to the pass. */
bool models_belongs(const model_layer_row_t *layer, const model_row_t *pass);
/* "prefill, 384 tokens", "decode after 384 tokens, batch 32" */
void models_phase_text(const model_row_t *pass, char *out, size_t len);

#endif
