/*
 * Two sides of recorded runs, matched point by point and judged: what `blroof compare` decides.
 *
 * A side is a run directory, or a directory whose sub-directories are the runs of one process each.
 * For each side a point has what each process measured of it.
 */
#ifndef BLROOF_COMPARISON_H
#define BLROOF_COMPARISON_H

#include "results/compare.h"
#include "results/schema.h"

/* Quantities that do not vary from process to process; each has its rule. */
#define EXACT_QUANTITIES(Q)                                                                        \
    Q(flops, EXACT_EQUAL, "algorithmic FLOPs")                                                     \
    Q(flops_measured, EXACT_NOT_MORE, "executed FLOPs")                                            \
    Q(dram_read_bytes, EXACT_NEARLY, "bytes read from DRAM")                                       \
    Q(l2_bytes, EXACT_NEARLY, "bytes at the L2")                                                   \
    Q(bytes_model, EXACT_NOT_MORE, "modelled bytes")                                               \
    Q(kernels, EXACT_NOT_MORE, "kernels launched")

#define EXACT_INDEX(column, rule, text) QUANTITY_##column,
enum { EXACT_QUANTITIES(EXACT_INDEX) QUANTITIES };
#undef EXACT_INDEX

typedef struct {
    const char *column, *text;
    exact_rule_t rule;
} quantity_t;
extern const quantity_t EXACT_QUANTITY[QUANTITIES];

/* What one process has of a point; status is NULL where it has no row. */
typedef struct {
    const char *status, *reason, *plan, *throttle, *gpu; /* gpu: "" where it has no uuid */
    double time_us, ci_low_us, ci_high_us, sm_clock_mhz;
    double exact[QUANTITIES];
    double *samples;
    int samples_len;
} measured_t;

typedef enum {
    POINT_COMPARED,
    POINT_MISSING, /* ok in BASE, not in NEW at all */
    POINT_ADDED,   /* the other way round */
    POINT_BROKEN,  /* not ok in NEW, and was in BASE; or wrong in NEW and not in BASE */
    POINT_MENDED,  /* ok in NEW, and was not in BASE */
    POINT_NOT_OK,  /* on neither side: nothing to compare */
    POINT_STATES,
} point_state_t;

/* Texts live as long as the comparison. */
typedef struct {
    const char *workload, *layer, *structure, *variant, *dtype, *cache;
    double tokens, in_features, out_features, blocks, rank;
    measured_t *of[2]; /* [processes of the side] */
    point_state_t state;
    timed_pair_t time;  /* verdict and numbers of a POINT_COMPARED */
    trial_t *trials[2]; /* behind it; NULL where the point is not compared */
    change_t changes[QUANTITIES];
    bool regression; /* slower, wrong, or a change for the worse */
} compared_t;

typedef struct {
    char path[1024];
    run_row_t *facts;
    int facts_len;
} process_t;

typedef struct {
    const char *path; /* as it was given */
    process_t *processes;
    int len;
} side_t;

/* A condition that differs, so that a difference of times need not come from the code. */
typedef struct {
    const char *name;
    char of[2][TEXT_LEN]; /* "unknown" where a run does not tell */
} difference_t;

enum { MAX_DIFFERENCES = 32 };

typedef struct {
    side_t sides[2];
    compare_rules_t rules;
    difference_t differences[MAX_DIFFERENCES];
    int differences_len;
    compared_t *points; /* in the order of BASE, then those only in NEW */
    int points_len;
    bool several_dtypes; /* so that names need theirs */
    /* the whole */
    verdict_t verdict;
    int regressions;        /* points that are one */
    int unsure;             /* points that may be slower */
    int verdicts[VERDICTS]; /* of the compared points */
    int states[POINT_STATES];
    int other_gpus;     /* compared points that NEW measured on a GPU that BASE did not */
    double mean_ratio;  /* geometric, of the compared times; NAN if there are none */
    double noise;       /* as compare_noise() found it in BASE */
    void *texts, *keys; /* tsearch trees of texts, and of the points by key */
} comparison_t;

/*
 * Reads both sides and finds in what their machines differ. STATUS_IO or STATUS_USAGE where a
 * directory holds no run, a file is malformed or no point is in both. STATUS_ENVIRONMENT, naming
 * the differences, where there are any, unless `force`; then points that differ in dtype or cache
 * state alone are matched. Nothing is left to free on failure.
 */
status_t comparison_load(const char *base, const char *new, const compare_rules_t *rules,
                         bool force, comparison_t *out);
void comparison_free(comparison_t *comparison);

/* Judges every point and the whole, where SLOWER stands for any regression. */
status_t comparison_judge(comparison_t *comparison);

/* A fact of a side's first process; "" if unknown. */
const char *side_fact(const side_t *side, const char *key);
/* The first process's row of the point that is not ok, or else the first; NULL if there is none. */
const measured_t *point_row(const comparison_t *comparison, const compared_t *point, int side);
/* Median over the processes that have the quantity; NAN if none has. */
double point_quantity(const comparison_t *comparison, const compared_t *point, int side,
                      int quantity);

/* ---- null comparisons: a side with itself ---- */

typedef struct {
    int comparisons, alarms, inconclusive; /* the alarms ended SLOWER */
    long points, verdicts[VERDICTS];
    double noise; /* the largest compare_noise() of them */
} null_rate_t;

/*
 * `count` comparisons of BASE with itself: each side has as many processes as in the comparison,
 * drawn at random from those of BASE, and their samples are resampled; a single process is spread
 * by the stated noise. Times only: nothing else varies. STATUS_OOM.
 */
status_t comparison_null(const comparison_t *comparison, int count, null_rate_t *rate);
/* One of real processes that has been judged. */
void null_add(null_rate_t *rate, const comparison_t *comparison);

#endif
