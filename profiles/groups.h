/*
 * Counter groups: which hardware metrics make up which number, one text file a chip family in
 * profiles/groups/. A line is empty, a comment (#), or one of
 *
 *     chips GA102 GA104
 *     LEVEL METRIC FACTOR [NOTE]
 *
 * chips has the names of CUPTI, once. The metrics of a level are multiplied by their factors and
 * added up; a level without metrics is unknown on these chips.
 */
#ifndef BLROOF_GROUPS_H
#define BLROOF_GROUPS_H

#include "harness/status.h"
#include "profiles/counters.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { GROUP_CHIPS = 16, GROUP_METRICS = 32, METRIC_LEN = 96, CHIP_LEN = 16 };

typedef struct {
    int level; /* see group_level_name() */
    char name[METRIC_LEN];
    double factor; /* bytes or FLOPs a count */
    char note[128];
} group_metric_t;

typedef struct {
    char name[32], path[512]; /* "GH100", of GH100.txt */
    char chips[GROUP_CHIPS][CHIP_LEN];
    group_metric_t metrics[GROUP_METRICS];
    int chips_len, metrics_len;
} counter_group_t;

/* What can be told of a group on a chip without the chip. */
typedef struct {
    bool missing[GROUP_METRICS];
    int missing_len;
    int passes; /* how often a launch must be repeated to count all; 0 with a missing metric */
} group_check_t;

/* STATUS_USAGE "PATH:LINE: ..." if the file is malformed, STATUS_IO if it cannot be read. */
status_t group_read(const char *path, counter_group_t *out);

/*
 * Every *.txt of `folder` (NULL: profiles/groups of this program) by name; the caller frees *out.
 * Also STATUS_USAGE when two groups cover one chip, STATUS_ENVIRONMENT when there is no group.
 */
status_t groups_read(const char *folder, counter_group_t **out, int *count);

/* The group that covers `chip`; STATUS_UNSUPPORTED if there is none. */
status_t group_find(const char *chip, counter_group_t *out);

const char *group_level_name(int level); /* "dram_read"; NULL past the last */

/* Adds up the values of the group's metrics, in its order, into *out; NAN for levels without. */
void group_counts(const counter_group_t *group, const double *values, counts_t *out);

/* Asks the counter library about one chip; no GPU is needed. STATUS_ENVIRONMENT if it is not
 * installed, STATUS_UNSUPPORTED if it does not know the chip. */
status_t counters_check(const counter_group_t *group, const char *chip, group_check_t *out);

#ifdef __cplusplus
}
#endif
#endif
