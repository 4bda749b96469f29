/* Joins the shards of a sweep into one run directory. */
#ifndef BLROOF_MERGE_H
#define BLROOF_MERGE_H

#include "harness/status.h"

/*
 * Writes the run directory `out` from those of all shards of one sweep: every point of their
 * sweep.csv once, in its order; samples and ceilings by shard; rows keep the run_id of their shard.
 * Facts of run.csv that differ stand side by side. STATUS_USAGE, before anything is written: shards
 * of other sweeps, by other commits or on other models of device; points that are missing or there
 * twice, which are named on stderr; an `out` that holds a run.
 */
status_t merge_runs(const char *const *dirs, int dirs_len, const char *out);

#endif
