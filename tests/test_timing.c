/* What timing makes of a monitor that says that the device was throttled: a device with a script,
 * and a clock that only its work moves, so that nobody else on the machine has a say. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/timing.h"
#include "results/throttle.h"

#include <cmocka.h> /* last: its fail() is a macro */

static int readings, alarms_from, alarms_to; /* the readings in between say `alarm` */
static const char *alarm;
static double alarmed_us; /* what a launch takes until the last alarm was read, 10 us after it */

static status_t run_nothing(void *arg, int index, stream_t stream) {
    (void)arg, (void)index, (void)stream;
    return STATUS_OK;
}

static status_t record(device_t *device, work_t work, void *arg, int launches, bool cold,
                       recording_t **out) {
    (void)device, (void)work, (void)arg, (void)launches, (void)cold;
    *out = malloc(1);
    return *out ? STATUS_OK : STATUS_OOM;
}

static long long clock_ns = 1000000000;

int clock_gettime(clockid_t clock, struct timespec *out) {
    (void)clock;
    *out = (struct timespec){(time_t)(clock_ns / 1000000000), (long)(clock_ns % 1000000000)};
    return 0;
}

static status_t replay(device_t *device, recording_t *recording, double *us) {
    (void)device, (void)recording;
    clock_ns += 200000;
    *us = readings < alarms_to ? alarmed_us : 10;
    return STATUS_OK;
}

static void discard(recording_t *recording) {
    free(recording);
}

static int kernels(const recording_t *recording) {
    (void)recording;
    return 1;
}

static status_t state(device_t *device, device_state_t *out) {
    (void)device;
    const bool now = readings >= alarms_from && readings < alarms_to;
    *out = (device_state_t){1000 + readings, NAN, NAN, ""};
    snprintf(out->throttle, sizeof out->throttle, "%s", now ? alarm : "none");
    readings++;
    return STATUS_OK;
}

static const device_ops_t ops = {.kind = DEVICE_CPU,
                                 .record = record,
                                 .replay = replay,
                                 .discard = discard,
                                 .kernels = kernels,
                                 .state = state};

/* Alarms in the readings from `from` until before `to`; 0 is the one in the middle of the samples,
 * 1 that at their end. */
static timing_t timed(int from, int to, const char *what, double budget_s) {
    device_t device = {.ops = &ops};
    timing_t timing;
    readings = 0;
    alarms_from = from;
    alarms_to = to;
    alarm = what;
    alarmed_us = 13;
    assert_int_equal(timing_run(&device, run_nothing, NULL, 1, CACHE_ROTATE, budget_s, &timing),
                     STATUS_OK);
    timing_free(&timing);
    return timing;
}

static void test_in_peace(void **s) {
    (void)s;
    const timing_t t = timed(0, 0, "", 0.1);
    assert_int_equal(t.remeasured, 0);
    assert_string_equal(t.state.throttle, "none");
    assert_float_equal(t.summary.median, 10, 0);
    assert_int_equal(readings, 2);
}

static void test_sampled_again(void **s) {
    (void)s;
    static const char *const reasons[] = {"hw_thermal", "sw_power_cap", "other_process",
                                          "other_load"};
    for (int i = 0; i < 4; i++)
        for (int from = 0; from < 2; from++) { /* in the middle and at the end, or at the end */
            const timing_t t = timed(from, 2, reasons[i], 0.4);
            assert_int_equal(t.remeasured, 1);
            assert_string_equal(t.state.throttle, "none");
            assert_float_equal(t.summary.median, 10, 0);
            assert_float_equal(t.state.sm_clock_mhz, 1002,
                               0); /* read with the samples that stand */
        }
}

static void test_never_in_peace(void **s) {
    (void)s;
    const timing_t t = timed(0, 1000, "hw_thermal+other_process", 0.6);
    assert_true(t.remeasured >= 1);
    assert_string_equal(t.state.throttle, "hw_thermal+other_process");
    assert_float_equal(t.summary.median, 13, 0);
    assert_float_equal(t.state.sm_clock_mhz, 1000, 0);
}

/* However often it is sampled: not beyond the budget, and what is left of it is used. */
static void test_within_the_budget(void **s) {
    (void)s;
    const double start_s = now_s();
    const timing_t t = timed(0, 1000, "sw_power_cap", 0.6);
    assert_true(t.remeasured >= 1 && t.remeasured < 10);
    assert_true(now_s() - start_s > 0.5 && now_s() - start_s < 0.7);
}

static void test_reasons(void **s) {
    (void)s;
    char text[32] = "";
    throttle_join(text, sizeof text, "none");
    assert_string_equal(text, "none");
    throttle_join(text, sizeof text, "hw_thermal");
    throttle_join(text, sizeof text, "none");
    throttle_join(text, sizeof text, "");
    assert_string_equal(text, "hw_thermal");
    throttle_join(text, sizeof text, "sw_power_cap+hw_thermal");
    assert_string_equal(text, "hw_thermal+sw_power_cap");
    throttle_join(text, sizeof text, "other_process"); /* whole names only */
    assert_string_equal(text, "hw_thermal+sw_power_cap");
    assert_false(throttle_any("none") || throttle_any(""));
    assert_true(throttle_any("sw_power_cap"));
    assert_false(throttle_disturbs("sw_power_cap") || throttle_disturbs("none"));
    assert_true(throttle_disturbs("sw_power_cap+hw_slowdown") && throttle_disturbs("sw_thermal"));
    assert_true(throttle_disturbs("other_process") && throttle_shared("sw_thermal+other_load"));
    assert_false(throttle_shared("hw_thermal"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_peace),       cmocka_unit_test(test_sampled_again),
        cmocka_unit_test(test_never_in_peace), cmocka_unit_test(test_within_the_budget),
        cmocka_unit_test(test_reasons),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
