/* Statistics, values, lists, registry: what the harness reckons with. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/list.h"
#include "harness/process.h"
#include "harness/registry.h"
#include "harness/stats.h"
#include "harness/values.h"

#include <cmocka.h> /* last: its fail() is a macro */

static void test_summary(void **state) {
    (void)state;
    const double samples[] = {5, 1, 4, 2, 3};
    const summary_t s = stats_summary(samples, 5);
    assert_int_equal(s.count, 5);
    assert_float_equal(s.median, 3, 0);
    assert_float_equal(s.min, 1, 0);
    assert_float_equal(s.q1, 2, 0);
    assert_float_equal(s.q3, 4, 0);
    assert_float_equal(s.ci_low, 1, 0); /* 5 samples cannot give 95 % */
    assert_float_equal(s.ci_high, 5, 0);
    assert_true(isnan(stats_summary(samples, 0).median));
}

/* Ranks from the tables of the binomial distribution: n=10: 2..9 (97.9 %), n=20: 6..15 (95.9 %). */
static void test_median_interval(void **state) {
    (void)state;
    double samples[20];
    for (int i = 0; i < 20; i++) samples[i] = 20 - i;
    summary_t s = stats_summary(samples, 20);
    assert_float_equal(s.median, 10.5, 0);
    assert_float_equal(s.ci_low, 6, 0);
    assert_float_equal(s.ci_high, 15, 0);
    s = stats_summary(samples + 10, 10);
    assert_float_equal(s.ci_low, 2, 0);
    assert_float_equal(s.ci_high, 9, 0);
}

/* Every fp16 value comes back from its float: covers normal, subnormal and zero. */
static void test_random_values(void **state) {
    (void)state;
    enum { COUNT = 20000 };
    static float values[COUNT], again[COUNT];
    static uint32_t bits[COUNT];
    for (int d = 0; d < DTYPE_COUNT; d++) {
        double sum = 0, largest = 0;
        random_values((dtype_t)d, 7, COUNT, values, bits);
        for (int i = 0; i < COUNT; i++) {
            assert_true(values[i] >= -1 && values[i] <= 1);
            assert_float_equal(value_at((dtype_t)d, bits, i), (double)values[i], 0);
            sum += (double)values[i];
            largest = fmax(largest, fabs((double)values[i]));
        }
        assert_true(fabs(sum / COUNT) < 0.02 && largest > 0.999);
        random_values((dtype_t)d, 7, COUNT, again, bits);
        assert_memory_equal(values, again, sizeof values);
        random_values((dtype_t)d, 8, COUNT, again, bits);
        assert_memory_not_equal(values, again, sizeof values);
    }
}

static void test_rounding(void **state) {
    (void)state;
    float exact[4096], rounded[4096];
    uint32_t bits[4096];
    random_values(DTYPE_FP32, 3, 4096, exact, bits);
    for (int d = 0; d < DTYPE_COUNT; d++) {
        double worst = 0;
        random_values((dtype_t)d, 3, 4096, rounded, bits);
        for (int i = 0; i < 4096; i++)
            worst = fmax(worst, fabs((double)(rounded[i] - exact[i]) / (double)exact[i]));
        assert_true(worst <= unit_roundoff((dtype_t)d));
        if (d != DTYPE_FP32) assert_true(worst > unit_roundoff((dtype_t)d) / 2);
    }
    const uint16_t halves[] = {0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7c00};
    assert_float_equal(value_at(DTYPE_FP16, halves, 0), 1, 0);
    assert_float_equal(value_at(DTYPE_FP16, halves, 1), -2, 0);
    assert_float_equal(value_at(DTYPE_FP16, halves, 2), 0x1p-24, 0);
    assert_float_equal(value_at(DTYPE_FP16, halves, 3), 1023 * 0x1p-24, 0);
    assert_float_equal(value_at(DTYPE_FP16, halves, 4), 0x1p-14, 0);
    assert_true(isinf(value_at(DTYPE_FP16, halves, 5)));
    const uint32_t nan = 0xffffffff; /* the poison is NaN in every dtype */
    for (int d = 0; d < DTYPE_COUNT; d++) assert_true(isnan(value_at((dtype_t)d, &nan, 0)));
}

