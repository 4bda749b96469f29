/* Workloads: named lists of layers, read from CSV files (harness/workloads/README.md). */
#ifndef BLROOF_WORKLOAD_H
#define BLROOF_WORKLOAD_H

#include "harness/list.h"
#include "kernels/operator.h"
#include "results/schema.h"

/*
 * One layer at one size. A problem the mathematics does not allow (structure->validate) is kept, so
 * that it shows as an unsupported point. problem.dtype means nothing here. Where the structure does
 * not use them, blocks is 1 and rank is 0; an empty context is that of its tokens.
 */
typedef struct {
    const char *layer; /* "model/layer" */
    const structure_t *structure;
    problem_t problem;
} workload_entry_t;

typedef struct {
    char name[TEXT_LEN]; /* the file's name without directory and .csv */
    workload_entry_t *entries;
    int count;
    char **layers; /* owns the texts of entries[].layer */
    int layer_count;
} workload_t;

/*
 * Lists that take the place of the file's; NULL members leave them. A structure that takes blocks 0
 * (rank 0) has no use for blocks (rank), so the list does not apply to it.
 */
typedef struct {
    const int_list_t *tokens, *blocks, *rank;
} workload_lists_t;

/*
 * Loads a workload by name, from <root>/harness/workloads/<name>.csv, or by path (it has a / or
 * ends in .csv). Each line becomes the cross product of its lists, rank fastest; duplicates are
 * dropped. `lists` may be NULL. STATUS_USAGE: no such workload (the message lists them), more than
 * 1e6 entries, or a malformed file, as "PATH:LINE:COLUMN: ...". On failure *out is empty.
 */
status_t workload_load(const char *name_or_path, const workload_lists_t *lists, workload_t *out);
void workload_free(workload_t *workload);

/* Visits the names of the workloads that come with the program, in alphabetical order. */
status_t workload_names(void (*visit)(void *ctx, const char *name), void *ctx);

#endif
