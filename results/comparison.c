#include "results/comparison.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/throttle.h"

#define EXACT_ENTRY(column, rule, text) {#column, text, rule},
const quantity_t EXACT_QUANTITY[QUANTITIES] = {EXACT_QUANTITIES(EXACT_ENTRY)};
#undef EXACT_ENTRY

static bool is_ok(const measured_t *m) {
    return m && !strcmp(m->status, "ok");
}

const measured_t *point_row(const comparison_t *c, const compared_t *p, int side) {
    const measured_t *first = NULL;
    for (int k = 0; k < c->sides[side].len; k++) {
        const measured_t *m = &p->of[side][k];
        if (!m->status) continue;
        if (!is_ok(m)) return m;
        if (!first) first = m;
    }
    return first;
}

double point_quantity(const comparison_t *c, const compared_t *p, int side, int quantity) {
    double *values = malloc((size_t)c->sides[side].len * sizeof *values);
    int n = 0;
    for (int k = 0; values && k < c->sides[side].len; k++) {
        const measured_t *m = &p->of[side][k];
        if (m->status && !isnan(m->exact[quantity])) values[n++] = m->exact[quantity];
    }
    const double median = median_value(values, n);
    free(values);
    return median;
}

/* ---- one point ---- */

static bool is_wrong(const measured_t *m) {
    return m && (!strcmp(m->status, "mismatch") || !strcmp(m->status, "error"));
}

static point_state_t state_of(const measured_t *base, const measured_t *new) {
    if (is_wrong(new) && !(base && !strcmp(base->status, new->status))) return POINT_BROKEN;
    if (is_ok(base) && is_ok(new)) return POINT_COMPARED;
    if (is_ok(base)) return new ? POINT_BROKEN : POINT_MISSING;
    if (is_ok(new)) return base ? POINT_MENDED : POINT_ADDED;
    return POINT_NOT_OK;
}

/* A power cap changes the clock all the time; so do heat and the board's own brakes. */
static bool clock_steady(const char *throttle) {
    return !strstr(throttle, "cap") && !strstr(throttle, "thermal") && !strstr(throttle, "hw_");
}

/* The processes that have a time, as compare_times() takes them. */
static status_t gather_trials(const comparison_t *c, compared_t *p) {
    for (int side = 0; side < 2; side++) {
        trial_t *trials = calloc((size_t)c->sides[side].len, sizeof *trials);
        if (!trials) return fail(STATUS_OOM, "out of host memory for the comparison");
        free(p->trials[side]);
        p->trials[side] = trials;
        p->time.trials[side] = trials;
        p->time.len[side] = 0;
        for (int k = 0; k < c->sides[side].len; k++) {
            const measured_t *m = &p->of[side][k];
            if (!m->status || !(m->time_us > 0)) continue;
            trials[p->time.len[side]++] = (trial_t){.time_us = m->time_us,
                                                    .ci_low_us = m->ci_low_us,
                                                    .ci_high_us = m->ci_high_us,
                                                    .samples = m->samples,
                                                    .samples_len = m->samples_len,
                                                    .sm_clock_mhz = m->sm_clock_mhz,
                                                    .clock_steady = clock_steady(m->throttle),
                                                    .disturbed = throttle_disturbs(m->throttle)};
        }
    }
    return STATUS_OK;
}

static bool is_timed(const compared_t *p) {
    return p->state == POINT_COMPARED && p->time.len[0] > 0 && p->time.len[1] > 0;
}

/* `values` has room for the processes of both sides. */
static void compare_quantities(const comparison_t *c, compared_t *p, double *values) {
    for (int q = 0; q < QUANTITIES; q++) {
        double *of[2] = {values, values + c->sides[0].len};
        for (int side = 0; side < 2; side++)
            for (int k = 0; k < c->sides[side].len; k++)
                of[side][k] = p->of[side][k].status ? p->of[side][k].exact[q] : NAN;
        p->changes[q] =
            compare_exact(EXACT_QUANTITY[q].rule, of[0], c->sides[0].len, of[1], c->sides[1].len);
        /* What pays is no regression, unless it is another problem. */
        const bool pays = p->time.ci_high < 1 && is_timed(p);
        if (p->changes[q] == CHANGE_WORSE && (!pays || EXACT_QUANTITY[q].rule == EXACT_EQUAL))
            p->regression = true;
    }
}

