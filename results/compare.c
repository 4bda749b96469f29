#include "results/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    REPLICATES = 2000,
    WITHIN = 64,       /* resampled medians kept of each process */
    POOLED_POINTS = 8, /* that say together how noisy a point is */
    MEASURED_DF = 8,   /* five processes a side show their noise; fewer do not */
    SEED = 0x626c726f, /* any number: the same stream for every point */
};
static const double NORMAL_95 = 1.959964, NORMAL_997 = 2.967738;
/* False alarms a comparison; fewer where the noise is only stated, for that may be too little. */
static const double FAMILY_ERROR = 0.01, FAMILY_ERROR_STATED = 0.001;
/* The ratio of two readings of an H200's clock under its power cap: its standard deviation. */
static const double UNSTEADY_CLOCK = 0.08;
static const double MAD_TO_DEVIATION = 1.4826; /* of a normal distribution */
static const double BYTES_SHARE = 0.02, BYTES_FLOOR = 65536;

compare_rules_t compare_defaults(void) {
    return (compare_rules_t){.threshold = 0.02, .noise = 0.03, .floor_us = 0.2, .looks = 1};
}

const char *verdict_name(verdict_t verdict) {
    static const char *const names[] = {"SAME", "FASTER", "INCONCLUSIVE", "SLOWER"};
    return names[verdict];
}

double noise_deviation(double noise) {
    return log1p(noise) / (NORMAL_95 * M_SQRT2);
}

/* ---- one point ---- */

/* The median of all differences new - base. */
static double shift_of(const double *base, int base_len, const double *new, int new_len,
                       double *scratch) {
    int n = 0;
    for (int i = 0; i < new_len; i++)
        for (int j = 0; j < base_len; j++) scratch[n++] = new[i] - base[j];
    return median_value(scratch, n);
}

typedef struct {
    double shift, deviation; /* of the log ratio; the deviation as the bootstrap has it */
    double low, high;        /* bootstrap quantiles of its error */
    double df;               /* of what the noise is known by; 0 if it is stated */
    int apart;               /* 1: NEW's processes rank as slower, -1: as faster; else 0 */
    double clock_shift, clock_deviation; /* of the clocks' log ratio, NAN if unknown */
    bool clock_wobbles; /* single readings of an unsteady clock: the deviation is of all such */
} estimate_t;

/* What estimating a point takes; sized for the largest. */
typedef struct {
    double *level[2], *value[2]; /* of each process */
    double *within[2];           /* [process][WITHIN] */
    double *residuals, *pairs, *samples, *replicates;
} scratch_t;

static double log_interval_deviation(const trial_t *t) {
    const double sd = log(t->ci_high_us / t->ci_low_us) / (2 * NORMAL_95);
    return isfinite(sd) ? sd : 0;
}

double resampled_deviation(const trial_t *t, random_t *r, double *scratch) {
    if (t->samples_len == 0) return log_interval_deviation(t) * random_normal(r);
    memcpy(scratch, t->samples, (size_t)t->samples_len * sizeof *scratch);
    const double median = median_value(scratch, t->samples_len);
    for (int i = 0; i < t->samples_len; i++)
        scratch[i] = t->samples[random_index(r, t->samples_len)];
    const double deviation = log(median_value(scratch, t->samples_len) / median);
    return isfinite(deviation) ? deviation : 0;
}

/* Inflated so that their mean square has the expectation of the variance. */
static int residuals_of(const double *level, int len, double *scratch, double *out) {
    if (len < 2) return 0;
    memcpy(scratch, level, (size_t)len * sizeof *scratch);
    const double centre = median_value(scratch, len), inflate = sqrt((double)len / (len - 1));
    for (int i = 0; i < len; i++) out[i] = (level[i] - centre) * inflate;
    return len;
}

/*
 * 1 if new's processes rank as slower, -1 if as faster, where chance would put processes of the
 * same kind so far apart 3 times in 1000 (Mann & Whitney 1947, its normal approximation). Of too
 * few for that none may lie between those of the other side.
 */
