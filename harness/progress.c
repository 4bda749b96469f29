#include "harness/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "harness/timing.h"

progress_t progress_begin(int total) {
    return (progress_t){.total = total, .start_s = now_s(), .terminal = isatty(STDERR_FILENO)};
}

void progress_show(const progress_t *p, const char *what) {
    if (!p->terminal) return;
    char left[32] = "";
    if (p->done > 0) {
        const int s = (int)((now_s() - p->start_s) / p->done * (p->total - p->done) + 0.5);
        snprintf(left, sizeof left, "%d:%02d left", s / 60, s % 60);
    }
    fprintf(stderr, "\r\033[K[%d/%d] %-11s %.70s", p->done + 1, p->total, left, what);
    fflush(stderr);
}

void progress_clear(const progress_t *p) {
    if (!p->terminal) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
}
