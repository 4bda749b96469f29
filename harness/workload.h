/* Workloads: named lists of layers, read from CSV files (results/schema.h, WORKLOAD_COLUMNS). */
#ifndef BLROOF_WORKLOAD_H
#define BLROOF_WORKLOAD_H

#include "harness/list.h"
#include "kernels/operator.h"
#include "results/schema.h"

typedef struct {
    char layer[TEXT_LEN]; /* "model/layer" */
    const char *structure;
    problem_t problem; /* its dtype is set by the sweep */
} workload_entry_t;

typedef struct {
    char name[TEXT_LEN];
    workload_entry_t *entries;
    int count, capacity;
} workload_t;

/*
 * Loads a file (a path with a '/' or ending in .csv) or harness/workloads/<name>.csv, and expands
 * its lists in file order: tokens outermost, then blocks, then rank. tokens, blocks and rank, where
 * given, replace those of the file; blocks and rank only where the file's row has them. Entries
 * that stand twice are dropped; those that the mathematics does not allow are kept, to become rows
 * `unsupported`. STATUS_USAGE names file, line and column.
 */
status_t workload_load(const char *name_or_path, const int_list_t *tokens, const int_list_t *blocks,
                       const int_list_t *rank, workload_t *out);
void workload_free(workload_t *workload);

/* Visits the names on file, sorted. */
status_t workload_names(void (*visit)(void *ctx, const char *name), void *ctx);

#endif
