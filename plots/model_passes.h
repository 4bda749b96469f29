/* Whole models: passes and their operators, as tables and as a picture. */
#ifndef BLROOF_MODEL_PASSES_H
#define BLROOF_MODEL_PASSES_H

#include <stdio.h>

#include "plots/report_figures.h"
#include "results/csv_table.h"

/* What may be compared: the passes of one model, phase, size, dtype and device. */
typedef struct {
    const model_row_t *first; /* its first pass */
    char title[2 * TEXT_LEN];
} model_group_t;

/* The rows of a run, in the order of the files. */
typedef struct {
    model_row_t *passes;
    model_layer_row_t *layers;
    model_group_t *groups;
    ceiling_row_t *ceilings;
    int passes_len, layers_len, groups_len, ceilings_len;
} passes_t;

/* All empty, and STATUS_OK, where the run holds no models. */
status_t passes_read(const char *run_dir, passes_t *out);
void passes_free(passes_t *models);
/* True if the run holds models and no points. */
bool passes_alone(const passes_t *models, const char *run_dir);

/* True if the pass is of the group; true if the operator belongs to the pass. */
bool passes_in_group(const model_group_t *group, const model_row_t *pass);
bool passes_belongs(const model_layer_row_t *layer, const model_row_t *pass);
bool passes_ok(const model_row_t *pass);

/* Each group as a table for a terminal. */
void passes_print(const passes_t *models, FILE *out);

/* What the pictures tell apart. */
typedef enum {
    PART_REPLACED, /* linear layers that some structure of the group replaces */
    PART_LINEAR,
    PART_ATTENTION,
    PART_NORM,
    PART_ACTIVATION,
    PART_OTHER,
    PART_GAPS,
    PART_COUNT
} model_part_t;
const char *passes_part_name(model_part_t part);
model_part_t passes_part(const passes_t *models, const model_group_t *group,
                         const model_layer_row_t *layer);

/*
 * The tables as dir/<name>, with the pictures in `figures` that are of models; `notice` says what
 * is missing from them.
 */
status_t write_passes_md(const passes_t *models, const char *dir, const char *name,
                         const figures_t *figures, const char *notice);
/* Writes what the pictures show to dir/data/ and lists them. */
status_t passes_prepare(const passes_t *models, const char *dir, figures_t *figures);

#endif