static int ranked_apart(const double *base, int base_len, const double *new, int new_len) {
    const double pairs = (double)base_len * new_len;
    const double deviation = sqrt(pairs * (base_len + new_len + 1) / 12);
    double above = 0; /* pairs with new above base, beyond half of them */
    for (int i = 0; i < new_len; i++)
        for (int j = 0; j < base_len; j++) above += (new[i] > base[j]) - 0.5 * (new[i] != base[j]);
    if (fabs(above) < fmin(NORMAL_997 * deviation, pairs / 2)) return 0;
    return above > 0 ? 1 : -1;
}

/* Without residuals the processes differ by the stated deviation. */
static double bootstrap_once(const timed_pair_t *p, const scratch_t *s, int residuals_len,
                             double stated, random_t *r) {
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < p->len[side]; i++) {
            const double process = residuals_len > 0 ? s->residuals[random_index(r, residuals_len)]
                                                     : stated * random_normal(r);
            s->value[side][i] = process + s->within[side][i * WITHIN + random_index(r, WITHIN)];
        }
    return shift_of(s->value[0], p->len[0], s->value[1], p->len[1], s->pairs);
}

/* What turns the deviation of a process into that of a ratio. */
static double replication(const timed_pair_t *p) {
    return sqrt(1.0 / p->len[0] + 1.0 / p->len[1]);
}

/* Of the clocks' log ratio; the shift is NAN if a clock is not known. */
static void estimate_clocks(const timed_pair_t *p, const scratch_t *s, estimate_t *e) {
    double squares = 0;
    int residuals_len = 0;
    bool steady = true;
    e->clock_shift = NAN;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < p->len[side]; i++) {
            const trial_t *t = &p->trials[side][i];
            if (!(t->sm_clock_mhz > 0)) return;
            s->level[side][i] = log(t->sm_clock_mhz);
            steady = steady && t->clock_steady;
        }
        residuals_len +=
            residuals_of(s->level[side], p->len[side], s->pairs, s->residuals + residuals_len);
    }
    for (int i = 0; i < residuals_len; i++) squares += s->residuals[i] * s->residuals[i];
    e->clock_shift = shift_of(s->level[0], p->len[0], s->level[1], p->len[1], s->pairs);
    e->clock_deviation = e->df > 0 ? sqrt(squares / residuals_len) * replication(p) : 0;
    e->clock_wobbles = e->df == 0 && !steady;
}

/* `stated` is the deviation of a process where the processes are too few to show it. */
static void estimate(const timed_pair_t *p, double stated, const scratch_t *s, estimate_t *e) {
    random_t r = {SEED};
    int residuals_len = 0;
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < p->len[side]; i++) {
            s->level[side][i] = log(p->trials[side][i].time_us);
            for (int k = 0; k < WITHIN; k++)
                s->within[side][i * WITHIN + k] =
                    resampled_deviation(&p->trials[side][i], &r, s->samples);
        }
        residuals_len +=
            residuals_of(s->level[side], p->len[side], s->pairs, s->residuals + residuals_len);
    }
    const int df = p->len[0] + p->len[1] - 2;
    e->df = df >= MEASURED_DF ? df : 0;
    e->shift = shift_of(s->level[0], p->len[0], s->level[1], p->len[1], s->pairs);
    e->apart = ranked_apart(s->level[0], p->len[0], s->level[1], p->len[1]);
    double squares = 0;
    for (int i = 0; i < REPLICATES; i++) {
        s->replicates[i] = bootstrap_once(p, s, e->df > 0 ? residuals_len : 0, stated, &r);
        squares += s->replicates[i] * s->replicates[i];
    }
    e->deviation = sqrt(squares / REPLICATES);
    e->low = select_kth(s->replicates, REPLICATES, REPLICATES / 40);
    e->high = select_kth(s->replicates, REPLICATES, REPLICATES - 1 - REPLICATES / 40);
    estimate_clocks(p, s, e);
}

static void scratch_free(scratch_t *s) {
    for (int side = 0; side < 2; side++) {
        free(s->level[side]);
        free(s->value[side]);
        free(s->within[side]);
    }
    free(s->residuals);
    free(s->pairs);
    free(s->samples);
    free(s->replicates);
}

