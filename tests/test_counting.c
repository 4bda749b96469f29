/* The counter pass of a point, with a source that counts whatever the test says. */
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

#include "harness/counting.h"
#include "harness/registry.h"
#include "profiles/source.h"
#include "results/csv_table.h"

#include <cmocka.h> /* last: its fail() is a macro */

static counter_status_t status_at_open;
static counts_t what_it_counts;
static int launches_counted, measures;
static bool crash_at_open;
static int device_dies_at, crash_at; /* which measurement of a process; 0 is never */

static void fake_open(device_t *device, counters_t *counters) {
    (void)device;
    if (crash_at_open) _exit(9);
    counters->status = status_at_open;
    if (status_at_open != COUNTERS_OK)
        snprintf(counters->reason, sizeof counters->reason, "ask the administrator");
}

static void fake_close(counters_t *counters) {
    (void)counters;
}

static status_t fake_measure(counters_t *counters, work_t work, void *arg, int launches,
                             counts_t *out) {
    launches_counted = launches;
    if (++measures == device_dies_at) return STATUS_DEVICE;
    if (measures == crash_at) {
        signal(SIGSEGV, SIG_DFL); /* cmocka catches it */
        raise(SIGSEGV);
    }
    for (int i = 0; i < launches; i++) {
        const status_t st = counters->device->ops->run(counters->device, work, arg, i);
        if (st != STATUS_OK) return st;
    }
    *out = what_it_counts;
    return STATUS_OK;
}

static const counter_source_t fake = {.kind = DEVICE_CPU,
                                      .name = "fake",
                                      .open = fake_open,
                                      .close = fake_close,
                                      .measure = fake_measure};
REGISTER_COUNTER_SOURCE(fake)

/* Opened after the tests that fork: OpenMP does not survive that. */
static device_t *device;

static void open_device(void) {
    if (!device) assert_int_equal(device_open("cpu", &device), STATUS_OK);
}

static int check_registry(void **state) {
    (void)state;
    return registry_check() == STATUS_OK ? 0 : -1;
}

static int close_device(void **state) {
    (void)state;
    if (device) device->ops->close(device);
    return 0;
}

static int reset(void **state) {
    (void)state;
    status_at_open = COUNTERS_OK;
    what_it_counts = (counts_t){3000.4, 1000, 8000, NAN, 100, 20};
    launches_counted = measures = device_dies_at = crash_at = 0;
    crash_at_open = false;
    return 0;
}

static void test_parse(void **state) {
    (void)state;
    counting_t counting = COUNTING_AUTO;
    assert_int_equal(counting_parse("require", &counting), STATUS_OK);
    assert_int_equal(counting, COUNTING_REQUIRE);
    assert_int_equal(counting_parse("off", &counting), STATUS_OK);
    assert_int_equal(counting, COUNTING_OFF);
    assert_int_equal(counting_parse("on", &counting), STATUS_USAGE);
    assert_int_equal(counting, COUNTING_OFF);
}

static void test_require(void **state) {
    (void)state;
    counters_t counters;
    assert_int_equal(counting_probe(COUNTING_REQUIRE, "cpu", &counters), STATUS_OK);
    assert_int_equal(counters.status, COUNTERS_OK);
    assert_string_equal(counters.source, "fake");
    status_at_open = COUNTERS_DENIED;
    assert_int_equal(counting_probe(COUNTING_REQUIRE, "cpu", &counters), STATUS_ENVIRONMENT);
    assert_non_null(strstr(last_error(), "denied: ask the administrator"));
    assert_int_equal(counting_probe(COUNTING_AUTO, "cpu", &counters), STATUS_OK);
    assert_int_equal(counters.status, COUNTERS_DENIED);
    assert_string_equal(counters.reason, "ask the administrator");
    assert_int_equal(counting_probe(COUNTING_AUTO, "toaster", &counters), STATUS_OK);
    assert_int_equal(counters.status, COUNTERS_UNSUPPORTED);
    assert_non_null(strstr(counters.reason, "toaster"));
}

