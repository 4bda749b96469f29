/* The checker must catch what goes wrong: planted faults in variants that exist only here. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "harness/case.h"
#include "harness/registry.h"

#include <cmocka.h> /* last: its fail() is a macro */

enum { TILE = 16 };

/* Y = X W as it should be. */
static void compute(const problem_t *p, void *const *tensors) {
    const float *x = tensors[0], *w = tensors[1];
    float *y = tensors[2];
    for (int64_t n = 0; n < p->tokens; n++)
        for (int64_t j = 0; j < p->out_features; j++) {
            float sum = 0;
            for (int64_t i = 0; i < p->in_features; i++)
                sum += x[n * p->in_features + i] * w[j * p->in_features + i];
            y[n * p->out_features + j] = sum;
        }
}

static status_t launch_good(const problem_t *p, void *const *t, void *workspace, stream_t stream) {
    (void)workspace, (void)stream;
    compute(p, t);
    return STATUS_OK;
}

/* One tile of the last row block is as if its second half of the sum were lost. */
static status_t launch_lost_tile(const problem_t *p, void *const *t, void *w, stream_t s) {
    launch_good(p, t, w, s);
    float *y = t[2];
    for (int64_t n = p->tokens - TILE; n < p->tokens; n++)
        for (int64_t j = 0; j < TILE; j++) y[n * p->out_features + j] *= 0.5f;
    return STATUS_OK;
}

static status_t launch_one_bad_row(const problem_t *p, void *const *t, void *w, stream_t s) {
    launch_good(p, t, w, s);
    float *y = t[2];
    for (int64_t j = 0; j < p->out_features; j++)
        y[(p->tokens - 1) * p->out_features + j] *= 1.0001f;
    return STATUS_OK;
}

static status_t launch_unwritten(const problem_t *p, void *const *t, void *w, stream_t s) {
    launch_good(p, t, w, s);
    ((float *)t[2])[5 * p->out_features + 3] = NAN;
    return STATUS_OK;
}

static status_t launch_overrun(const problem_t *p, void *const *t, void *w, stream_t s) {
    launch_good(p, t, w, s);
    ((float *)t[2])[p->tokens * p->out_features] = 0;
    return STATUS_OK;
}

static status_t launch_underrun(const problem_t *p, void *const *t, void *w, stream_t s) {
    launch_good(p, t, w, s);
    ((float *)t[2])[-1] = 0;
    return STATUS_OK;
}

/* Writes no element: what stood there before must not pass. */
static status_t launch_nothing(const problem_t *p, void *const *t, void *w, stream_t s) {
    (void)p, (void)t, (void)w, (void)s;
    return STATUS_OK;
}

/* Reads scratch that it has not written. */
static status_t launch_stale(const problem_t *p, void *const *t, void *workspace, stream_t s) {
    launch_good(p, t, workspace, s);
    *(float *)t[2] += *(float *)workspace;
    return STATUS_OK;
}

static size_t scratch_bytes(const problem_t *p, const device_info_t *info) {
    (void)p, (void)info;
    return 256;
}

static check_t check_of(status_t (*launch)(const problem_t *, void *const *, void *, stream_t),
                        output_order_t order) {
    const variant_t variant = {.structure = "dense",
                               .name = "planted",
                               .summary = "planted",
                               .device = DEVICE_CPU,
                               .output_order = order,
                               .dtypes = DTYPE_BIT(DTYPE_FP32),
                               .workspace = scratch_bytes,
                               .launch = launch};
    const problem_t problem = {DTYPE_FP32, 333, 64, 768, 3, 0};
    device_t *device;
    case_t c;
    binding_t binding;
    check_t check;
    assert_int_equal(device_open("cpu", &device), STATUS_OK);
    assert_int_equal(case_open(structure_find("dense"), &problem, &c), STATUS_OK);
    assert_int_equal(case_baseline(&c, device), STATUS_OK);
    assert_true(c.baseline_error > 0 && c.baseline_error < 1e-5);
    assert_int_equal(binding_open(&c, &variant, device, 0, &binding), STATUS_OK);
    assert_int_equal(binding_check(&binding, &check), STATUS_OK);
    binding_close(&binding);
    case_close(&c);
    device->ops->close(device);
    return check;
}

static void expect_fault(status_t (*launch)(const problem_t *, void *const *, void *, stream_t),
                         const char *reason) {
    const check_t check = check_of(launch, ORDER_KJ);
    assert_false(check.ok);
    assert_non_null(strstr(check.reason, reason));
}

static void test_good(void **state) {
    (void)state;
    const check_t check = check_of(launch_good, ORDER_KJ);
    assert_true(check.ok);
    assert_true(check.error > 0 && check.error <= check.tolerance);
    assert_true(check.error_worst_row >= check.error && check.tolerance < 1e-4);
}

static void test_wrong_order(void **state) {
    (void)state;
    const check_t check = check_of(launch_good, ORDER_JK);
    assert_false(check.ok);
    assert_true(check.error > 0.5);
}

static void test_lost_tile(void **state) {
    (void)state;
    expect_fault(launch_lost_tile, "over the tolerance");
}

/* 1e-4 in one of 333 rows vanishes in the whole; the worst row shows it. */
static void test_one_bad_row(void **state) {
    (void)state;
    const check_t check = check_of(launch_one_bad_row, ORDER_KJ);
    assert_false(check.ok);
    assert_true(check.error < 5e-5 && check.error_worst_row > 9e-5);
    assert_non_null(strstr(check.reason, "row 332"));
}

static void test_unwritten(void **state) {
    (void)state;
    /* checked row or not, NaN anywhere is found */
    const check_t check = check_of(launch_unwritten, ORDER_KJ);
    assert_false(check.ok);
    const check_t nothing = check_of(launch_nothing, ORDER_KJ);
    assert_false(nothing.ok);
    assert_non_null(strstr(nothing.reason, "error nan (row 0: nan)"));
}

static void test_outside(void **state) {
    (void)state;
    expect_fault(launch_overrun, "after");
    expect_fault(launch_underrun, "before");
}

static void test_stale_workspace(void **state) {
    (void)state;
    assert_false(check_of(launch_stale, ORDER_KJ).ok);
}

/* Rows are spread: first, last, ascending, one in each span. */
static void test_rows(void **state) {
    (void)state;
    const problem_t problem = {DTYPE_FP32, 1000, 512, 96, 1, 0};
    case_t c;
    assert_int_equal(case_open(structure_find("dense"), &problem, &c), STATUS_OK);
    assert_int_equal(c.rows_len, 128);
    assert_int_equal(c.rows[0], 0);
    assert_int_equal(c.rows[127], 999);
    for (int i = 1; i < c.rows_len; i++) {
        assert_true(c.rows[i] > c.rows[i - 1]);
        assert_true(c.rows[i] - c.rows[i - 1] <= 16);
    }
    case_close(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_wrong_order),
        cmocka_unit_test(test_lost_tile),
        cmocka_unit_test(test_one_bad_row),
        cmocka_unit_test(test_unwritten),
        cmocka_unit_test(test_outside),
        cmocka_unit_test(test_stale_workspace),
        cmocka_unit_test(test_rows),
    };
    if (registry_check() != STATUS_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
