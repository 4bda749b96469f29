/* Whose time is it: intervals on one time line, which may overlap, and the steps they belong to. */
#ifndef BLROOF_TIMELINE_H
#define BLROOF_TIMELINE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A kernel, copy or fill; nanoseconds from any origin. */
typedef struct {
    uint64_t start_ns, end_ns;
    int step;
} activity_t;

/*
 * Gives each instant between the first start and the last end to one activity, and adds up the
 * microseconds of each of `steps` steps in us[]: to the one that began first of those running, so
 * that a kernel which is launched early and waits counts from the end of the one before it; and
 * where none runs, to the next that does, for whose start it is the wait. Sorts the activities.
 */
void timeline_share(activity_t *activities, int len, int steps, double *us);

#ifdef __cplusplus
}
#endif
#endif
