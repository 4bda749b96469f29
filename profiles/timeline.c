#include "profiles/timeline.h"

#include <math.h>
#include <stdlib.h>

static int by_start(const void *a, const void *b) {
    const activity_t *x = a, *y = b;
    if (x->start_us != y->start_us) return x->start_us < y->start_us ? -1 : 1;
    return (x->end_us > y->end_us) - (x->end_us < y->end_us);
}

double timeline_share(activity_t *activities, int len, int steps, double *us) {
    for (int i = 0; i < steps; i++) us[i] = 0;
    if (len == 0) return 0;
    qsort(activities, (size_t)len, sizeof *activities, by_start);
    double at = activities[0].start_us; /* all before it has been given away */
    for (int i = 0; i < len; i++) {
        const activity_t *a = &activities[i];
        if (a->end_us <= at) continue;
        us[a->step] += a->end_us - fmax(a->start_us, at);
        at = a->end_us;
    }
    return at - activities[0].start_us;
}
