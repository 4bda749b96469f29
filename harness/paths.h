/* Where the files that come with the program are. */
#ifndef BLROOF_PATHS_H
#define BLROOF_PATHS_H

/*
 * The directory that holds harness/workloads: BLROOF_ROOT if that is set, else the nearest one
 * above the running program (<root>/build/blroof, <root>/bin/blroof). "." if there is none. The
 * text is valid until the next call.
 */
const char *blroof_root(void);

#endif