static bool scratch_alloc(const timed_pair_t *pairs, int count, scratch_t *s) {
    size_t processes = 1, samples = 1, products = 1;
    for (int i = 0; i < count; i++) {
        for (int side = 0; side < 2; side++) {
            const size_t len = (size_t)pairs[i].len[side];
            processes = len > processes ? len : processes;
            for (size_t k = 0; k < len; k++) {
                const size_t n = (size_t)pairs[i].trials[side][k].samples_len;
                samples = n > samples ? n : samples;
            }
        }
        const size_t product = (size_t)pairs[i].len[0] * (size_t)pairs[i].len[1];
        products = product > products ? product : products;
    }
    bool complete = true;
    for (int side = 0; side < 2; side++) {
        s->level[side] = malloc(processes * sizeof(double));
        s->value[side] = malloc(processes * sizeof(double));
        s->within[side] = malloc(processes * WITHIN * sizeof(double));
        complete = complete && s->level[side] && s->value[side] && s->within[side];
    }
    s->residuals = malloc(2 * processes * sizeof(double));
    s->pairs = malloc((products > processes ? products : processes) * sizeof(double));
    s->samples = malloc(samples * sizeof(double));
    s->replicates = malloc(REPLICATES * sizeof(double));
    return complete && s->residuals && s->pairs && s->samples && s->replicates;
}

/* ---- verdicts ---- */

static bool same_trial(const trial_t *a, const trial_t *b) {
    return a->time_us == b->time_us && a->samples_len == b->samples_len &&
           (a->samples_len == 0 ||
            !memcmp(a->samples, b->samples, (size_t)a->samples_len * sizeof *a->samples));
}

/* One measurement given twice: there is no difference to judge. */
static bool same_data(const timed_pair_t *p) {
    if (p->len[0] != p->len[1]) return false;
    for (int i = 0; i < p->len[0]; i++)
        if (!same_trial(&p->trials[0][i], &p->trials[1][i])) return false;
    return true;
}

/* direction 1 for slower, -1 for faster: true unless the cycles, within what their clocks are known
 * by, stay below the threshold. */
static bool cycles_agree(const timed_pair_t *p, const compare_rules_t *rules, double deviation,
                         int direction) {
    if (isnan(p->cycles_ratio)) return true;
    return direction * log(p->cycles_ratio) + NORMAL_95 * deviation > log1p(rules->threshold);
}

/* Of Student's t with df degrees of freedom: for one point, and for all points at once. */
typedef struct {
    double df, one, all;
} quantiles_t;

/* True if most processes of one side were disturbed and not of the other. */
static bool disturbed_alone(const timed_pair_t *p, int side) {
    int disturbed[2] = {0};
    for (int k = 0; k < 2; k++)
        for (int i = 0; i < p->len[k]; i++) disturbed[k] += p->trials[k][i].disturbed;
    return 2 * disturbed[side] > p->len[side] && 2 * disturbed[!side] <= p->len[!side];
}

/* All but the verdict: its numbers. Returns the half width of the interval for all points. */
static double describe(const estimate_t *e, double deviation, const quantiles_t *quantiles,
                       timed_pair_t *p, const scratch_t *s) {
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < p->len[side]; i++) s->value[side][i] = p->trials[side][i].time_us;
        p->time_us[side] = median_value(s->value[side], p->len[side]);
    }
    const double wider = e->deviation > 0 ? deviation / e->deviation : 1;
    const double t = wider * quantiles->one / NORMAL_95;
    p->ratio = exp(e->shift);
    p->ci_low = exp(e->shift - t * e->high);
    p->ci_high = exp(e->shift - t * e->low);
    return deviation * quantiles->all;
}

/* Proven in one direction: 1 slower, -1 faster; else 0, with the reason if all but one thing held.
 */
