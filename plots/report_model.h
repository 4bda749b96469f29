/* What a report shows: the rows of a run directory, grouped, each compared with dense. */
#ifndef BLROOF_REPORT_MODEL_H
#define BLROOF_REPORT_MODEL_H

#include <stdbool.h>

#include "results/csv_table.h"
#include "roofline/roofline.h"

enum { LABEL_LEN = 2 * TEXT_LEN };

/* Points that may be compared and share one roofline. Texts point into rows. */
typedef struct {
    const char *device, *dtype, *cache;
} section_t;

/*
 * A layer of a section. Where the run holds several (blocks, rank) of one variant at the same size,
 * each pair is a layer of its own, so that no point hides another; `base` is then what they share.
 */
typedef struct {
    int section, base;
    const point_row_t *first;
    char label[LABEL_LEN]; /* unique in its section */
    int tokens_len;        /* how many token counts have a row */
} layer_t;

/* A (structure, variant): one colour a structure, one marker a variant. */
typedef struct {
    const char *structure, *variant;
    char label[LABEL_LEN]; /* "blast/fused" */
    unsigned rgb;
    int point_type; /* of gnuplot */
} series_t;

/* Where a row belongs. */
typedef struct {
    int section, layer, series;
    int mate, next; /* points of its layer's base and tokens: the first, and the one after; or -1 */
    bool ok;
    bool current;   /* not superseded by a later row of the same point */
    int dense;      /* the fastest dense row of this size that is ok; -1 if there is none */
    double speedup; /* its time over ours; NAN where either is missing */
} place_t;

typedef struct {
    char dir[1024];
    point_row_t *points;
    place_t *places; /* of the points, in their order */
    int points_len;
    ceiling_row_t *ceilings;
    int ceilings_len;
    run_row_t *facts;
    int facts_len;
    section_t *sections;
    int sections_len;
    layer_t *layers;
    int layers_len;
    series_t *series; /* dense, lowrank, monarch, blast, then by name */
    int series_len;
    bool split; /* layers are told apart by blocks and rank */
} report_t;

/* STATUS_IO or STATUS_USAGE, and nothing to free, when points.csv is missing, empty or malformed.
 */
status_t report_load(const char *run_dir, report_t *report);
void report_free(report_t *report);

/* The value of a key of run.csv; "" if it is not there. */
const char *report_fact(const report_t *report, const char *key);
/* "NVIDIA H200 (cuda:0)"; the bare id where run.csv has no name for it. */
void report_device(const report_t *report, const char *device, char *buffer, size_t len);
/* The current row of a layer, series and token count; -1 if there is none. */
int report_find(const report_t *report, int layer, int series, double tokens);
/* The token counts of a layer in rising order; returns how many, at most points_len. */
int report_tokens(const report_t *report, int layer, double *tokens);
int report_count_ok(const report_t *report);
bool is_dense(const point_row_t *row);
/* True if hardware counters saw the DRAM traffic of this row. */
bool is_counted(const point_row_t *row);
/* A unit of ceilings.csv in SI units: bytes/s, FLOP/s, s; NAN for one that is not known. */
double report_unit(const char *unit);
/* The ceilings of a section's device for its dtype. */
roof_ceilings_t report_ceilings(const report_t *report, int section);

#endif
