/* Running gnuplot, without a shell. */
#ifndef BLROOF_GNUPLOT_H
#define BLROOF_GNUPLOT_H

#include <sys/types.h>

#include "harness/status.h"

/* One that was started and not waited for. */
typedef struct {
    pid_t pid;
    int complaints; /* what it prints comes here */
    char script[1400];
} gnuplot_t;

/*
 * `gnuplot -d -c script arguments...` (NULL ends them; at most 9 are seen by the script).
 * STATUS_ENVIRONMENT if it is not installed; there is nothing to wait for then.
 */
status_t gnuplot_start(const char *script, const char *const *arguments, gnuplot_t *out);
/* STATUS_ENVIRONMENT with the first line it printed if it failed. */
status_t gnuplot_wait(const gnuplot_t *gnuplot);

#endif
