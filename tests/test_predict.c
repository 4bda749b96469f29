/* roofline/predict.c by hand, profiles/devices.c, and harness/predicting.c on variants made here.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/predicting.h"
#include "harness/registry.h"
#include "plots/report_claims.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

static void assert_near(double a, double b) {
    if (!(fabs(a - b) <= 1e-9 * fabs(b))) fail_msg("%.12g is not %.12g", a, b);
}

/* ---- arithmetic ---- */

static machine_t machine(void) {
    machine_t m = {.rates = roof_ceilings_none(), .cache_bytes = 1000, .multiprocessors = 10};
    m.rates.compute_flops = 1e6;
    m.rates.cuda_core_flops = 1e5;
    m.rates.dram_bytes = 1e4;
    m.rates.l2_bytes = 1e5;
    m.rates.launch_s = 0.001;
    return m;
}

static void test_one_kernel_hides_the_lesser(void **state) {
    (void)state;
    const machine_t m = machine();
    const load_t compute = {.matrix_flops = 5e5, .bytes_min = 1000};
    prediction_t p = predict(&compute, &m); /* 0.5 s over 0.1 s, and a start */
    assert_near(p.seconds, 0.501);
    assert_int_equal(p.bound, BOUND_COMPUTE);
    assert_near(p.dram_bytes, 1000);
    const load_t memory = {.matrix_flops = 5e4, .bytes_min = 1000};
    p = predict(&memory, &m);
    assert_near(p.seconds, 0.101);
    assert_int_equal(p.bound, BOUND_DRAM);
}

static void test_intermediates_leave_a_small_cache(void **state) {
    (void)state;
    const machine_t m = machine();
    load_t l = {.matrix_flops = 5e5, .intermediates_len = 1, .intermediates = {4000}};
    assert_near(predict(&l, &m).dram_bytes, 8000);           /* four caches: all of it */
    assert_near(predict(&l, &m).seconds, 0.5 + 0.8 + 0.002); /* after the products */
    l.intermediates[0] = 500;                                /* half a cache: half */
    assert_near(predict(&l, &m).dram_bytes, 500);
    assert_near(predict(&l, &m).seconds, 0.5 + 0.05 + 0.005 + 0.002); /* the rest at its rate */
}

static void test_cuda_cores_and_tiles_cost(void **state) {
    (void)state;
    machine_t m = machine();
    load_t l = {.matrix_flops = 1e5, .cuda_core_flops = 1e5};
    assert_near(predict(&l, &m).seconds, 0.1 + 1 + 0.001);
    assert_int_equal(predict(&l, &m).bound, BOUND_CUDA_CORE);
    /* 5 blocks on 10 multiprocessors: half of them idle, so twice the time of that kernel */
    l = (load_t){.matrix_flops = 2e5, .tile_blocks = 5, .tile_flops = 1e5, .reread_bytes = 1e4};
    assert_near(predict(&l, &m).seconds, 0.2 + 0.1 + 0.1 + 0.001);
    l.tile_blocks = 20; /* two full waves */
    assert_near(predict(&l, &m).seconds, 0.2 + 0.1 + 0.001);
    m.rates.l2_bytes = NAN;
    assert_near(predict(&l, &m).seconds, 0.2 + 0.001);
    m.shared_bytes = 1e5;
    l.shared_bytes = 2e4;
    assert_near(predict(&l, &m).seconds, 0.2 + 0.2 + 0.001);
    m.shared_bytes = NAN;
    assert_near(predict(&l, &m).seconds, 0.2 + 0.001);
    m.rates.dram_bytes = NAN;
    assert_true(isnan(predict(&l, &m).seconds));
}

/* The prediction is never below the roof of the same point. */
static void test_above_the_roof(void **state) {
    (void)state;
    const machine_t m = machine();
    for (int exponent = 0; exponent < 9; exponent++) {
        const double bytes = 10 * pow(3, exponent);
        const load_t l = {.matrix_flops = 1e5,
                          .cuda_core_flops = 1e3,
                          .bytes_min = 2000,
                          .intermediates_len = 2,
                          .intermediates = {bytes, bytes / 2}};
        const demand_t demand = {
            .compute_flops = l.matrix_flops,
            .cuda_core_flops = l.cuda_core_flops,
            .dram_bytes = dram_bytes_floor(l.bytes_min, l.intermediates, 2, m.cache_bytes),
            .l2_bytes = l.bytes_min + 3 * bytes,
            .kernels = 3};
        assert_true(predict(&l, &m).seconds >= roof_time(&demand, &m.rates).seconds);
    }
}

