/*
 * A run directory: everything one invocation measured, written as it is measured.
 * run.csv and ceilings.csv appear whole (renamed into place); points.csv, samples.csv, models.csv
 * and model_layers.csv grow by complete rows, and a row that could not be written whole is taken
 * back.
 */
#ifndef BLROOF_RUN_H
#define BLROOF_RUN_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/run_files.h"
#include "profiles/counters.h"

typedef struct {
    char path[1024];
    char run_id[TEXT_LEN];
    lock_t lock;
    FILE *points, *samples;
    FILE *models, *model_layers;
    int points_len;      /* rows on file */
    int64_t samples_len; /* that those rows say they have */
    void *done;          /* the points that are in points.csv (a tsearch tree) */
    bool by_device;      /* each device has rows of its own for every point (--pin-point) */
} run_t;

/*
 * Makes the directory and run.csv (which says how the counters opened, unless they are NULL), or
 * opens one that holds only ceilings of the same device, or, with resume, one that was interrupted
 * (torn last rows are cut off). STATUS_USAGE if path holds another run, of another device, host or
 * commit, or another process writes there.
 */
status_t run_open(const char *path, device_t *device, const counters_t *counters, bool resume,
                  run_t *out);
void run_close(run_t *run);

/* The facts that are new with every run: run_id, utc and argv, in this order. */
void run_new_facts(fact_t fact, void *ctx);

/*
 * Notes in run.csv how many points the run has when its sweep is at its end, so that one that was
 * cut short is known by its directory. STATUS_IO where it cannot be written; run.csv is as it was.
 */
status_t run_note_points(run_t *run, int points);

/* Called for each ceiling of the device: those on file, else measured now and filed. */
status_t run_ceilings(run_t *run, device_t *device, void (*visit)(void *, const ceiling_t *),
                      void *ctx);

/*
 * Files sweep.csv, the `count` points that describe() names, of all shards together. STATUS_USAGE
 * if there is one of other points or other shards already.
 */
status_t run_file_plan(run_t *run, int count, void (*describe)(void *, int i, point_row_t *),
                       void *ctx);

/* What makes two rows the same point, as text. */
enum { POINT_KEY_LEN = 2048 };
void point_key(const point_row_t *row, char key[POINT_KEY_LEN]);

/* Opens points.csv and samples.csv for appending. */
status_t run_open_points(run_t *run);
bool run_has_point(const run_t *run, const point_row_t *row);
/* The device that measured it; NULL if none has. */
const char *run_point_device(const run_t *run, const point_row_t *row);
/* Files the point and its raw times; they are on the disk when it returns. */
status_t run_add_point(run_t *run, const point_row_t *row, const double *samples, int samples_len);

/* Opens models.csv and model_layers.csv; STATUS_USAGE if the run holds models already. */
status_t run_open_models(run_t *run);
/* Files the operators of a pass, and then the pass. */
status_t run_add_model(run_t *run, const model_row_t *row, const model_layer_row_t *layers,
                       int layers_len);

int run_count_points(const run_t *run); /* that are on file */
/* Passes each row of points.csv to visit(). */
status_t run_read_points(const run_t *run, row_visit_t visit, void *ctx);
/*
 * Replaces points.csv by itself, each row as visit() leaves it; a failing visit ends it, and the
 * file stays as it was.
 */
status_t run_update_points(run_t *run, status_t (*visit)(void *, point_row_t *), void *ctx);

#endif
