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
    double us[3], whole_us;
} share_case_t;

static const share_case_t share_cases[] = {
    {"nothing ran", 0, {{0, 0, 0}}, {0, 0, 0}, 0},
    {"one after the other, with a gap", 3, {{10, 20, 0}, {25, 30, 1}, {30, 31, 1}}, {10, 6, 0}, 21},
    {"in any order", 3, {{30, 31, 2}, {10, 20, 0}, {25, 30, 1}}, {10, 5, 1}, 21},
    {"launched early, it waits", 2, {{0, 10, 0}, {4, 16, 1}}, {10, 6, 0}, 16},
    {"within another", 3, {{0, 10, 0}, {2, 5, 1}, {9, 12, 2}}, {10, 0, 2}, 12},
    {"at the same time", 2, {{0, 10, 1}, {0, 4, 0}}, {4, 6, 0}, 10},
    {"kernels of one step overlap", 3, {{0, 6, 1}, {3, 8, 1}, {8, 9, 0}}, {1, 8, 0}, 9},
};

static void test_share(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof share_cases / sizeof *share_cases; i++) {
        const share_case_t *c = &share_cases[i];
        activity_t activities[4];
        double us[3] = {-1, -1, -1};
        memcpy(activities, c->activities, sizeof activities);
        const double whole_us = timeline_share(activities, c->len, 3, us);
        const bool same =
            whole_us == c->whole_us && us[0] == c->us[0] && us[1] == c->us[1] && us[2] == c->us[2];
        if (!same) fail_msg("%s: %g %g %g of %g", c->name, us[0], us[1], us[2], whole_us);
    }
}

/* ---- steps of a graph ---- */

enum { STEPS = 5 };

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
    double us[STEPS], launch_us, used;
    open_product(512, &cases[0], &small);
    open_product(4096, &cases[1], &large);
    assert_int_equal(gpu->ops->used(gpu, &used), STATUS_OK);
    assert_true(used > 3 * 4096.0 * 4096 * 2);
    const double latency_us = replay_us();
    for (int k = 0; k < 2; k++) {
        const status_t st = gpu->ops->profile(gpu, launch_step, NULL, STEPS, us, &launch_us);
        if (st == STATUS_ENVIRONMENT) {
            print_message("skipped: %s\n", last_error());
            skip();
        }
        assert_int_equal(st, STATUS_OK);
        double inside = 0;
        for (int i = 0; i < STEPS; i++) inside += us[i];
        print_message("%.2f %.2f %.2f %.2f %.2f us, launch %.2f us: %.2f of %.2f us\n", us[0],
                      us[1], us[2], us[3], us[4], launch_us, inside, latency_us);
        assert_float_equal(us[1], 0, 0);
        assert_true(us[0] > 0.5 && us[0] < us[2] / 4 && us[4] < us[2] / 4);
        assert_true(us[3] > 1.6 * us[2] && us[3] < 2.5 * us[2]);
        assert_true(inside > 0.85 * latency_us && inside < 1.15 * latency_us);
        assert_true(launch_us >= 0 && launch_us < 50);
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
