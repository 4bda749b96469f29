#include "harness/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between order statistics (Hyndman & Fan's type 7). */
static double quantile(const double *sorted, int count, double p) {
    const double at = p * (count - 1);
    const int low = (int)at;
    if (low + 1 >= count) return sorted[count - 1];
    return sorted[low] + (at - low) * (sorted[low + 1] - sorted[low]);
}

/* Largest j (from 1) with P(j <= Binomial(n, 1/2) <= n - j) >= 95 %, or 0. */
static int median_rank(int n) {
    const double log_half_n = -n * log(2.0);
    double tail = 0; /* P(B < j) */
    for (int j = 0; j < n / 2; j++) {
        tail += exp(lgamma(n + 1.0) - lgamma(j + 1.0) - lgamma(n - j + 1.0) + log_half_n);
        if (1 - 2 * tail < 0.95) return j;
    }
    return n / 2;
}

summary_t stats_summary(const double *samples, int count) {
    summary_t s = {0, NAN, NAN, NAN, NAN, NAN, NAN};
    double *sorted = count > 0 ? malloc((size_t)count * sizeof *sorted) : NULL;
    if (!sorted) return s;
    memcpy(sorted, samples, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, compare);
    const int rank = median_rank(count);
    s.count = count;
    s.median = quantile(sorted, count, 0.5);
    s.min = sorted[0];
    s.q1 = quantile(sorted, count, 0.25);
    s.q3 = quantile(sorted, count, 0.75);
    s.ci_low = sorted[rank > 0 ? rank - 1 : 0];
    s.ci_high = sorted[rank > 0 ? count - rank : count - 1];
    free(sorted);
    return s;
}
