/* The choice among the plans of a variant: the fastest, made once, kept on disk. The clock is one
 * that only launches move, so that nobody else on the machine has a say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness/registry.h"
#include "harness/tuning.h"

#include <cmocka.h> /* last: its fail() is a macro */

static int launches[3];

static long long clock_ns = 1000000000;

int clock_gettime(clockid_t clock, struct timespec *out) {
    (void)clock;
    *out = (struct timespec){(time_t)(clock_ns / 1000000000), (long)(clock_ns % 1000000000)};
    return 0;
}

static status_t wait_us(int plan, int us) {
    launches[plan]++;
    clock_ns += 1000LL * us;
    return STATUS_OK;
}

static status_t launch_slow(const problem_t *p, void *const *t, void *w, stream_t s) {
    (void)p, (void)t, (void)w, (void)s;
    return wait_us(0, 900);
}

static status_t launch_fast(const problem_t *p, void *const *t, void *w, stream_t s) {
    (void)p, (void)t, (void)w, (void)s;
    return wait_us(1, 300);
}

static status_t launch_vast(const problem_t *p, void *const *t, void *w, stream_t s) {
    (void)p, (void)t, (void)w, (void)s;
    return wait_us(2, 1);
}

static size_t vast_workspace(const problem_t *p, const device_info_t *d) {
    (void)p, (void)d;
    return (size_t)1 << 50;
}

static bool some_tokens(const problem_t *p, const device_info_t *d, char *why, size_t why_len) {
    (void)d;
    snprintf(why, why_len, "takes at most 64 tokens");
    return p->tokens <= 64;
}

#define PLAN(text) .structure = "dense", .name = text, .device = DEVICE_CPU, .dtypes = 1
static const variant_t slow = {PLAN("slow"), .launch = launch_slow},
                       fast = {PLAN("fast"), .launch = launch_fast, .supports = some_tokens},
                       vast = {PLAN("vast"), .launch = launch_vast, .workspace = vast_workspace};
static const variant_t planned = {PLAN("planned"), .summary = "three plans",
                                  .plans = (const variant_t *const[]){&slow, &fast, &vast, NULL}};
REGISTER_VARIANT(planned)

static device_t *cpu;
static case_t layer;
static char folder[] = "/tmp/blroof-tuning-XXXXXX";
static const problem_t PROBLEM = {
    .dtype = DTYPE_FP32, .tokens = 8, .in_features = 32, .out_features = 16, .blocks = 1};

static int open_all(void **state) {
    (void)state;
    if (registry_check() != STATUS_OK || device_open("cpu", &cpu) != STATUS_OK) return -1;
    if (!mkdtemp(folder) || setenv("XDG_CACHE_HOME", folder, 1) != 0) return -1;
    return case_open(structure_find("dense"), &PROBLEM, &layer) == STATUS_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    char path[128];
    case_close(&layer);
    cpu->ops->close(cpu);
    snprintf(path, sizeof path, "%s/blroof/plans.csv", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/blroof", folder);
    rmdir(path);
    return rmdir(folder);
}

/* Chooses as a program of the commit would; `count` of slow, fast, vast are candidates. */
static const variant_t *choose(const char *build, int count, double *seconds) {
    const variant_t *plan = NULL;
    tuning_t tuning;
    memset(launches, 0, sizeof launches);
    tuning_open(&tuning, cpu, build);
    assert_int_equal(tuning_choose(&tuning, &layer, &planned, cpu, CACHE_HOT, planned.plans, count,
                                   &plan, seconds),
                     STATUS_OK);
    tuning_close(&tuning);
    return plan;
}

static void test_fastest_is_chosen_once(void **state) {
    (void)state;
    double seconds;
    /* vast would be the fastest, but no memory is that large */
    assert_ptr_equal(choose("commit a", 3, &seconds), &fast);
    assert_true(seconds > 0 && seconds < 2);
    assert_true(launches[0] > 0 && launches[1] > 0);
    assert_int_equal(launches[2], 0);
    assert_ptr_equal(choose("commit a", 3, &seconds), &fast);
    assert_float_equal(seconds, 0, 0);
    assert_int_equal(launches[0] + launches[1], 0);
}

static void test_other_kernels_are_timed_again(void **state) {
    (void)state;
    double seconds;
    choose("commit b", 2, &seconds);
    assert_true(seconds > 0);
    choose("commit a", 2, &seconds); /* both are on file */
    assert_float_equal(seconds, 0, 0);
    choose(NULL, 2, &seconds); /* a changed checkout reads nothing */
    assert_true(seconds > 0);
}

static void test_a_plan_that_is_gone(void **state) {
    (void)state;
    double seconds;
    assert_ptr_equal(choose("commit a", 1, &seconds), &slow); /* fast is no candidate */
    assert_true(isnan(seconds));
    const variant_t *plan, *others[] = {&slow, &vast};
    tuning_t tuning;
    tuning_open(&tuning, cpu, "commit a");
    assert_int_equal(
        tuning_choose(&tuning, &layer, &planned, cpu, CACHE_HOT, others, 2, &plan, &seconds),
        STATUS_OK);
    tuning_close(&tuning);
    assert_ptr_equal(plan, &slow);
    assert_true(seconds > 0);
}

static void test_damaged_file_is_begun_anew(void **state) {
    (void)state;
    char path[128];
    double seconds;
    snprintf(path, sizeof path, "%s/blroof/plans.csv", folder);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("\"never closed,\n", file);
    fclose(file);
    assert_ptr_equal(choose("commit a", 2, &seconds), &fast);
    assert_true(seconds > 0);
    choose("commit a", 2, &seconds);
    assert_float_equal(seconds, 0, 0);
}

static void test_no_place_for_the_file(void **state) {
    (void)state;
    double seconds;
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    assert_ptr_equal(choose("commit a", 2, &seconds), &fast);
    assert_true(seconds > 0);
    setenv("XDG_CACHE_HOME", folder, 1);
}

static void test_plans_that_support(void **state) {
    (void)state;
    const variant_t *plans[MAX_PLANS];
    char why[WHY_LEN] = "";
    problem_t problem = PROBLEM;
    assert_int_equal(variant_plans(&planned, &problem, &cpu->info, plans, why, sizeof why), 3);
    problem.tokens = 65;
    assert_int_equal(variant_plans(&planned, &problem, &cpu->info, plans, why, sizeof why), 2);
    assert_ptr_equal(plans[1], &vast);
    assert_int_equal(variant_plans(&fast, &problem, &cpu->info, plans, why, sizeof why), 0);
    assert_string_equal(why, "takes at most 64 tokens");
    problem.dtype = DTYPE_BF16;
    assert_int_equal(variant_plans(&planned, &problem, &cpu->info, plans, why, sizeof why), 0);
    assert_non_null(strstr(why, "bf16"));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fastest_is_chosen_once),
        cmocka_unit_test(test_other_kernels_are_timed_again),
        cmocka_unit_test(test_a_plan_that_is_gone),
        cmocka_unit_test(test_damaged_file_is_begun_anew),
        cmocka_unit_test(test_no_place_for_the_file),
        cmocka_unit_test(test_plans_that_support),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
