/* Where blroof's own data files are. */
#ifndef BLROOF_PATHS_H
#define BLROOF_PATHS_H

/*
 * The directory that holds harness/workloads and plots: $BLROOF_ROOT, or the nearest one above the
 * running program (a checkout and an unpacked tarball look alike). "." if there is none.
 */
const char *blroof_root(void);

#endif
