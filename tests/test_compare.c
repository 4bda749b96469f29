/* Telling two versions apart: cases worked out by hand, and noise whose truth is known. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "results/compare.h"

#include <cmocka.h> /* last: its fail() is a macro */

enum { SAMPLES = 40, PROCESSES = 7, POINTS = 8, TRIALS = 2 * PROCESSES * POINTS };

static double samples[TRIALS][SAMPLES];
static trial_t trials[TRIALS];
static timed_pair_t pairs[POINTS];

/* ---- resampling ---- */

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void test_medians(void **state) {
    (void)state;
    random_t r = {7};
    for (int count = 1; count <= 60; count++) {
        double values[60], sorted[60];
        for (int i = 0; i < count; i++) sorted[i] = values[i] = random_index(&r, 20);
        qsort(sorted, (size_t)count, sizeof *sorted, compare_doubles);
        const double expected = (sorted[(count - 1) / 2] + sorted[count / 2]) / 2;
        assert_float_equal(median_value(values, count), expected, 0);
        for (int k = 0; k < count; k++)
            assert_float_equal(select_kth(values, count, k), sorted[k], 0);
    }
    assert_true(isnan(median_value(NULL, 0)));
}

/* From the usual tables. */
static void test_student(void **state) {
    (void)state;
    assert_float_equal(student_quantile(0.025, 0), 1.959964, 1e-6);
    assert_float_equal(student_quantile(0.025, 12), 2.178813, 1e-6);
    assert_float_equal(student_quantile(0.005, 8), 3.355387, 1e-6);
    assert_float_equal(student_quantile(0.0005, 24), 3.745399, 1e-6);
    assert_float_equal(student_quantile(0.05, 1), 6.313752, 1e-6);
}

static void test_random(void **state) {
    (void)state;
    random_t r = {1}, again = {1};
    double sum = 0, squares = 0;
    int counts[5] = {0};
    for (int i = 0; i < 50000; i++) {
        const double z = random_normal(&r);
        assert_float_equal(z, random_normal(&again), 0);
        sum += z;
        squares += z * z;
        counts[random_index(&r, 5)]++;
        random_index(&again, 5);
    }
    assert_float_equal(sum / 50000, 0, 0.02);
    assert_float_equal(squares / 50000, 1, 0.03);
    for (int i = 0; i < 5; i++) assert_in_range(counts[i], 9600, 10400);
}

/* ---- cases by hand ---- */

/* One process a side, without samples, timed exactly. */
static timed_pair_t one_each(trial_t of[2], double base_us, double new_us) {
    for (int side = 0; side < 2; side++) {
        const double us = side ? new_us : base_us;
        of[side] = (trial_t){.time_us = us,
                             .ci_low_us = us,
                             .ci_high_us = us,
                             .sm_clock_mhz = NAN,
                             .clock_steady = true};
    }
    return (timed_pair_t){.trials = {&of[0], &of[1]}, .len = {1, 1}};
}

static timed_pair_t judged(trial_t of[2], double base_us, double new_us) {
    const compare_rules_t rules = compare_defaults();
    timed_pair_t pair = one_each(of, base_us, new_us);
    assert_int_equal(compare_times(&rules, &pair, 1), STATUS_OK);
    return pair;
}

/* The stated noise is what 95 % of pairs differ by less than: so that is the interval. */
static void test_single_processes(void **state) {
    (void)state;
    trial_t of[2];
    timed_pair_t p = judged(of, 100, 100);
    assert_int_equal(p.verdict, VERDICT_SAME);
    assert_float_equal(p.ratio, 1, 0);
    assert_float_equal(p.ci_low, 1 / 1.03, 0.002);
    assert_float_equal(p.ci_high, 1.03, 0.002);
    assert_true(isnan(p.cycles_ratio));
    p = judged(of, 100, 110);
    assert_int_equal(p.verdict, VERDICT_SLOWER);
    assert_float_equal(p.ratio, 1.1, 1e-12);
    assert_int_equal(judged(of, 110, 100).verdict, VERDICT_FASTER);
    assert_int_equal(judged(of, 100, 101).verdict, VERDICT_SAME);
    p = judged(of, 100, 104);
    assert_int_equal(p.verdict, VERDICT_INCONCLUSIVE);
    assert_true(p.may_be_slower && *p.reason);
    p = judged(of, 104, 100);
    assert_int_equal(p.verdict, VERDICT_INCONCLUSIVE);
    assert_false(p.may_be_slower);
}

/* A tenth of 1 us is below the floor, and of 3 us above it. */
static void test_floor(void **state) {
    (void)state;
    trial_t of[2];
    assert_int_equal(judged(of, 1, 1.1).verdict, VERDICT_SAME);
    assert_int_equal(judged(of, 3, 3.3).verdict, VERDICT_SLOWER);
}