/* A source that takes its process down must not take the sweep with it. */
static void test_probe_survives_a_crash(void **state) {
    (void)state;
    counters_t counters;
    crash_at_open = true;
    assert_int_equal(counting_probe(COUNTING_AUTO, "cpu", &counters), STATUS_OK);
    assert_int_equal(counters.status, COUNTERS_UNSUPPORTED);
    assert_non_null(strstr(counters.reason, "exit code 9"));
}

static void test_off_opens_nothing(void **state) {
    (void)state;
    counters_t counters;
    crash_at_open = true;
    assert_int_equal(counting_probe(COUNTING_OFF, "cpu", &counters), STATUS_OK);
    assert_int_equal(counters.status, COUNTERS_OFF);
    assert_string_equal(counters.source, "none");
}

/* Counts a dense layer that rotates over `sets` copies. */
static counts_t count(cache_t cache, double rotate_bytes, int *sets) {
    const problem_t problem = {
        .dtype = DTYPE_FP32, .tokens = 8, .in_features = 32, .out_features = 32, .blocks = 1};
    case_t c;
    binding_t binding;
    counters_t counters;
    counts_t counts;
    open_device();
    assert_int_equal(case_open(structure_find("dense"), &problem, &c), STATUS_OK);
    assert_int_equal(
        binding_open(&c, variant_baseline("dense", DEVICE_CPU), device, rotate_bytes, &binding),
        STATUS_OK);
    *sets = binding.sets;
    counters_open(device, &counters);
    assert_int_equal(counting_measure(&counters, &binding, cache, &counts), STATUS_OK);
    counters_close(&counters);
    binding_close(&binding);
    case_close(&c);
    return counts;
}

static void test_every_copy_is_counted_once(void **state) {
    (void)state;
    int sets;
    const counts_t counts = count(CACHE_ROTATE, 1e6, &sets);
    assert_true(sets > 100);
    assert_int_equal(launches_counted, sets);
    assert_float_equal(counts.l2_bytes, 8000, 0);
    count(CACHE_HOT, 0, &sets);
    assert_int_equal(sets, 1);
    assert_true(launches_counted > 1);
}

static void test_what_cannot_be_counted_is_unknown(void **state) {
    (void)state;
    int sets;
    counts_t counts = count(CACHE_COLD, 0, &sets);
    assert_true(isnan(counts.dram_read_bytes) && isnan(counts.tensor_flops));
    assert_int_equal(launches_counted, 0);
    status_at_open = COUNTERS_DENIED;
    counts = count(CACHE_ROTATE, 0, &sets);
    assert_true(isnan(counts.dram_read_bytes) && isnan(counts.cuda_core_flops));
    assert_int_equal(launches_counted, 0);
}

static point_row_t filled(counter_status_t status, cache_t cache, const counts_t *counts) {
    point_row_t row;
    counters_t counters = {.source = "fake", .status = status};
    row_clear(&POINTS_TABLE, &row);
    row.flops = 100;
    if (status != COUNTERS_OK && status != COUNTERS_OFF)
        snprintf(counters.reason, sizeof counters.reason, "ask the administrator");
    counting_fill(&counters, cache, counts, &row);
    return row;
}

static void test_fill(void **state) {
    (void)state;
    point_row_t row = filled(COUNTERS_OK, CACHE_ROTATE, &what_it_counts);
    assert_string_equal(row.counter_status, "ok");
    assert_string_equal(row.counter_source, "fake");
    assert_string_equal(row.reason, "");
    assert_float_equal(row.dram_read_bytes, 3000, 0); /* a COUNT is whole */
    assert_float_equal(row.dram_write_bytes, 1000, 0);
    assert_float_equal(row.l2_bytes, 8000, 0);
    assert_true(isnan(row.l1_bytes));
    assert_float_equal(row.flops_measured, 120, 0);
    assert_float_equal(row.tensor_flops_measured, 100, 0);
    assert_float_equal(row.cuda_core_flops_measured, 20, 0);
    assert_float_equal(row.flops_waste, 1.2, 1e-12);
    assert_float_equal(row.l2_intensity, 0.0125, 1e-12);
    const counts_t half = {NAN, NAN, NAN, NAN, 100, NAN};
    row = filled(COUNTERS_OK, CACHE_ROTATE, &half);
    assert_true(isnan(row.flops_measured)); /* one pipe alone is not what was executed */
    assert_true(isnan(row.flops_waste) && isnan(row.dram_read_bytes));
    assert_float_equal(row.tensor_flops_measured, 100, 0);
}

