/* One line on stderr that says how far a sweep is and how long it still takes; silent off a
 * terminal. */
#ifndef BLROOF_PROGRESS_H
#define BLROOF_PROGRESS_H

#include <stdbool.h>

typedef struct {
    int total, done;
    double start_s;
    bool terminal;
} progress_t;

progress_t progress_begin(int total);
/* Shows `what` as the piece now under way. */
void progress_show(const progress_t *progress, const char *what);
void progress_clear(const progress_t *progress);

#endif
