/* Whole models: passes and their operators, as tables and as a picture. */
#ifndef BLROOF_MODEL_PASSES_H
#define BLROOF_MODEL_PASSES_H

#include "plots/page.h"
#include "plots/report_sheet.h"

/* What may be compared: the passes of one model, phase, size, dtype and device. */
typedef struct {
    const model_row_t *first; /* its first pass */
    char title[2 * TEXT_LEN];
} model_group_t;

/* The models of a report, whose rows are borrowed, in the order of its files. */
typedef struct {
    const report_t *r;
    model_group_t *groups;
    int groups_len;
} passes_t;

/* Without groups where the report has no models. STATUS_OOM. */
status_t passes_open(const report_t *report, passes_t *out);
void passes_close(passes_t *passes);

/* True if the pass is of the group; true if the operator belongs to the pass. */
bool passes_in_group(const model_group_t *group, const model_row_t *pass);
bool passes_belongs(const model_layer_row_t *layer, const model_row_t *pass);
bool passes_ok(const model_row_t *pass);

/* Each group as a table for a terminal. */
void passes_print(const passes_t *passes, FILE *out);

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
model_part_t passes_part(const passes_t *passes, const model_group_t *group,
                         const model_layer_row_t *layer);

/*
 * The section of the page: pictures, and for each group the passes, Amdahl's law and where the time
 * of each pass goes. Where there are no models it says how to measure them.
 */
status_t write_passes(page_t *page, const report_t *report, const figures_t *figures);
/* Writes what the pictures show and lists them; the sheet's section is FIGURE_MODELS. */
status_t passes_prepare(const sheet_t *sheet);

#endif