static void test_fill_says_why_not(void **state) {
    (void)state;
    point_row_t row = filled(COUNTERS_DENIED, CACHE_ROTATE, &what_it_counts);
    assert_string_equal(row.counter_status, "denied");
    assert_string_equal(row.reason, "not counted: ask the administrator");
    assert_true(isnan(row.dram_read_bytes) && isnan(row.flops_measured));
    row = filled(COUNTERS_OK, CACHE_COLD, &what_it_counts);
    assert_string_equal(row.counter_status, "unsupported");
    assert_non_null(strstr(row.reason, "--cache rotate"));
    assert_true(isnan(row.dram_read_bytes));
    row = filled(COUNTERS_OFF, CACHE_ROTATE, &what_it_counts);
    assert_string_equal(row.counter_status, "off");
    assert_string_equal(row.reason, "");
    assert_true(isnan(row.dram_read_bytes));
}

/* ---- all rows of a run ---- */

enum { ROWS = 6 };

static run_t run;
static char run_path[] = "/tmp/blroof-counting-XXXXXX";
static point_row_t rows_after[ROWS];

static void add_row(const char *status, const char *counter_status, cache_t cache, int tokens) {
    point_row_t row;
    row_clear(&POINTS_TABLE, &row);
    row_set_text(row.layer, "%s", "some");
    row_set_text(row.structure, "%s", "dense");
    row_set_text(row.variant, "%s", variant_baseline("dense", DEVICE_CPU)->name);
    row_set_text(row.dtype, "%s", "fp32");
    row_set_text(row.status, "%s", status);
    row_set_text(row.cache, "%s", cache_name(cache));
    row_set_text(row.counter_status, "%s", counter_status);
    row.tokens = tokens;
    row.in_features = row.out_features = 16;
    row.time_us = 10;
    row.flops = 100;
    row.bytes_min = row.bytes_model = 3000 + 64 * tokens;
    assert_int_equal(run_add_point(&run, &row, NULL, 0), STATUS_OK);
}

static status_t keep(void *ctx, const void *row, int line) {
    (void)line;
    int *at = ctx;
    assert_true(*at < ROWS);
    rows_after[(*at)++] = *(const point_row_t *)row;
    return STATUS_OK;
}

/* Two rows to be counted and four that are not; returns what counting them said. */
static status_t count_rows(counting_t counting) {
    device_ceilings_t ceilings;
    char path[64];
    for (int d = 0; d < DTYPE_COUNT; d++) ceilings.of[d] = roof_ceilings_none();
    pool_t pool;
    assert_int_equal(pool_start("cpu", 0, false, &pool), STATUS_OK);
    strcpy(strrchr(run_path, '-'), "-XXXXXX");
    assert_non_null(mkdtemp(run_path));
    assert_int_equal(run_open(run_path, pool.device, NULL, false, &run), STATUS_OK);
    assert_int_equal(run_open_points(&run), STATUS_OK);
    add_row("ok", "off", CACHE_ROTATE, 1);
    add_row("unsupported", "off", CACHE_ROTATE, 2);
    add_row("ok", "denied", CACHE_ROTATE, 3);
    add_row("ok", "off", CACHE_COLD, 4);
    add_row("ok", "ok", CACHE_ROTATE, 5);
    add_row("ok", "off", CACHE_HOT, 6);
    const status_t st = counting_rows(&run, &pool, counting, &ceilings, 0);
    pool_stop(&pool);
    run_close(&run);
    int found = 0;
    snprintf(path, sizeof path, "%s/points.csv", run_path);
    assert_int_equal(table_read(&POINTS_TABLE, path, true, keep, &found), STATUS_OK);
    assert_int_equal(found, ROWS);
    for (int i = 0; i < ROWS; i++) assert_float_equal(rows_after[i].tokens, i + 1, 0);
    remove(path);
    snprintf(path, sizeof path, "%s/samples.csv", run_path);
    remove(path);
    snprintf(path, sizeof path, "%s/run.csv", run_path);
    remove(path);
    assert_int_equal(rmdir(run_path), 0); /* nothing else was left there */
    return st;
}

