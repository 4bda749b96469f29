#include "profiles/timeline.h"

#include <stdlib.h>

static int by_start(const void *a, const void *b) {
    const activity_t *x = a, *y = b;
    if (x->start_ns != y->start_ns) return x->start_ns < y->start_ns ? -1 : 1;
    return (x->end_ns > y->end_ns) - (x->end_ns < y->end_ns);
}

void timeline_share(activity_t *activities, int len, int steps, double *us) {
    for (int i = 0; i < steps; i++) us[i] = 0;
    if (len == 0) return;
    qsort(activities, (size_t)len, sizeof *activities, by_start);
    uint64_t at = activities[0].start_ns; /* all before it has been given away */
    for (int i = 0; i < len; i++) {
        const activity_t *a = &activities[i];
        if (a->end_ns <= at) continue;
        us[a->step] += (double)(a->end_ns - at) * 1e-3;
        at = a->end_ns;
    }
}