/* ---- all points ---- */

/* The timed points, judged together; their answers go back to where they came from. */
static status_t judge_times(comparison_t *c) {
    timed_pair_t *pairs = malloc(((size_t)c->points_len + 1) * sizeof *pairs);
    if (!pairs) return fail(STATUS_OOM, "out of host memory for the comparison");
    int count = 0;
    for (int i = 0; i < c->points_len; i++)
        if (is_timed(&c->points[i])) pairs[count++] = c->points[i].time;
    const status_t st = compare_times(&c->rules, pairs, count);
    c->noise = compare_noise(pairs, count, SIDE_BASE);
    count = 0;
    for (int i = 0; st == STATUS_OK && i < c->points_len; i++)
        if (is_timed(&c->points[i])) c->points[i].time = pairs[count++];
    free(pairs);
    return st;
}

/* True if NEW has a time of a GPU that BASE has none of. */
static bool other_gpu(const comparison_t *c, const compared_t *p) {
    for (int k = 0; k < c->sides[SIDE_NEW].len; k++) {
        const measured_t *new = &p->of[SIDE_NEW][k];
        bool known = !new->status || !*new->gpu;
        for (int j = 0; j < c->sides[SIDE_BASE].len && !known; j++) {
            const measured_t *base = &p->of[SIDE_BASE][j];
            known = base->status && (!*base->gpu || !strcmp(base->gpu, new->gpu));
        }
        if (!known) return true;
    }
    return false;
}

/* A missing point may hide anything, so it leaves the whole open. */
static void judge_whole(comparison_t *c) {
    double logs = 0;
    int timed = 0;
    for (int i = 0; i < c->points_len; i++) {
        const compared_t *p = &c->points[i];
        c->regressions += p->regression;
        if (p->state != POINT_COMPARED) continue;
        c->verdicts[p->time.verdict]++;
        c->unsure += p->time.may_be_slower;
        if (!is_timed(p)) continue;
        c->other_gpus += other_gpu(c, p);
        logs += log(p->time.ratio);
        timed++;
    }
    c->mean_ratio = timed > 0 ? exp(logs / timed) : NAN;
    c->verdict = c->regressions > 0                         ? VERDICT_SLOWER
                 : c->unsure + c->states[POINT_MISSING] > 0 ? VERDICT_INCONCLUSIVE
                 : c->verdicts[VERDICT_FASTER] > 0          ? VERDICT_FASTER
                                                            : VERDICT_SAME;
}

status_t comparison_judge(comparison_t *c) {
    double *values = malloc((size_t)(c->sides[0].len + c->sides[1].len) * sizeof *values);
    status_t st = STATUS_OK;
    if (!values) return fail(STATUS_OOM, "out of host memory for the comparison");
    for (int i = 0; i < c->points_len; i++) {
        compared_t *p = &c->points[i];
        p->state = state_of(point_row(c, p, SIDE_BASE), point_row(c, p, SIDE_NEW));
        c->states[p->state]++;
        c->several_dtypes = c->several_dtypes || strcmp(p->dtype, c->points[0].dtype) != 0;
        if (p->state == POINT_COMPARED) TRY(gather_trials(c, p));
        if (p->state == POINT_COMPARED && !is_timed(p)) {
            p->time.verdict = VERDICT_INCONCLUSIVE;
            p->time.may_be_slower = true;
            p->time.reason = "a time is missing";
        }
    }
    TRY(judge_times(c));
    for (int i = 0; i < c->points_len; i++) {
        compared_t *p = &c->points[i];
        p->regression = p->state == POINT_BROKEN ||
                        (p->state == POINT_COMPARED && p->time.verdict == VERDICT_SLOWER);
        if (p->state == POINT_COMPARED) compare_quantities(c, p, values);
    }
    judge_whole(c);
cleanup:
    free(values);
    return st;
}

/* ---- null comparisons ---- */