static int proven(const timed_pair_t *p, const compare_rules_t *rules, const estimate_t *e,
                  double family_half, const char **reason) {
    const int direction = p->ratio > 1 ? 1 : -1;
    const double clear = direction > 0 ? log(p->ci_low) : -log(p->ci_high);
    if (clear <= log1p(rules->threshold)) return 0;
    if (fabs(p->time_us[1] - p->time_us[0]) < rules->floor_us) return 0;
    if (fabs(log(p->ratio)) <= family_half) {
        *reason = "clear of this point's noise, but not among so many points";
        return 0;
    }
    if (e->apart != direction) {
        *reason = "processes of one side lie among those of the other";
        return 0;
    }
    if (!cycles_agree(p, rules, e->clock_deviation, direction)) {
        *reason = "the SM clock changed: cycles do not show it";
        return 0;
    }
    if (disturbed_alone(p, direction > 0 ? SIDE_NEW : SIDE_BASE)) {
        *reason =
            direction > 0 ? "other load or heat slowed NEW" : "other load or heat slowed BASE";
        return 0;
    }
    return direction;
}

static void judge(const estimate_t *e, double deviation, const quantiles_t *quantiles,
                  const compare_rules_t *rules, timed_pair_t *p, const scratch_t *s) {
    const char *reason = "the interval is too wide to tell";
    const double family_half = describe(e, deviation, quantiles, p, s);
    const double margin = rules->threshold + rules->noise;
    p->cycles_ratio = exp(e->shift + e->clock_shift);
    const int direction = proven(p, rules, e, family_half, &reason);
    const double up_us = (p->ci_high - 1) * p->time_us[0];
    const double down_us = (1 - p->ci_low) * p->time_us[0];
    const bool not_slower = p->ci_high <= 1 + margin || up_us <= rules->floor_us;
    const bool not_faster = p->ci_low >= 1 / (1 + margin) || down_us <= rules->floor_us;
    p->verdict = direction > 0                                ? VERDICT_SLOWER
                 : direction < 0                              ? VERDICT_FASTER
                 : (not_slower && not_faster) || same_data(p) ? VERDICT_SAME
                                                              : VERDICT_INCONCLUSIVE;
    p->may_be_slower = p->verdict == VERDICT_INCONCLUSIVE && !not_slower;
    p->reason = p->verdict == VERDICT_INCONCLUSIVE ? reason : "";
}

/* ---- all points ---- */

/* The median over the points whose noise was measured; 0 if they are too few to learn from. */
static double median_deviation(const timed_pair_t *pairs, const estimate_t *estimates, int count,
                               double *scratch) {
    int n = 0;
    for (int i = 0; i < count; i++)
        if (estimates[i].df > 0) scratch[n++] = estimates[i].deviation / replication(&pairs[i]);
    return n >= POOLED_POINTS ? median_value(scratch, n) : 0;
}

/*
 * How far single readings of unsteady clocks lie from what happened to all points: the robust
 * deviation of their shifts. Too few points say nothing; then it is as on an H200.
 */
static void spread_clocks(estimate_t *estimates, int count, double *scratch) {
    int n = 0;
    for (int i = 0; i < count; i++)
        if (estimates[i].clock_wobbles) scratch[n++] = estimates[i].clock_shift;
    const double centre = median_value(scratch, n);
    for (int i = 0; i < n; i++) scratch[i] = fabs(scratch[i] - centre);
    const double spread = MAD_TO_DEVIATION * median_value(scratch, n);
    for (int i = 0; i < count; i++)
        if (estimates[i].clock_wobbles)
            estimates[i].clock_deviation = n >= POOLED_POINTS ? spread : UNSTEADY_CLOCK;
}

static void estimate_all(timed_pair_t *pairs, int count, double stated, estimate_t *estimates,
                         bool *complete) {
#pragma omp parallel
    {
        scratch_t s = {0};
        const bool ready = scratch_alloc(pairs, count, &s);
#pragma omp critical
        *complete = *complete && ready;
#pragma omp for schedule(dynamic, 8)
        for (int i = 0; i < count; i++)
            if (ready) estimate(&pairs[i], stated, &s, &estimates[i]);
        scratch_free(&s);
    }
}

