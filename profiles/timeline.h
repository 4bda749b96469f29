/* Whose time is it: intervals on one time line, which may overlap, and the steps they belong to. */
#ifndef BLROOF_TIMELINE_H
#define BLROOF_TIMELINE_H

#ifdef __cplusplus
extern "C" {
#endif

/* A kernel, copy or fill; microseconds from any origin. */
typedef struct {
    double start_us, end_us;
    int step;
} activity_t;

/*
 * Gives each instant between the first start and the last end to the activity that began first of
 * those running, adds it up in us[step] of `steps` steps, and sorts the activities by start. A
 * kernel that is launched early and waits for the one before it so counts from the end of that one.
 * Returns the length of the whole; what us[] leaves of it is idle.
 */
double timeline_share(activity_t *activities, int len, int steps, double *us);

#ifdef __cplusplus
}
#endif
#endif