static void count_verdicts(null_rate_t *rate, const timed_pair_t *pairs, int count) {
    bool alarm = false, open = false;
    for (int i = 0; i < count; i++) {
        rate->verdicts[pairs[i].verdict]++;
        alarm = alarm || pairs[i].verdict == VERDICT_SLOWER;
        open = open || pairs[i].may_be_slower;
    }
    rate->points += count;
    rate->comparisons++;
    rate->alarms += alarm;
    rate->inconclusive += !alarm && open;
}

void null_add(null_rate_t *rate, const comparison_t *c) {
    rate->comparisons++;
    rate->alarms += c->verdict == VERDICT_SLOWER;
    rate->inconclusive += c->verdict == VERDICT_INCONCLUSIVE;
    for (int v = 0; v < VERDICTS; v++) {
        rate->verdicts[v] += c->verdicts[v];
        rate->points += c->verdicts[v];
    }
    rate->noise = rate->comparisons == 1 ? c->noise : fmax(rate->noise, c->noise);
}

/* A process like those of BASE: one of them, its samples resampled. */
static void draw_trial(const timed_pair_t *from, int which, double spread, random_t *r,
                       double *scratch, trial_t *out) {
    *out = from->trials[SIDE_BASE][which % from->len[SIDE_BASE]];
    out->time_us *= exp(resampled_deviation(out, r, scratch) + spread * random_normal(r));
}

typedef struct {
    const timed_pair_t **from; /* the timed points */
    int count, len[2];         /* and the processes a side */
    timed_pair_t *pairs;
    trial_t *trials;
    double *scratch;
} null_draw_t;

/* Whole processes are drawn: what one did to all points stays together. */
static void draw_sides(const null_draw_t *n, int processes, double spread, random_t *r) {
    trial_t *next = n->trials;
    for (int i = 0; i < n->count; i++) {
        n->pairs[i] = (timed_pair_t){.len = {n->len[0], n->len[1]}};
        for (int side = 0; side < 2; side++) {
            n->pairs[i].trials[side] = next;
            next += n->len[side];
        }
    }
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < n->len[side]; k++) {
            const int which = random_index(r, processes);
            for (int i = 0; i < n->count; i++) {
                trial_t *trial =
                    n->trials + (size_t)i * (n->len[0] + n->len[1]) + (side ? n->len[0] : 0) + k;
                draw_trial(n->from[i], which, spread, r, n->scratch, trial);
            }
        }
}

static int most_samples(const comparison_t *c) {
    int most = 1;
    for (int i = 0; i < c->points_len; i++)
        for (int k = 0; k < c->sides[SIDE_BASE].len; k++) {
            const int len = c->points[i].of[SIDE_BASE][k].samples_len;
            most = len > most ? len : most;
        }
    return most;
}

status_t comparison_null(const comparison_t *c, int count, null_rate_t *rate) {
    const int processes = c->sides[SIDE_BASE].len;
    const size_t points = (size_t)c->points_len;
    null_draw_t n = {.len = {processes, c->sides[SIDE_NEW].len}};
    random_t r = {(uint64_t)count};
    status_t st = STATUS_OK;
    n.from = malloc(points * sizeof(const void *));
    n.pairs = malloc(points * sizeof *n.pairs);
    n.trials = malloc(points * (size_t)(n.len[0] + n.len[1]) * sizeof *n.trials);
    n.scratch = malloc((size_t)most_samples(c) * sizeof *n.scratch);
    if (!n.from || !n.pairs || !n.trials || !n.scratch) {
        st = fail(STATUS_OOM, "out of host memory for the comparison");
        goto cleanup;
    }
    for (int i = 0; i < c->points_len; i++)
        if (is_timed(&c->points[i])) n.from[n.count++] = &c->points[i].time;
    for (int i = 0; i < count; i++) {
        draw_sides(&n, processes, processes > 1 ? 0 : noise_deviation(c->rules.noise), &r);
        TRY(compare_times(&c->rules, n.pairs, n.count));
        count_verdicts(rate, n.pairs, n.count);
    }
    rate->noise = c->noise;
cleanup:
    free(n.from);
    free(n.pairs);
    free(n.trials);
    free(n.scratch);
    return st;
}
