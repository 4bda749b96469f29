/* Which part of a sweep this process is to measure. */
#ifndef BLROOF_SHARD_H
#define BLROOF_SHARD_H

#include "harness/status.h"

typedef struct {
    int index, count; /* this is shard `index` of `count`, from 0 */
} shard_t;

/*
 * "I/N", or "auto": what the launcher says. The rank is Open MPI's, that of a PMI launcher (MPICH,
 * Intel MPI) or srun's; each task of a Slurm job array takes as many shards as it has ranks.
 * STATUS_USAGE if there is no launcher, or its variables make no sense.
 */
status_t shard_parse(const char *text, shard_t *out);

#endif
