/* What a report shows: the rows of a run directory, grouped, each compared with dense. */
#ifndef BLROOF_REPORT_MODEL_H
#define BLROOF_REPORT_MODEL_H

#include <stdbool.h>
#include <stdio.h>

#include "results/csv_table.h"
#include "roofline/roofline.h"

enum { LABEL_LEN = 2 * TEXT_LEN };

/* Points that may be compared and share one roofline. Texts point into rows. */
typedef struct {
    const char *device, *dtype, *cache; /* device: "cuda:all" where it is of several */
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
    int dense;             /* the layer of this size that holds a dense row; -1 without one */
    int from, rows;        /* its rows are sorted[from ...] of the report */
} layer_t;

/* A (structure, variant): one colour a structure, one marker a variant. */
typedef struct {
    const char *structure, *variant;
    char label[LABEL_LEN]; /* "blast/fused" */
    bool peer;             /* of another tool */
    unsigned rgb;
    int point_type; /* of gnuplot; hollow for a peer */
} series_t;

/* Where a row belongs. */
typedef struct {
    int section, layer, series;
    bool ok;
    bool peer;    /* a timing of another tool */
    bool current; /* not superseded by a later row of the same point */
    int dense;    /* the fastest dense row of this size that is ok, of the same GPU if there is one
                     of it; -1 if there is none */
    bool crossed; /* that one is of another GPU */
    double speedup; /* its time over ours; NAN where either is missing */
} place_t;

typedef struct {
    char dir[1024];
    point_row_t *points;
    place_t *places; /* of the points, in their order */
    int *sorted;     /* points by layer, series and tokens; the current one first */
    int points_len;
    int own_len;              /* points of the run itself; those behind are of another tool */
    char peer_file[TEXT_LEN]; /* where they come from; "" without them */
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
    bool split;    /* layers are told apart by blocks and rank */
    bool together; /* sections are of several devices, among which the points were shared out */
    model_row_t *models;
    int models_len;
    model_layer_row_t *model_layers;
    int model_layers_len;
} report_t;

/* STATUS_IO or STATUS_USAGE, and nothing to free, when points.csv is empty or malformed, or is
 * missing where there are no models either: a run of models alone has no points and no sections. */
status_t report_load(const char *run_dir, report_t *report);
void report_free(report_t *report);
/* The same of rows that are copied; at least one point. STATUS_OOM. */
status_t report_of_rows(const point_row_t *points, int points_len, const ceiling_row_t *ceilings,
                        int ceilings_len, const run_row_t *facts, int facts_len, report_t *report);

/* From the rows to everything else, again. STATUS_OOM. */
status_t report_arrange(report_t *report);
/* The part of it that gathers the series and gives each a colour and a marker. STATUS_OOM. */
status_t report_place_series(report_t *report);
void report_forget_places(report_t *report);
/* Adds rows that are no part of the run, and arranges all of them again. STATUS_OOM. */
status_t report_append(report_t *report, const point_row_t *points, int count);
/*
 * Adds the timings of another tool (columns of PEER_TABLE) to the layers of the same size, as
 * variants called "METHOD (STEM)" of FILE's stem; they never are the dense that others are compared
 * with. The CUDA-graph time counts, else the other one. STATUS_USAGE "PATH:LINE:COLUMN: ..." for a
 * method that names no structure, or a file that is malformed or empty.
 */
status_t report_add_peer(report_t *report, const char *path);

/* The value of a key of run.csv; "" if it is not there. */
const char *report_fact(const report_t *report, const char *key);
/* True for a device whose rows are of this section. */
bool report_on(const report_t *report, int section, const char *device);
/* "NVIDIA H200 (cuda:0)"; the bare id where run.csv has no name for it. */
void report_device(const report_t *report, const char *device, char *buffer, size_t len);
/* The current row of a layer, series and token count; -1 if there is none. */
int report_find(const report_t *report, int layer, int series, double tokens);
/* The token counts of a layer in rising order; returns how many, at most points_len. */
int report_tokens(const report_t *report, int layer, double *tokens);
/* What a reader who points at row i is told, as a field of tab-separated values: layer, size,
 * variant, time and its interval, speedup, roof, origin. */
void report_tell(const report_t *report, int i, FILE *out);
int report_count_ok(const report_t *report); /* points of the run itself */
bool is_dense(const point_row_t *row);
/* True if hardware counters saw the DRAM traffic of this row. */
bool is_counted(const point_row_t *row);
/* A unit of ceilings.csv in SI units: bytes/s, FLOP/s, s; NAN for one that is not known. */
double report_unit(const char *unit);
/* report_console() of a report that is loaded. */
status_t report_print(const report_t *report, FILE *out);
/* The ceilings of a section's device for a matrix_dtype; "": for the section's dtype. */
roof_ceilings_t report_ceilings(const report_t *report, int section, const char *matrix_dtype);

#endif