/* Log ratios of 110, 112, 111 over 100, 101, 102: the fifth of the nine is 111 / 101. */
static void test_ratio_of_several(void **state) {
    (void)state;
    const double us[2][3] = {{100, 101, 102}, {110, 112, 111}};
    const compare_rules_t rules = compare_defaults();
    trial_t of[2][3];
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < 3; i++)
            of[side][i] = (trial_t){.time_us = us[side][i],
                                    .ci_low_us = us[side][i],
                                    .ci_high_us = us[side][i],
                                    .sm_clock_mhz = 1000 + i};
    timed_pair_t p = {.trials = {of[0], of[1]}, .len = {3, 3}};
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_float_equal(p.ratio, 111.0 / 101, 1e-12);
    assert_float_equal(p.cycles_ratio, 111.0 / 101, 1e-12);
    assert_float_equal(p.time_us[0], 101, 0);
    assert_float_equal(p.time_us[1], 111, 0);
    assert_int_equal(p.verdict, VERDICT_SLOWER);
    /* Pairs of BASE: deviation of log(100, 101, 102) times 1.96 sqrt 2. */
    assert_float_equal(compare_noise(&p, 1, SIDE_BASE), expm1(0.00990123 * 1.959964 * M_SQRT2),
                       1e-6);
}

static void test_cycles(void **state) {
    (void)state;
    const compare_rules_t rules = compare_defaults();
    trial_t of[2];
    timed_pair_t p = one_each(of, 100, 120);
    of[0].sm_clock_mhz = 1980;
    of[1].sm_clock_mhz = 1650;
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_float_equal(p.cycles_ratio, 1, 1e-12);
    assert_int_equal(p.verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(p.reason, "clock"));
    of[1].sm_clock_mhz = 1950; /* still 18 % more cycles */
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_int_equal(p.verdict, VERDICT_SLOWER);
    /* Under a power cap one reading is off by up to a third: it clears nobody. */
    of[0].clock_steady = of[1].clock_steady = false;
    of[1].sm_clock_mhz = 1800;
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_int_equal(p.verdict, VERDICT_SLOWER);
}

/* Readings that wobble say little about a point; what they all share is no wobble. */
static void test_unsteady_clocks(void **state) {
    (void)state;
    const compare_rules_t rules = compare_defaults();
    trial_t of[POINTS][2];
    for (int shared = 0; shared < 2; shared++) {
        for (int i = 0; i < POINTS; i++) {
            pairs[i] = one_each(of[i], 100, 120);
            of[i][0].clock_steady = of[i][1].clock_steady = false;
            of[i][0].sm_clock_mhz = 1800;
            of[i][1].sm_clock_mhz = shared ? 1500 : 1800 * (0.8 + 0.05 * i);
        }
        assert_int_equal(compare_times(&rules, pairs, POINTS), STATUS_OK);
        for (int i = 0; i < POINTS; i++)
            assert_int_equal(pairs[i].verdict, shared ? VERDICT_INCONCLUSIVE : VERDICT_SLOWER);
    }
}

static void test_disturbed(void **state) {
    (void)state;
    const compare_rules_t rules = compare_defaults();
    trial_t of[2];
    timed_pair_t p = one_each(of, 100, 150);
    of[1].disturbed = true;
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_int_equal(p.verdict, VERDICT_INCONCLUSIVE);
    assert_non_null(strstr(p.reason, "NEW"));
    of[0].disturbed = true; /* both alike */
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_int_equal(p.verdict, VERDICT_SLOWER);
}

/* Five of NEW's processes were disturbed, none of BASE's: the medians are 50 % apart, and so are
 * processes of NEW. Were all of them slow, it would be NEW. */
static void test_some_processes_disturbed(void **state) {
    (void)state;
    const compare_rules_t rules = compare_defaults();
    double us[2][7] = {{100, 100.2, 99.9, 100.1, 99.8, 100.3, 100},
                       {150, 150.4, 99.9, 149.7, 150.2, 100.1, 149.9}};
    trial_t of[2][7];
    for (int all = 0; all < 2; all++) {
        if (all) us[1][2] = us[1][5] = 150;
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < 7; i++) {
                trial_t single[2];
                one_each(single, us[side][i], us[side][i]);
                of[side][i] = single[0];
            }
        timed_pair_t p = {.trials = {of[0], of[1]}, .len = {7, 7}};
        assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
        assert_float_equal(p.ratio, 1.5, 0.01);
        assert_int_equal(p.verdict, all ? VERDICT_SLOWER : VERDICT_INCONCLUSIVE);
        if (!all) assert_non_null(strstr(p.reason, "lie among"));
    }
}

