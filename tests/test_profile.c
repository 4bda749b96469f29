/* Times of the steps of a sequence: which step an instant belongs to, and steps of a graph on a
 * GPU. A program of its own, for nothing is to be timed after the first profile. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "harness/case.h"
#include "harness/registry.h"
#include "profiles/timeline.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

/* ---- whose time it is ---- */

typedef struct {
    const char *name;
    int len;
    activity_t activities[4];
    double us[3];
} share_case_t;

/* Nanoseconds since 1970 have more digits than a double. */
#define AT(us) (1795290698000000000u + (us)*1000u)
#define RAN(from_us, to_us, step)                                                                  \
    { AT(from_us), AT(to_us), step }

static const share_case_t share_cases[] = {
    {"nothing ran", 0, {RAN(0, 0, 0)}, {0, 0, 0}},
    {"a gap is the wait for the next",
     3,
     {RAN(10, 20, 0), RAN(25, 30, 1), RAN(30, 31, 1)},
     {10, 11, 0}},
    {"in any order", 3, {RAN(30, 31, 2), RAN(10, 20, 0), RAN(25, 30, 1)}, {10, 10, 1}},
    {"launched early, it waits", 2, {RAN(0, 10, 0), RAN(4, 16, 1)}, {10, 6, 0}},
    {"within another", 3, {RAN(0, 10, 0), RAN(2, 5, 1), RAN(9, 12, 2)}, {10, 0, 2}},
    {"at the same time", 2, {RAN(0, 10, 1), RAN(0, 4, 0)}, {4, 6, 0}},
    {"kernels of one step overlap", 3, {RAN(0, 6, 1), RAN(3, 8, 1), RAN(8, 9, 0)}, {1, 8, 0}},
};

static void test_share(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof share_cases / sizeof *share_cases; i++) {
        const share_case_t *c = &share_cases[i];
        activity_t activities[4];
        double us[3] = {-1, -1, -1};
        memcpy(activities, c->activities, sizeof activities);
        timeline_share(activities, c->len, 3, us);
        for (int s = 0; s < 3; s++)
            if (us[s] != c->us[s]) fail_msg("%s: step %d has %g us", c->name, s, us[s]);
    }
}

/* ---- steps of a graph ---- */

enum { STEPS = 5, PASSES = 3 };

static device_t *gpu;
static binding_t small, large;

/* A small product, nothing, a large one, two large ones, a small one. */
static status_t launch_step(void *arg, int index, stream_t stream) {
    (void)arg;
    status_t st = STATUS_OK;
    if (index == 0 || index == 4) st = binding_launch(&small, 0, stream);
    if (index == 2 || index == 3) st = binding_launch(&large, 0, stream);
    if (index == 3 && st == STATUS_OK) st = binding_launch(&large, 0, stream);
    return st;
}

static status_t launch_all(void *arg, int index, stream_t stream) {
    (void)index;
    status_t st = STATUS_OK;
    for (int i = 0; i < STEPS && st == STATUS_OK; i++) st = launch_step(arg, i, stream);
    return st;
}

static void open_product(int64_t size, case_t *c, binding_t *b) {
    const problem_t problem = {
        .dtype = DTYPE_BF16, .tokens = size, .in_features = size, .out_features = size};
    assert_int_equal(case_open(structure_find("dense"), &problem, c), STATUS_OK);
    assert_int_equal(binding_open(c, variant_baseline("dense", DEVICE_CUDA), gpu, 0, b), STATUS_OK);
    assert_int_equal(gpu->ops->run(gpu, binding_launch, b, 0), STATUS_OK);
}

static double replay_us(void) {
    recording_t *recording = NULL;
    double us = NAN;
    assert_int_equal(gpu->ops->record(gpu, launch_all, NULL, 1, false, &recording), STATUS_OK);
    for (int i = 0; i < 100; i++)
        assert_int_equal(gpu->ops->replay(gpu, recording, &us), STATUS_OK);
    gpu->ops->discard(recording);
    return us;
}

static void test_steps(void **state) {
    (void)state;
    char why[WHY_LEN] = "this blroof was built without CUDA";
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0 || device_open("cuda", &gpu) != STATUS_OK) {
        print_message("skipped: %s\n", why);
        skip();
    }
    case_t cases[2];
    double us[PASSES][STEPS], used;
    open_product(512, &cases[0], &small);
    open_product(4096, &cases[1], &large);
    assert_int_equal(gpu->ops->used(gpu, &used), STATUS_OK);
    assert_true(used > 3 * 4096.0 * 4096 * 2);
    const double latency_us = replay_us();
    for (int again = 0; again < 2; again++) {
        const status_t st = gpu->ops->profile(gpu, launch_step, NULL, STEPS, PASSES, us[0]);
        if (st == STATUS_ENVIRONMENT) {
            print_message("skipped: %s\n", last_error());
            skip();
        }
        assert_int_equal(st, STATUS_OK);
        for (int k = 0; k < PASSES; k++) {
            double inside = 0;
            for (int i = 0; i < STEPS; i++) inside += us[k][i];
            print_message("%.2f %.2f %.2f %.2f %.2f us: %.2f of %.2f us\n", us[k][0], us[k][1],
                          us[k][2], us[k][3], us[k][4], inside, latency_us);
            assert_float_equal(us[k][1], 0, 0);
            assert_true(us[k][0] > 0.5 && us[k][0] < us[k][2] / 4 && us[k][4] < us[k][2] / 4);
            assert_true(us[k][3] > 1.6 * us[k][2] && us[k][3] < 2.5 * us[k][2]);
            assert_true(inside > 0.8 * latency_us && inside < 1.25 * latency_us);
        }
    }
    binding_close(&small);
    binding_close(&large);
    for (int i = 0; i < 2; i++) case_close(&cases[i]);
    gpu->ops->close(gpu);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_share),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
