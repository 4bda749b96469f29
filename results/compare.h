/*
 * Two versions of the same points, told apart through noise: pure statistics, no I/O.
 *
 * The unit of replication is the process: times within one process agree far better than those of
 * two processes of the same code. The ratio new/base of a point is the median of the ratios of all
 * (new, base) pairs of processes (Hodges & Lehmann, "Estimates of Location Based on Rank Tests",
 * 1963); with one process a side that is the ratio of the medians. Its 95 % interval is a two-level
 * bootstrap on the log scale: processes differ by residuals drawn from those of both sides, and
 * each process's median by resampling its samples. It is expanded as Hesterberg, "What Teachers
 * Should Know About the Bootstrap", 2015, does for few processes (Student's t); a point
 * counts as at least as noisy as the median point, for among many some seem quiet by luck. Where
 * the processes are too few to show their noise, the stated noise takes the place of residuals.
 *
 *   SLOWER        the interval lies above 1 + threshold, and 1 is outside of what holds for all
 *                 points at once (Bonferroni: 1 % false alarms a comparison, 0.1 % where the noise
 *                 is only stated); the change is at least floor_us; the processes of both sides,
 *                 ranked by time, lie further apart than chance puts them 3 times in 1000 (Mann &
 *                 Whitney, "On a Test of Whether One of Two Random Variables Is Stochastically
 *                 Larger than the Other", 1947), for where some processes are disturbed and others
 *                 not the bootstrap knows too little; SM cycles (time x clock) do not exclude it;
 *                 and not NEW alone was disturbed
 *   FASTER        the same below 1 / (1 + threshold)
 *   SAME          the interval lies within threshold + noise of 1, or its ends within floor_us
 *   INCONCLUSIVE  else
 */
#ifndef BLROOF_COMPARE_H
#define BLROOF_COMPARE_H

#include <stdbool.h>

#include "harness/status.h"
#include "results/sampling.h"

typedef enum {
    VERDICT_SAME,
    VERDICT_FASTER,
    VERDICT_INCONCLUSIVE,
    VERDICT_SLOWER,
    VERDICTS,
} verdict_t;
const char *verdict_name(verdict_t verdict); /* "SAME", ... */

enum { SIDE_BASE, SIDE_NEW };

/* What two processes of the same code may differ by was between 1 and 3 % on an H200. */
typedef struct {
    double threshold; /* a change up to this is of no matter: 0.02 is 2 % */
    double noise;     /* 95 % of pairs of processes of the same code differ by less */
    double floor_us;  /* nor is a change below this */
    int looks;        /* how often the comparison may be looked at before it is decided */
} compare_rules_t;
compare_rules_t compare_defaults(void); /* 2 %, 3 %, 0.2 us, 1 */

/* One process's timing of a point. */
typedef struct {
    double time_us;               /* its median, above 0 */
    double ci_low_us, ci_high_us; /* 95 % interval of that; for where there are no samples */
    const double *samples;
    int samples_len;
    double sm_clock_mhz; /* NAN if unknown */
    bool clock_steady;   /* false under a power cap, where one reading of the clock says little */
    bool disturbed;      /* by other load or by heat */
} trial_t;

typedef struct {
    const trial_t *trials[2]; /* of SIDE_BASE and SIDE_NEW, at least one each */
    int len[2];
    /* what comes out */
    verdict_t verdict;
    bool may_be_slower;            /* INCONCLUSIVE, and a slowdown that matters is not excluded */
    double time_us[2];             /* medians over the processes */
    double ratio, ci_low, ci_high; /* new over base */
    double cycles_ratio;           /* NAN if a clock is not known */
    const char *reason;            /* of an INCONCLUSIVE; "" else */
} timed_pair_t;

/* Judges all points of a comparison together. The same input gives the same answer. STATUS_OOM. */
status_t compare_times(const compare_rules_t *rules, timed_pair_t *pairs, int count);

/*
 * Noise between processes of one side as pairs of them show it: what 95 % of the pairs differ by
 * less than, median over the points with at least two processes on that side; NAN if there are
 * none.
 */
double compare_noise(const timed_pair_t *pairs, int count, int side);

/* ---- what does not vary ---- */

typedef enum {
    EXACT_EQUAL,    /* another value is another problem */
    EXACT_NOT_MORE, /* less is an improvement */
    EXACT_NEARLY,   /* the same, with 2 % and 64 KiB allowed */
} exact_rule_t;

typedef enum { CHANGE_NONE, CHANGE_BETTER, CHANGE_WORSE } change_t;

/*
 * Compares a quantity as each process has it (NAN where it does not). To count as changed all
 * processes of NEW must lie beyond all of BASE. CHANGE_NONE where a side has no value.
 */
change_t compare_exact(exact_rule_t rule, const double *base, int base_len, const double *new,
                       int new_len);

/* ---- for resampled comparisons ---- */

/* The standard deviation of a process's log time for which `noise` is as above. */
double noise_deviation(double noise);
/* log(median of resampled samples / median), once. */
double resampled_deviation(const trial_t *trial, random_t *r, double *scratch);

#endif