status_t compare_times(const compare_rules_t *rules, timed_pair_t *pairs, int count) {
    if (count == 0) return STATUS_OK;
    bool complete = true;
    scratch_t s = {0};
    estimate_t *estimates = calloc((size_t)count, sizeof *estimates);
    double *deviations = malloc((size_t)count * sizeof *deviations);
    status_t st = STATUS_OK;
    /* Few processes may still show that the stated noise is too small here. */
    const double base = compare_noise(pairs, count, SIDE_BASE);
    const double new = compare_noise(pairs, count, SIDE_NEW);
    const double stated = noise_deviation(fmax(rules->noise, fmax(base, new)));
    const bool ready = estimates && deviations && scratch_alloc(pairs, count, &s);
    if (ready) estimate_all(pairs, count, stated, estimates, &complete);
    if (!ready || !complete) {
        st = fail(STATUS_OOM, "out of host memory for the comparison");
        goto cleanup;
    }
    const double median = median_deviation(pairs, estimates, count, deviations);
    spread_clocks(estimates, count, deviations);
    /* A point that is quiet by luck counts as the median point, which is known far better: so the
     * noise is known by more than a point's own processes. */
    quantiles_t quantiles = {.df = -1};
    for (int i = 0; i < count; i++) {
        const estimate_t *e = &estimates[i];
        const bool pooled = median > 0 && e->df > 0;
        const double df = e->df * (pooled ? 2 : 1);
        const double error = df > 0 ? FAMILY_ERROR : FAMILY_ERROR_STATED;
        const double family_tail = error / ((double)count * rules->looks);
        if (quantiles.df != df)
            quantiles =
                (quantiles_t){df, student_quantile(0.025, df), student_quantile(family_tail, df)};
        const double deviation =
            pooled ? fmax(e->deviation, median * replication(&pairs[i])) : e->deviation;
        judge(e, deviation, &quantiles, rules, &pairs[i], &s);
    }
cleanup:
    scratch_free(&s);
    free(estimates);
    free(deviations);
    return st;
}

double compare_noise(const timed_pair_t *pairs, int count, int side) {
    double *noises = malloc((size_t)(count > 0 ? count : 1) * sizeof *noises);
    int n = 0;
    for (int i = 0; noises && i < count; i++) {
        const int len = pairs[i].len[side];
        double mean = 0, squares = 0;
        for (int k = 0; k < len; k++) mean += log(pairs[i].trials[side][k].time_us) / len;
        for (int k = 0; k < len; k++) {
            const double r = log(pairs[i].trials[side][k].time_us) - mean;
            squares += r * r;
        }
        if (len >= 2) noises[n++] = expm1(sqrt(squares / (len - 1)) * NORMAL_95 * M_SQRT2);
    }
    const double noise = median_value(noises, n);
    free(noises);
    return noise;
}

/* ---- what does not vary ---- */

static int range(const double *values, int len, double *low, double *high) {
    int known = 0;
    for (int i = 0; i < len; i++) {
        if (isnan(values[i])) continue;
        *low = known ? fmin(*low, values[i]) : values[i];
        *high = known ? fmax(*high, values[i]) : values[i];
        known++;
    }
    return known;
}

change_t compare_exact(exact_rule_t rule, const double *base, int base_len, const double *new,
                       int new_len) {
    double base_low = 0, base_high = 0, new_low = 0, new_high = 0;
    if (!range(base, base_len, &base_low, &base_high) || !range(new, new_len, &new_low, &new_high))
        return CHANGE_NONE;
    const double share = rule == EXACT_NEARLY ? BYTES_SHARE : 0;
    const double least = rule == EXACT_NEARLY ? BYTES_FLOOR : 0;
    const bool more = new_low > base_high * (1 + share) && new_low > base_high + least;
    const bool fewer = new_high * (1 + share) < base_low && new_high + least < base_low;
    if (more) return CHANGE_WORSE;
    if (fewer) return rule == EXACT_EQUAL ? CHANGE_WORSE : CHANGE_BETTER;
    return CHANGE_NONE;
}