/* Where processes of a side differ by 12 % evenly, 5 % is too little for seven, not for sixty. */
static void test_many_processes(void **state) {
    (void)state;
    enum { MOST = 60 };
    const compare_rules_t rules = compare_defaults();
    trial_t of[2][MOST];
    for (int many = 0; many < 2; many++) {
        const int len = many ? MOST : 7;
        for (int side = 0; side < 2; side++)
            for (int i = 0; i < len; i++) {
                const double us = (side ? 105 : 100) * (0.94 + 0.12 * i / (len - 1));
                trial_t single[2];
                one_each(single, us, us);
                of[side][i] = single[0];
            }
        timed_pair_t p = {.trials = {of[0], of[1]}, .len = {len, len}};
        assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
        assert_float_equal(p.ratio, 1.05, 0.002);
        assert_int_equal(p.verdict, many ? VERDICT_SLOWER : VERDICT_INCONCLUSIVE);
    }
}

/* However noisy: one measurement given twice has not changed. */
static void test_same_data(void **state) {
    (void)state;
    const compare_rules_t rules = compare_defaults();
    trial_t of[2];
    timed_pair_t p = one_each(of, 100, 100);
    for (int i = 0; i < SAMPLES; i++) samples[0][i] = samples[1][i] = i % 2 ? 60 + i : 140 - i;
    for (int side = 0; side < 2; side++) {
        of[side].samples = samples[side];
        of[side].samples_len = SAMPLES;
    }
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_true(p.ci_high > 1.06);
    assert_int_equal(p.verdict, VERDICT_SAME);
    samples[1][0]++;
    assert_int_equal(compare_times(&rules, &p, 1), STATUS_OK);
    assert_int_equal(p.verdict, VERDICT_INCONCLUSIVE);
}

static change_t change(exact_rule_t rule, double base, double new) {
    return compare_exact(rule, &base, 1, &new, 1);
}

static void test_exact(void **state) {
    (void)state;
    assert_int_equal(change(EXACT_EQUAL, 100, 100), CHANGE_NONE);
    assert_int_equal(change(EXACT_EQUAL, 100, 99), CHANGE_WORSE);
    assert_int_equal(change(EXACT_EQUAL, 100, 101), CHANGE_WORSE);
    assert_int_equal(change(EXACT_NOT_MORE, 2, 3), CHANGE_WORSE);
    assert_int_equal(change(EXACT_NOT_MORE, 3, 2), CHANGE_BETTER);
    assert_int_equal(change(EXACT_NOT_MORE, NAN, 2), CHANGE_NONE);
    assert_int_equal(change(EXACT_NOT_MORE, 2, NAN), CHANGE_NONE);
    assert_int_equal(change(EXACT_NEARLY, 10e6, 10.19e6), CHANGE_NONE);
    assert_int_equal(change(EXACT_NEARLY, 10e6, 10.21e6), CHANGE_WORSE);
    assert_int_equal(change(EXACT_NEARLY, 10e6, 9.7e6), CHANGE_BETTER);
    assert_int_equal(change(EXACT_NEARLY, 1e6, 1.06e6), CHANGE_NONE); /* less than 64 KiB */
    /* A process that chose another algorithm is no change while they overlap. */
    const double base[] = {2, 3, NAN}, overlapping[] = {3, 4}, beyond[] = {4, 5};
    assert_int_equal(compare_exact(EXACT_NOT_MORE, base, 3, overlapping, 2), CHANGE_NONE);
    assert_int_equal(compare_exact(EXACT_NOT_MORE, base, 3, beyond, 2), CHANGE_WORSE);
}

/* ---- noise whose truth is known ---- */

typedef struct {
    double between, within; /* standard deviations of the log times */
    double outliers;        /* share of processes that something slowed by 15 % */
    double slowdown;        /* of NEW */
} noise_t;

/* Points of 2 to 400 us, each timed by some processes a side; judged by the defaults. */
static void simulate(const noise_t *noise, int processes, random_t *r) {
    const compare_rules_t rules = compare_defaults();
    int n = 0;
    for (int i = 0; i < POINTS; i++) {
        const double us = 2 * pow(200, (double)i / (POINTS - 1));
        for (int side = 0; side < 2; side++) {
            pairs[i].trials[side] = &trials[n];
            pairs[i].len[side] = processes;
            for (int k = 0; k < processes; k++, n++) {
                double level = log(us) + noise->between * random_normal(r);
                double sorted[SAMPLES];
                if (side) level += log1p(noise->slowdown);
                if ((double)random_index(r, 10000) < 1e4 * noise->outliers) level += log(1.15);
                for (int s = 0; s < SAMPLES; s++)
                    sorted[s] = samples[n][s] = exp(level + noise->within * random_normal(r));
                trials[n] = (trial_t){.time_us = median_value(sorted, SAMPLES),
                                      .samples = samples[n],
                                      .samples_len = SAMPLES,
                                      .sm_clock_mhz = NAN};
            }
        }
    }
    assert_int_equal(compare_times(&rules, pairs, POINTS), STATUS_OK);
}