/* ---- profiles ---- */

static status_t count_profile(void *ctx, const device_profile_t *p) {
    static const char *const wanted[] = {"a100", "a40",           "b200",   "h100",
                                         "h200", "orin_nano_8gb", "rtx4090"};
    int *count = ctx;
    assert_string_equal(p->id, wanted[(*count)++]);
    assert_true(p->tensor_fraction.value < 1 && p->dram_fraction.value < 1);
    assert_true(strlen(p->tensor_tflops.source) > 5);
    return STATUS_OK;
}

static void test_profiles_of_the_program(void **state) {
    (void)state;
    int count = 0;
    device_profile_t a40;
    assert_int_equal(device_profiles(count_profile, &count), STATUS_OK);
    assert_int_equal(count, 7);
    assert_int_equal(device_profile_read("a40", &a40), STATUS_OK);
    assert_string_equal(a40.name, "NVIDIA A40");
    assert_near(a40.tensor_tflops.value, 149.7);
    assert_int_equal(device_profile_info(&a40).compute_capability, 86);
    assert_int_equal(device_profile_info(&a40).cache_bytes, 6 << 20);
    assert_int_equal(device_profile_read("a41", &a40), STATUS_USAGE);
    assert_non_null(strstr(last_error(), "a100, a40, b200"));
}

static void expect_bad(const char *text, const char *message) {
    device_profile_t p;
    char path[128];
    snprintf(path, sizeof path, "/tmp/blroof-profile-%d.txt", (int)getpid());
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    assert_int_equal(device_profile_read(path, &p), STATUS_USAGE);
    if (!strstr(last_error(), message)) fail_msg("%s", last_error());
    unlink(path);
}

static void test_bad_profiles(void **state) {
    (void)state;
    expect_bad("", "has no name");
    expect_bad("name x\n", "lacks compute_capability");
    expect_bad("name x\nsms 8 a\nsms 8 a\n", ":3: a second sms");
    expect_bad("name x\nsms eight a\n", ":2: sms 'eight'");
    expect_bad("name x\nsms -1 a\n", ":2: sms '-1'");
    expect_bad("name x\nsms 8.5 a\n", ":2: sms '8.5': expected a whole number");
    expect_bad("name x\nl2_bytes 1e300 a\n", ":2: l2_bytes '1e300': expected a whole number");
    expect_bad("name x\ndram_gbs 1e-300 a\n", ":2: dram_gbs '1e-300': expected a number from");
    expect_bad("name x\ndram_fraction 1.01 a\n",
               ":2: dram_fraction '1.01': expected a number from");
    expect_bad("name x\nkernel_us inf a\n", ":2: kernel_us 'inf'");
    expect_bad("name x\nsms 8\n", "needs a source");
    expect_bad("name x\nsome 8 a\n", "unknown key 'some'");
    expect_bad("name x\nname y\n", ":2: expected one name");
}

/* ---- points ---- */

static int one_intermediate(const problem_t *p, double bytes[MAX_INTERMEDIATES]) {
    bytes[0] = 2 * (double)p->tokens * (double)p->rank;
    return 1;
}
static bool never(const problem_t *p, const device_info_t *d, char *why, size_t len) {
    (void)p;
    snprintf(why, len, "not on %d.%d", d->compute_capability / 10, d->compute_capability % 10);
    return false;
}
static status_t no_launch(const problem_t *p, void *const *t, void *w, stream_t s) {
    (void)p, (void)t, (void)w, (void)s;
    return STATUS_OK;
}
static const variant_t made = {.structure = "lowrank",
                               .name = "made",
                               .summary = "for this test",
                               .device = DEVICE_CUDA,
                               .dtypes = DTYPE_BIT(DTYPE_BF16),
                               .intermediates = one_intermediate,
                               .launch = no_launch};
static const variant_t refused = {.structure = "lowrank",
                                  .name = "refused",
                                  .summary = "for this test",
                                  .device = DEVICE_CUDA,
                                  .dtypes = DTYPE_BIT(DTYPE_BF16),
                                  .supports = never,
                                  .launch = no_launch};