static void expect_list(const char *text, const int64_t *values, int count) {
    int_list_t list;
    assert_int_equal(int_list_parse(text, &list), STATUS_OK);
    assert_int_equal(list.count, count);
    assert_memory_equal(list.values, values, (size_t)count * sizeof *values);
    int_list_free(&list);
}

static void test_lists(void **state) {
    (void)state;
    expect_list("7", (int64_t[]){7}, 1);
    expect_list("1,16,64..512x2", (int64_t[]){1, 16, 64, 128, 256, 512}, 6);
    expect_list("8..64+24", (int64_t[]){8, 32, 56}, 3);
    expect_list("64..100x2", (int64_t[]){64}, 1);
    expect_list("4,2,4", (int64_t[]){4, 2}, 2);
    static const char *const bad[] = {"",
                                      ",",
                                      "1,",
                                      "0",
                                      "-1",
                                      "1..",
                                      "1..4",
                                      "4..1x2",
                                      "1..4x1",
                                      "1 2",
                                      "x",
                                      "1..9+0",
                                      "99999999999999999999",
                                      "1..99999+1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int_list_t list;
        assert_int_equal(int_list_parse(bad[i], &list), STATUS_USAGE);
        assert_non_null(strstr(last_error(), "character"));
    }
}

static void test_name_lists(void **state) {
    (void)state;
    assert_true(name_list_has(NULL, "fused"));
    assert_true(name_list_has("unfused,fused", "fused"));
    assert_true(name_list_has("fused", "fused"));
    assert_false(name_list_has("unfused", "fused"));
    assert_false(name_list_has("fused_sm80", "fused"));
}

/* An error may quote a file that somebody else wrote; a terminal must not obey it. */
static void test_errors_are_one_plain_line(void **state) {
    (void)state;
    assert_int_equal((fail)(STATUS_USAGE, "no %s here", "\033[2Ja\r\nb\ac\177\303\251"),
                     STATUS_USAGE);
    assert_string_equal(last_error(), "no  [2Ja  b c \303\251 here");
}

static void test_registry(void **state) {
    (void)state;
    assert_int_equal(registry_check(), STATUS_OK);
    static const char *const names[] = {"attention", "blast", "dense", "lowrank", "monarch"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_non_null(structure_find(names[i]));
        assert_non_null(variant_baseline(names[i], DEVICE_CPU));
    }
    assert_null(structure_find("sparse"));
    assert_non_null(device_ops(DEVICE_CPU));
}

/* ---- work in a process of its own ---- */

static int touched;

static status_t tell_much(void *ctx, FILE *out) {
    touched = 1;
    for (int i = 0; i < *(int *)ctx; i++) fprintf(out, "%07d\n", i);
    return STATUS_OK;
}

static status_t tell_and_fail(void *ctx, FILE *out) {
    (void)ctx;
    fputs("half", out);
    return (fail)(STATUS_UNSUPPORTED, "no such thing");
}

static status_t crash(void *ctx, FILE *out) {
    (void)ctx;
    fputs("lost", out);
    raise(SIGABRT);
    return STATUS_OK;
}

static status_t leave_early(void *ctx, FILE *out) {
    (void)ctx, (void)out;
    _exit(7);
}

static void test_process(void **state) {
    (void)state;
    char *bytes = NULL;
    size_t len = 0;
    int lines = 100000; /* far more than a pipe holds */
    assert_int_equal(process_run(tell_much, &lines, &bytes, &len), STATUS_OK);
    assert_int_equal(len, 8 * 100000);
    assert_memory_equal(bytes + len - 8, "0099999\n", 8);
    assert_int_equal(touched, 0);
    free(bytes);
    assert_int_equal(process_run(tell_and_fail, NULL, &bytes, &len), STATUS_UNSUPPORTED);
    assert_string_equal(last_error(), "no such thing");
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "half", 4);
    free(bytes);
    assert_int_equal(process_run(crash, NULL, &bytes, &len), STATUS_DEVICE);
    assert_non_null(strstr(last_error(), "signal 6"));
    free(bytes);
    assert_int_equal(process_run(leave_early, NULL, &bytes, &len), STATUS_DEVICE);
    assert_non_null(strstr(last_error(), "exit code 7"));
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_summary),
        cmocka_unit_test(test_median_interval),
        cmocka_unit_test(test_random_values),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_name_lists),
        cmocka_unit_test(test_errors_are_one_plain_line),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