static int count_points(verdict_t verdict, double from_us) {
    int count = 0;
    for (int i = 0; i < POINTS; i++)
        count += pairs[i].verdict == verdict && pairs[i].time_us[0] >= from_us;
    return count;
}

/* 200 comparisons of what is the same: no false alarm either way, and hardly any doubt. */
static void test_null(void **state) {
    (void)state;
    const noise_t noise = {.between = 0.01, .within = 0.003};
    random_t r = {2};
    int same = 0, slower = 0, faster = 0;
    for (int i = 0; i < 200; i++) {
        simulate(&noise, PROCESSES, &r);
        same += count_points(VERDICT_SAME, 0);
        slower += count_points(VERDICT_SLOWER, 0);
        faster += count_points(VERDICT_FASTER, 0);
    }
    assert_int_equal(slower, 0);
    assert_int_equal(faster, 0);
    assert_true(same >= 200 * POINTS - 2);
}

/* Three times the noise, and processes that something else slowed: doubt, but no false alarm. */
static void test_null_of_a_noisy_machine(void **state) {
    (void)state;
    const noise_t noise = {.between = 0.03, .within = 0.01, .outliers = 0.02};
    random_t r = {3};
    for (int i = 0; i < 30; i++) {
        simulate(&noise, PROCESSES, &r);
        assert_int_equal(count_points(VERDICT_SLOWER, 0), 0);
        assert_int_equal(count_points(VERDICT_FASTER, 0), 0);
    }
}

/* The interval holds the truth about as often as it says. */
static void test_coverage(void **state) {
    (void)state;
    const noise_t noise = {.between = 0.02, .within = 0.003, .slowdown = 0.1};
    random_t r = {4};
    int held = 0, all = 0;
    for (int i = 0; i < 30; i++) {
        simulate(&noise, PROCESSES, &r);
        for (int k = 0; k < POINTS; k++, all++)
            held += pairs[k].ci_low <= 1.1 && pairs[k].ci_high >= 1.1;
    }
    assert_in_range(held, all * 93 / 100, all * 99 / 100);
}

/* Points over 20 us that are 5 % slower are found every time; 5 % faster never counts as slower. */
static void test_planted(void **state) {
    (void)state;
    noise_t noise = {.between = 0.01, .within = 0.003, .slowdown = 0.05};
    random_t r = {5};
    for (int i = 0; i < 10; i++) {
        simulate(&noise, PROCESSES, &r);
        int large = 0;
        for (int k = 0; k < POINTS; k++) large += pairs[k].time_us[0] >= 20;
        assert_true(large >= 4);
        assert_int_equal(count_points(VERDICT_SLOWER, 20), large);
    }
    noise.slowdown = -0.05;
    for (int i = 0; i < 10; i++) {
        simulate(&noise, PROCESSES, &r);
        for (int k = 0; k < POINTS; k++)
            assert_true(pairs[k].verdict != VERDICT_SLOWER && !pairs[k].may_be_slower);
    }
}

/* Single processes: 10 % is found, and noise within what is stated raises no alarm. */
static void test_single_process_noise(void **state) {
    (void)state;
    noise_t noise = {.between = 0.01, .within = 0.003};
    random_t r = {6};
    for (int i = 0; i < 200; i++) {
        simulate(&noise, 1, &r);
        assert_int_equal(count_points(VERDICT_SLOWER, 0), 0);
    }
    noise.slowdown = 0.1;
    int found = 0;
    for (int i = 0; i < 100; i++) {
        simulate(&noise, 1, &r);
        found += count_points(VERDICT_SLOWER, 20) > 0;
    }
    assert_int_equal(found, 100);
}

/* The same input gives the same answer. */
static void test_deterministic(void **state) {
    (void)state;
    const noise_t noise = {.between = 0.01, .within = 0.003};
    timed_pair_t first[POINTS];
    random_t r = {8};
    simulate(&noise, PROCESSES, &r);
    memcpy(first, pairs, sizeof first);
    r = (random_t){8};
    simulate(&noise, PROCESSES, &r);
    for (int i = 0; i < POINTS; i++) {
        assert_float_equal(first[i].ci_low, pairs[i].ci_low, 0);
        assert_float_equal(first[i].ci_high, pairs[i].ci_high, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_medians),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_single_processes),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_ratio_of_several),
        cmocka_unit_test(test_cycles),
        cmocka_unit_test(test_unsteady_clocks),
        cmocka_unit_test(test_disturbed),
        cmocka_unit_test(test_some_processes_disturbed),
        cmocka_unit_test(test_many_processes),
        cmocka_unit_test(test_same_data),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_null_of_a_noisy_machine),
        cmocka_unit_test(test_coverage),
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_single_process_noise),
        cmocka_unit_test(test_deterministic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
