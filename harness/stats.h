/* Order statistics of timed samples. */
#ifndef BLROOF_STATS_H
#define BLROOF_STATS_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * ci_low..ci_high is the distribution-free 95 % interval of the median: the narrowest symmetric
 * pair of order statistics whose binomial(n, 1/2) coverage is at least 95 % (David & Nagaraja,
 * "Order Statistics", 7.1). Fewer than 6 samples cannot give 95 %: then it is the whole range.
 */
typedef struct {
    int count;
    double median, min, q1, q3, ci_low, ci_high;
} summary_t;

/* All NAN for count 0. Does not change samples. */
summary_t stats_summary(const double *samples, int count);

#ifdef __cplusplus
}
#endif
#endif
