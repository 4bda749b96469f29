/* Running gnuplot, without a shell. */
#ifndef BLROOF_GNUPLOT_H
#define BLROOF_GNUPLOT_H

#include "harness/status.h"

/*
 * `gnuplot -d -c script arguments...` (NULL ends them; at most 9 are seen by the script). Waits for
 * it. STATUS_ENVIRONMENT if it is not installed, or with the first line it printed if it fails.
 */
status_t gnuplot_run(const char *script, const char *const *arguments);

#endif