static int counted(void) {
    int count = 0;
    for (int i = 0; i < ROWS; i++) count += rows_after[i].dram_read_bytes == 3000;
    return count;
}

static void test_rows_are_counted_once(void **state) {
    (void)state;
    assert_int_equal(count_rows(COUNTING_REQUIRE), STATUS_OK);
    assert_int_equal(counted(), 2);
    assert_string_equal(rows_after[0].counter_status, "ok");
    assert_string_equal(rows_after[0].intensity_source, "counters");
    assert_float_equal(rows_after[0].excess_traffic, 1, 1e-12);
    assert_string_equal(rows_after[5].counter_status, "ok");
    assert_string_equal(rows_after[2].counter_status, "denied");
    assert_string_equal(rows_after[3].counter_status, "off");
    assert_true(isnan(rows_after[4].dram_read_bytes));
}

/* The second row that is counted ends the process, and says so; what was timed stays. */
static void expect_second_uncounted(const char *reason) {
    assert_int_equal(count_rows(COUNTING_AUTO), STATUS_OK);
    assert_int_equal(counted(), 1);
    assert_string_equal(rows_after[5].counter_status, "unsupported");
    assert_non_null(strstr(rows_after[5].reason, reason));
    assert_float_equal(rows_after[5].time_us, 10, 0);
}

static void test_rows_survive_a_dead_device(void **state) {
    (void)state;
    device_dies_at = 2;
    expect_second_uncounted("not counted: ");
}

static void test_rows_survive_a_crash(void **state) {
    (void)state;
    crash_at = 2;
    expect_second_uncounted("not counted: its process crashed: Segmentation fault");
}

static void test_required_counters_that_fail(void **state) {
    (void)state;
    status_at_open = COUNTERS_DENIED;
    assert_int_equal(count_rows(COUNTING_REQUIRE), STATUS_ENVIRONMENT);
    assert_int_equal(counted(), 0);
    assert_string_equal(rows_after[0].reason, "not counted: ask the administrator");
    assert_string_equal(rows_after[5].counter_status, "off"); /* was not tried */
}

/* A row is judged by the ceilings of what it multiplies in; without that cell, by its dtype's. */
static void test_ceilings_of(void **state) {
    (void)state;
    const ceiling_t bf16 = {.kind = CEILING_TENSOR, .dtype = "bf16", .value = 8e14};
    const ceiling_t fp8 = {.kind = CEILING_TENSOR, .dtype = "fp8", .value = 17e14};
    device_ceilings_t c;
    point_row_t row;
    for (int i = 0; i < MATRIX_DTYPES; i++) {
        c.of[i] = roof_ceilings_none();
        roof_ceilings_add(&c.of[i], &bf16, matrix_dtype_name(i));
        roof_ceilings_add(&c.of[i], &fp8, matrix_dtype_name(i));
    }
    row_clear(&POINTS_TABLE, &row);
    row_set_text(row.dtype, "bf16");
    assert_true(ceilings_of(&c, &row)->compute_flops == 8e14);
    row_set_text(row.matrix_dtype, "fp8");
    assert_true(ceilings_of(&c, &row)->compute_flops == 17e14);
    row_set_text(row.matrix_dtype, "bf16");
    assert_true(ceilings_of(&c, &row)->compute_flops == 8e14);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_ceilings_of),
        cmocka_unit_test_setup(test_require, reset),
        cmocka_unit_test_setup(test_probe_survives_a_crash, reset),
        cmocka_unit_test_setup(test_off_opens_nothing, reset),
        cmocka_unit_test_setup(test_rows_are_counted_once, reset),
        cmocka_unit_test_setup(test_rows_survive_a_dead_device, reset),
        cmocka_unit_test_setup(test_rows_survive_a_crash, reset),
        cmocka_unit_test_setup(test_required_counters_that_fail, reset),
        cmocka_unit_test_setup(test_every_copy_is_counted_once, reset),
        cmocka_unit_test_setup(test_what_cannot_be_counted_is_unknown, reset),
        cmocka_unit_test_setup(test_fill, reset),
        cmocka_unit_test_setup(test_fill_says_why_not, reset),
    };
    return cmocka_run_group_tests(tests, check_registry, close_device);
}
