/* Where the files that come with the program are. */
#ifndef BLROOF_PATHS_H
#define BLROOF_PATHS_H

#include <limits.h>

#include "harness/status.h"

/*
 * The directory that holds harness/workloads: BLROOF_ROOT if that is set, else the nearest one
 * above the running program (<root>/build/blroof, <root>/bin/blroof). "." if there is none. The
 * text is valid until the next call of the same thread.
 */
const char *blroof_root(void);

/*
 * Files of one kind, <root>/harness/<folder>/NAME<suffix>. data_find() takes a NAME, or a path
 * (which has a slash or ends in the suffix), and gives the path of a file that is there;
 * STATUS_USAGE lists the names there are. `what` is what messages call the kind. data_names()
 * visits the names in order.
 */
status_t data_find(const char *folder, const char *suffix, const char *what,
                   const char *name_or_path, char path[PATH_MAX]);
status_t data_names(const char *folder, const char *suffix, void (*visit)(void *ctx, const char *),
                    void *ctx);

#endif