static const point_row_t *find(const predicted_t *p, const char *layer, const char *variant) {
    for (int i = 0; i < p->points_len; i++)
        if (!strcmp(p->points[i].layer, layer) && !strcmp(p->points[i].variant, variant))
            return &p->points[i];
    return NULL;
}

static bool has_gpu_variants(void) {
    return variant_baseline("dense", DEVICE_CUDA) != NULL;
}

static void test_points_of_a_workload(void **state) {
    (void)state;
    device_profile_t a40;
    workload_t workload;
    predicted_t p;
    assert_int_equal(device_profile_read("a40", &a40), STATUS_OK);
    assert_int_equal(workload_load("paper_layers", NULL, &workload), STATUS_OK);
    if (!has_gpu_variants()) {
        assert_int_equal(predict_workload(&a40, &workload, &p), STATUS_ENVIRONMENT);
        assert_non_null(strstr(last_error(), "without CUDA"));
    }
    variant_register(&made);
    variant_register(&refused);
    assert_int_equal(predict_workload(&a40, &workload, &p), STATUS_OK);
    const point_row_t *row = find(&p, "llama7b/qkvo_proj", "made");
    assert_non_null(row);
    /* 2 n r (in + out) at 149.7 x 0.869 TFLOP/s; 2 MB through an L2 of 6 MiB; two kernels */
    const double share = 2097152.0 / 6291456.0, moved = 2 * 2097152.0;
    const double us = 17179869184.0 / (149.7e6 * 0.869) + moved * share / (696e3 * 0.938) +
                      moved * (1 - share) / 2430e3 + 2 * 1.1;
    assert_near(row->time_us, us);
    assert_string_equal(row->status, "ok");
    assert_string_equal(row->bound, "compute");
    assert_true(row->roof_us <= row->time_us);
    row = find(&p, "llama7b/qkvo_proj", "refused");
    assert_non_null(row);
    assert_string_equal(row->status, "unsupported");
    assert_string_equal(row->reason, "not on 8.6");
    assert_true(isnan(row->time_us));
    predicted_free(&p);
    workload_free(&workload);
}

/* ---- the paper's A40 (needs the CUDA variants) ---- */

static void test_ranges_of_the_a40(void **state) {
    (void)state;
    if (!has_gpu_variants()) skip();
    device_profile_t a40;
    workload_t workload;
    predicted_t p;
    report_t report;
    judged_t *judged;
    int count;
    assert_int_equal(device_profile_read("a40", &a40), STATUS_OK);
    assert_int_equal(workload_load("paper_layers", NULL, &workload), STATUS_OK);
    assert_int_equal(predict_workload(&a40, &workload, &p), STATUS_OK);
    int layers = 0;
    for (int i = 0; i < p.points_len; i++) {
        const point_row_t *row = &p.points[i];
        if (strcmp(row->variant, "partial") != 0 || row->tokens == 1) continue;
        assert_true(find(&p, row->layer, "three_bmm")->time_us < row->time_us);
        layers++;
    }
    assert_int_equal(layers, 18);
    assert_int_equal(report_of_rows(p.points, p.points_len, p.ceilings, p.ceilings_len, p.facts,
                                    p.facts_len, &report),
                     STATUS_OK);
    assert_int_equal(claims_judge(&report, 0, &judged, &count), STATUS_OK);
    for (int i = 0; i < count; i++) {
        const claim_row_t *c = &judged[i].claim;
        if (strcmp(c->quantity, "runtime_vs_dense") != 0) continue;
        assert_int_equal(judged[i].cases, 3);
        /* The paper's BLAST moves twice the intermediates of ours: a miss that stays told. */
        assert_int_equal(judged[i].verdict,
                         strcmp(c->structure, "blast") ? CLAIM_REPRODUCED : CLAIM_NOT_REPRODUCED);
    }
    free(judged);
    report_free(&report);
    predicted_free(&p);
    workload_free(&workload);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_kernel_hides_the_lesser),
        cmocka_unit_test(test_intermediates_leave_a_small_cache),
        cmocka_unit_test(test_cuda_cores_and_tiles_cost),
        cmocka_unit_test(test_above_the_roof),
        cmocka_unit_test(test_profiles_of_the_program),
        cmocka_unit_test(test_bad_profiles),
        cmocka_unit_test(test_ranges_of_the_a40),
        cmocka_unit_test(test_points_of_a_workload), /* registers variants: the last one */
    };
    if (registry_check() != STATUS_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
