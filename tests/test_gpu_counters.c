/* profiles/cupti.cu on a GPU: known work is counted right, and counting leaves no trace in timing.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "harness/case.h"
#include "harness/registry.h"
#include "harness/timing.h"
#include "profiles/selftest.h"

#include "profiles/counters.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

static device_t *gpu;       /* NULL where there is none */
static counters_t counters; /* of it */

static int open_gpu(void **state) {
    (void)state;
    char why[WHY_LEN];
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) return 0;
    if (device_open("cuda:0", &gpu) != STATUS_OK) return -1;
    counters_open(gpu, &counters);
    return 0;
}

static int close_gpu(void **state) {
    (void)state;
    if (!gpu) return 0;
    counters_close(&counters);
    gpu->ops->close(gpu);
    return 0;
}

/* Skips the test where there is no GPU, or none that lets itself be counted. */
static void need_counters(void) {
    if (gpu && counters.status == COUNTERS_OK) return;
    print_message("skipped: %s\n", gpu ? counters.reason : "no GPU");
    skip();
}

static status_t check_row(void *ctx, const selftest_row_t *row) {
    print_message("%s: %.0f %s, expected %.0f: %+.3f %%\n", row->name, row->counted, row->unit,
                  row->expected, row->deviation_pct);
    if (!row->pass) fail_msg("%s: %s", row->name, row->reason);
    assert_string_equal(row->reason, "");
    assert_true(fabs(row->deviation_pct) <= row->tolerance_pct && row->tolerance_pct <= 1);
    ++*(int *)ctx;
    return STATUS_OK;
}

static void test_selftest(void **state) {
    (void)state;
    int rows = 0;
    need_counters();
    if (counters_selftest(gpu, check_row, &rows) != STATUS_OK) fail_msg("%s", last_error());
    assert_int_equal(rows, 3);
}

/* Of the dense baseline: some microseconds, so that what a launch costs shows. */
enum { TOKENS = 256, FEATURES = 1024 };

static void open_gemm(case_t *c, binding_t *b) {
    const problem_t problem = {
        .dtype = DTYPE_BF16, .tokens = TOKENS, .in_features = FEATURES, .out_features = FEATURES};
    const structure_t *dense = structure_find("dense");
    const variant_t *variant = variant_baseline("dense", DEVICE_CUDA);
    assert_non_null(variant);
    assert_int_equal(case_open(dense, &problem, c), STATUS_OK);
    assert_int_equal(binding_open(c, variant, gpu, 0, b), STATUS_OK);
    if (gpu->ops->run(gpu, binding_launch, b, 0) == STATUS_OK) return;
    print_message("skipped: %s\n", last_error());
    binding_close(b);
    case_close(c);
    skip();
}

static void time_gemm(binding_t *b, double *graph_us, double *stream_us) {
    timing_t timing;
    assert_int_equal(timing_run(gpu, binding_launch, b, 1, CACHE_HOT, 1.0, &timing), STATUS_OK);
    *graph_us = timing.summary.median;
    *stream_us = timing.stream_us;
    timing_free(&timing);
}

static void test_counts_and_timing(void **state) {
    (void)state;
    case_t c;
    binding_t b;
    counts_t one, four;
    double before_us, after_us, stream_before_us, stream_after_us;
    need_counters();
    open_gemm(&c, &b);
    time_gemm(&b, &before_us, &stream_before_us);
    const double begin_s = now_s();
    assert_int_equal(counters_measure(&counters, binding_launch, &b, 1, &one), STATUS_OK);
    const double one_s = now_s() - begin_s;
    assert_int_equal(counters_measure(&counters, binding_launch, &b, 4, &four), STATUS_OK);
    const double four_s = now_s() - begin_s - one_s;
    if (counters.status != COUNTERS_OK) fail_msg("%s", counters.reason);
    time_gemm(&b, &after_us, &stream_after_us);
    print_message("counting takes %.3f s, four launches %.3f s\n", one_s, four_s);
    print_message("DRAM read %.0f, written %.0f, L2 %.0f, L1 %.0f B\n", one.dram_read_bytes,
                  one.dram_write_bytes, one.l2_bytes, one.l1_bytes);
    print_message("graph %.3f us, afterwards %.3f us; stream %.3f us, afterwards %.3f us\n",
                  before_us, after_us, stream_before_us, stream_after_us);
    const double flops = 2.0 * TOKENS * FEATURES * FEATURES;
    assert_true(one.tensor_flops == four.tensor_flops);
    assert_true(one.tensor_flops >= flops && one.tensor_flops < 2 * flops); /* tiles may overhang */
    assert_true(one.dram_read_bytes >= 0 && one.cuda_core_flops >= 0);
    /* Each operand comes from L2 at least once, and the result goes there. */
    assert_true(one.l2_bytes >= 2.0 * (2 * TOKENS * FEATURES + FEATURES * FEATURES));
    assert_true(one_s < 0.5 && four_s < 0.5);
    assert_true(fabs(after_us / before_us - 1) < 0.02);
    assert_true(stream_after_us < 1.25 * stream_before_us + 1);
    binding_close(&b);
    case_close(&c);
}

static status_t refuse(void *arg, int index, stream_t stream) {
    (void)index, (void)stream;
    ++*(int *)arg;
    return STATUS_UNSUPPORTED;
}

/* Work that fails is no failure of the counters. */
static void test_refusing_work(void **state) {
    (void)state;
    counts_t counts = {0};
    int runs = 0;
    need_counters();
    assert_int_equal(counters_measure(&counters, refuse, &runs, 2, &counts), STATUS_UNSUPPORTED);
    assert_int_equal(runs, 1);
    assert_int_equal(counters.status, COUNTERS_OK);
    assert_true(isnan(counts.dram_read_bytes) && isnan(counts.tensor_flops));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selftest), cmocka_unit_test(test_counts_and_timing),
        cmocka_unit_test(test_refusing_work),
        cmocka_unit_test(test_selftest), /* a second session in one process */
    };
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
