/* roofline/roofline.c on cases computed by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "roofline/roofline.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

static void assert_near(double value, double expected, double relative) {
    if (!(fabs(value - expected) <= relative * fabs(expected)))
        fail_msg("%.9g is not %.9g", value, expected);
}

/* The A40 of the paper: 149.7 TFLOP/s in BF16, 696 GB/s, 6 MB of L2. */
static const double A40_FLOPS = 149.7e12, A40_BYTES = 696e9, A40_L2 = 6.0 * 1048576;

static roof_ceilings_t a40(void) {
    roof_ceilings_t c = roof_ceilings_none();
    const ceiling_t rows[] = {
        {.kind = CEILING_TENSOR, .dtype = "bf16", .method = "mma_loop", .value = A40_FLOPS},
        {.kind = CEILING_DRAM, .dtype = "", .method = "read", .value = A40_BYTES}};
    for (int i = 0; i < 2; i++) roof_ceilings_add(&c, &rows[i], "bf16");
    return c;
}

static void test_ridge(void **state) {
    (void)state;
    /* 149.7e12 / 696e9 = 215.09 FLOP/B: half of it gives half the peak. */
    assert_near(A40_FLOPS / A40_BYTES, 215.09, 1e-4);
    assert_near(attainable_flops(107.5431, A40_FLOPS, A40_BYTES), A40_FLOPS / 2, 1e-5);
    assert_near(attainable_flops(215.0, A40_FLOPS, A40_BYTES), 149.64e12, 1e-6);
    assert_near(attainable_flops(216.0, A40_FLOPS, A40_BYTES), A40_FLOPS, 0);
    assert_true(isnan(attainable_flops(NAN, A40_FLOPS, A40_BYTES)));
    assert_true(isnan(attainable_flops(100, NAN, A40_BYTES)));
    assert_near(intensity(12, 4), 3, 0);
    assert_true(isnan(intensity(12, 0)) && isnan(intensity(12, -4)) && isnan(intensity(12, NAN)));
}

static roof_t a40_roof(double flops, double dram_bytes) {
    const roof_ceilings_t c = a40();
    return roof_time(&(demand_t){.compute_flops = flops, .dram_bytes = dram_bytes, .l2_bytes = NAN},
                     &c);
}

/*
 * Table 2 of the paper in BF16 with n = 1024, i = o = 4096, b = 16, r = 1024. In elements:
 *   ni = no = 4,194,304   io = 16,777,216   ir = ro = 4,194,304   bnr = 16,777,216
 *   nr = 1,048,576        rb^2 = 262,144
 */
static void test_a40_dense(void **state) {
    (void)state;
    /* 2nio = 34,359,738,368 FLOP; 2 (ni + io + no) = 50,331,648 B: 682.7 FLOP/B. */
    const roof_t roof = a40_roof(34359738368.0, 50331648.0);
    assert_near(intensity(34359738368.0, 50331648.0), 682.667, 1e-5);
    assert_int_equal(roof.bound, BOUND_COMPUTE);
    assert_near(roof.seconds, 229.524e-6, 1e-5); /* 34.36e9 / 149.7e12; DRAM 72.3 us */
}

static void test_a40_lowrank(void **state) {
    (void)state;
    /* 2nr(i+o) = 17,179,869,184 FLOP; 2 (ni+ir+ro+no+2nr) = 37,748,736 B: 455.1 FLOP/B. */
    const roof_t roof = a40_roof(17179869184.0, 37748736.0);
    assert_near(intensity(17179869184.0, 37748736.0), 455.111, 1e-5);
    assert_int_equal(roof.bound, BOUND_COMPUTE);
    assert_near(roof.seconds, 114.762e-6, 1e-5); /* DRAM 54.2 us */
}

static void test_a40_monarch(void **state) {
    (void)state;
    /* The FLOPs of low-rank; 2 (ni+ir+ro+no+4bnr) = 167,772,160 B: 102.4 FLOP/B. */
    roof_t roof = a40_roof(17179869184.0, 167772160.0);
    assert_near(intensity(17179869184.0, 167772160.0), 102.4, 1e-9);
    assert_int_equal(roof.bound, BOUND_DRAM);
    assert_near(roof.seconds, 241.052e-6, 1e-5); /* 167.8e6 / 696e9; compute 114.8 us */

    /*
     * 4bnr is two intermediates of bnr = 33,554,432 B, each written and read. 6 MB of cache keep
     * 6,291,456 B of each: 33,554,432 + 2 x 2 x 27,262,976 = 142,606,336 B, 204.9 us: still DRAM.
     */
    const double bnr[] = {33554432.0, 33554432.0};
    const double least = dram_bytes_floor(33554432.0, bnr, 2, A40_L2);
    assert_near(least, 142606336.0, 0);
    roof = a40_roof(17179869184.0, least);
    assert_int_equal(roof.bound, BOUND_DRAM);
    assert_near(roof.seconds, 204.894e-6, 1e-5);
}

static void test_a40_blast(void **state) {
    (void)state;
    /* 2nr(i+o+b^2) = 17,716,740,096 FLOP; 2 (ni+ir+rb^2+ro+no+8bnr) = 302,514,176 B: 58.6. */
    roof_t roof = a40_roof(17716740096.0, 302514176.0);
    assert_near(intensity(17716740096.0, 302514176.0), 58.565, 1e-4);
    assert_int_equal(roof.bound, BOUND_DRAM);
    assert_near(roof.seconds, 434.647e-6, 1e-5); /* compute 118.3 us */

    /* Four intermediates: 34,078,720 + 4 x 2 x 27,262,976 = 252,182,528 B, 362.3 us. */
    const double bnr[] = {33554432.0, 33554432.0, 33554432.0, 33554432.0};
    const double least = dram_bytes_floor(34078720.0, bnr, 4, A40_L2);
    assert_near(least, 252182528.0, 0);
    roof = a40_roof(17716740096.0, least);
    assert_int_equal(roof.bound, BOUND_DRAM);
    assert_near(roof.seconds, 362.331e-6, 1e-5);

    /* With one token all intermediates (32 KB) stay in the cache, as if they were fused away. */
    const double one_token[] = {32768.0, 32768.0, 32768.0, 32768.0};
    assert_near(dram_bytes_floor(17318912.0, one_token, 4, A40_L2), 17318912.0, 0);
    assert_near(dram_bytes_floor(17318912.0, one_token, 4, 0), 17318912.0 + 8 * 32768.0, 0);
}

/* Round ceilings: 100 TFLOP/s, 20 TFLOP/s on CUDA cores, 1 and 4 TB/s, 2 us a kernel. */
static const roof_ceilings_t ROUND = {.compute_flops = 100e12,
                                      .compute_is_tensor = true,
                                      .cuda_core_flops = 20e12,
                                      .dram_bytes = 1e12,
                                      .l2_bytes = 4e12,
                                      .launch_s = 2e-6};

static void assert_roof(demand_t demand, double seconds, bound_t bound) {
    const roof_t roof = roof_time(&demand, &ROUND);
    assert_near(roof.seconds, seconds, 1e-12);
    assert_int_equal(roof.bound, bound);
}

static void test_every_bound(void **state) {
    (void)state;
    /* Alone each term is 10, 10, 10, 10 and 4 us; then one is made the largest. */
    const demand_t even = {1e9, 2e8, 1e7, 4e7, 2};
    demand_t d = even;
    d.compute_flops = 2e9;
    assert_roof(d, 20e-6, BOUND_COMPUTE);
    d = even, d.cuda_core_flops = 3e8;
    assert_roof(d, 15e-6, BOUND_CUDA_CORE);
    d = even, d.dram_bytes = 1.2e7;
    assert_roof(d, 12e-6, BOUND_DRAM);
    d = even, d.l2_bytes = 4.4e7;
    assert_roof(d, 11e-6, BOUND_L2);
    d = even, d.kernels = 7;
    assert_roof(d, 14e-6, BOUND_LATENCY);
}

static void test_unknown_terms_are_left_out(void **state) {
    (void)state;
    assert_roof((demand_t){1e9, NAN, 2e7, NAN, 0}, 20e-6, BOUND_DRAM);
    roof_ceilings_t c = ROUND;
    const demand_t demand = {1e9, 0, 2e7, 0, 1};
    c.dram_bytes = NAN;
    assert_int_equal(roof_time(&demand, &c).bound, BOUND_COMPUTE);
    c.compute_flops = 0; /* a ceiling of 0 is no measurement */
    assert_int_equal(roof_time(&demand, &c).bound, BOUND_LATENCY);
    c = roof_ceilings_none();
    assert_true(isnan(roof_time(&demand, &c).seconds));
    assert_int_equal(roof_time(&demand, &c).bound, BOUND_COUNT);
    const demand_t nothing = {0};
    assert_true(isnan(roof_time(&nothing, &ROUND).seconds));
}

static roof_ceilings_t fold(const ceiling_t *rows, int count, const char *dtype, int reverse) {
    roof_ceilings_t c = roof_ceilings_none();
    for (int i = 0; i < count; i++)
        roof_ceilings_add(&c, &rows[reverse ? count - 1 - i : i], dtype);
    return c;
}

static const ceiling_t GPU_ROWS[] = {
    {CEILING_DRAM, "", "read", 3e12, NAN, NAN, NAN, "B/s", NAN},
    {CEILING_DRAM, "", "copy", 4e12, NAN, NAN, NAN, "B/s", NAN},
    {CEILING_DRAM, "", "triad", NAN, NAN, NAN, NAN, "B/s", NAN},
    {CEILING_L2, "", "read", 9e12, NAN, NAN, NAN, "B/s", NAN},
    {CEILING_L1, "", "read", 99e12, NAN, NAN, NAN, "B/s", NAN},
    {CEILING_CUDA_CORE, "fp32", "fma_loop", 60e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_CUDA_CORE, "fp32", "add_loop", 30e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_CUDA_CORE, "bf16", "fma2_loop", 120e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_TENSOR, "bf16", "cublaslt_gemm", 700e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_TENSOR, "bf16", "mma_loop", 900e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_TENSOR, "fp16", "mma_loop", 950e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_TENSOR, "fp32", "cublaslt_gemm", 50e12, NAN, NAN, NAN, "FLOP/s", NAN},
    {CEILING_LAUNCH, "", "graph", 2e-6, NAN, NAN, NAN, "s", NAN},
    {CEILING_LAUNCH, "", "graph_dependent", 1.5e-6, NAN, NAN, NAN, "s", NAN},
    {CEILING_LAUNCH, "", "stream", 1e-6, NAN, NAN, NAN, "s", NAN},
};
enum { GPU_ROW_COUNT = sizeof GPU_ROWS / sizeof *GPU_ROWS };

static void test_envelope(void **state) {
    (void)state;
    for (int reverse = 0; reverse < 2; reverse++) {
        const roof_ceilings_t bf16 = fold(GPU_ROWS, GPU_ROW_COUNT, "bf16", reverse);
        assert_near(bf16.compute_flops, 900e12, 0);
        assert_near(bf16.cuda_core_flops, 60e12, 0);
        assert_near(bf16.cuda_core_peak_flops, 120e12, 0);
        assert_near(bf16.dram_bytes, 4e12, 0);
        assert_near(bf16.l2_bytes, 9e12, 0);
        assert_near(bf16.launch_s, 1.5e-6, 0);
        /* fp32 has a row of its own, so the faster CUDA-core loop does not stand in for it. */
        const roof_ceilings_t fp32 = fold(GPU_ROWS, GPU_ROW_COUNT, "fp32", reverse);
        assert_near(fp32.compute_flops, 50e12, 0);
        assert_near(fp32.cuda_core_flops, 60e12, 0);
    }
}

static void test_cpu_envelope(void **state) {
    (void)state;
    static const ceiling_t rows[] = {
        {CEILING_CUDA_CORE, "fp32", "fma_loop", 1e12, NAN, NAN, NAN, "FLOP/s", NAN},
        {CEILING_CUDA_CORE, "fp32", "sgemm", 0.9e12, NAN, NAN, NAN, "FLOP/s", NAN},
        {CEILING_CUDA_CORE, "bf16", "packed", 5e12, NAN, NAN, NAN, "FLOP/s", NAN}};
    for (int reverse = 0; reverse < 2; reverse++) {
        const roof_ceilings_t fp32 = fold(rows, 3, "fp32", reverse);
        assert_near(fp32.compute_flops, 1e12, 0);
        assert_false(fp32.compute_is_tensor);
        const roof_ceilings_t bf16 = fold(rows, 3, "bf16", reverse);
        assert_true(isnan(bf16.compute_flops));
        assert_near(bf16.cuda_core_flops, 1e12, 0);
    }
}

static void test_times_needed(void **state) {
    (void)state;
    assert_near(times_needed(30, 20), 1.5, 0);
    assert_near(times_needed(0, 20), 0, 0); /* a count of nothing is known */
    assert_true(isnan(times_needed(NAN, 20)) && isnan(times_needed(30, NAN)));
    assert_true(isnan(times_needed(30, 0)));
}

/* In 10 us the round ceilings allow 1e9 FLOP, 2e8 on CUDA cores, 1e7 B of DRAM, 4e7 B of L2. */
static void test_impossible(void **state) {
    (void)state;
    roof_ceilings_t c = ROUND;
    c.cuda_core_peak_flops = 40e12; /* packed halves run twice as fast: 4e8 in 10 us */
    const executed_t fine = {1.04e9, 3e8, 1.04e7, 4.1e7};
    assert_false(impossible(&fine, 1.3e9, 10e-6, &c));
    executed_t e = fine;
    e.tensor_flops = 1.06e9;
    assert_true(impossible(&e, 1e9, 10e-6, &c));
    c.compute_is_tensor = false; /* a stand-in ceiling proves nothing about matrix units */
    assert_false(impossible(&e, 1e9, 10e-6, &c));
    c.compute_is_tensor = true;
    e = fine, e.cuda_core_flops = 4.3e8;
    assert_true(impossible(&e, 1e9, 10e-6, &c));
    e = fine, e.dram_bytes = 1.06e7;
    assert_true(impossible(&e, 1e9, 10e-6, &c));
    e = fine, e.l2_bytes = 4.3e7;
    assert_true(impossible(&e, 1e9, 10e-6, &c));
    /* Both pipes together executed 1.34e9. */
    assert_false(impossible(&fine, 1.35e9, 10e-6, &c));
    assert_true(impossible(&fine, 1.36e9, 10e-6, &c));
}

static void test_the_unknown_is_not_impossible(void **state) {
    (void)state;
    const executed_t nothing = {NAN, NAN, NAN, NAN}, half = {1e6, NAN, NAN, NAN};
    const executed_t huge = {1e15, 1e15, 1e15, 1e15};
    const roof_ceilings_t none = roof_ceilings_none();
    assert_false(impossible(&nothing, 1e9, 10e-6, &ROUND));
    assert_false(impossible(&half, 1e9, 10e-6, &ROUND));
    assert_false(impossible(&huge, 1e9, 10e-6, &none));
}

static void assert_ranges(const double *y, int expected, double from, double to) {
    static const double x[] = {1, 4, 16, 64};
    range_t ranges[2];
    assert_int_equal(ranges_above_one(x, y, 4, ranges), expected);
    if (expected == 0) return;
    assert_near(ranges[expected - 1].from, from, 1e-12);
    assert_near(ranges[expected - 1].to, to, 1e-12);
}

static void test_ranges(void **state) {
    (void)state;
    /* Half way in the logarithm between 4 and 16 is 8; three quarters are 4 x 4^0.75 = 11.31. */
    assert_ranges((double[]){0.25, 0.5, 2, 4}, 1, 8, 64);
    assert_ranges((double[]){0.25, 0.125, 2, 4}, 1, 4 * pow(4, 0.75), 64);
    assert_ranges((double[]){4, 2, 0.5, 0.25}, 1, 1, 8);
    assert_ranges((double[]){0.5, 2, 0.5, 0.25}, 1, 2, 8);
    assert_ranges((double[]){2, 0.5, 0.5, 2}, 2, 32, 64);
    assert_ranges((double[]){2, 2, 2, 2}, 1, 1, 64);
    assert_ranges((double[]){0.5, 1, 1, 0.5}, 0, 0, 0);
    assert_int_equal(ranges_above_one(NULL, NULL, 0, NULL), 0);
    range_t one;
    assert_int_equal(ranges_above_one((double[]){3}, (double[]){2}, 1, &one), 1);
    assert_near(one.from, 3, 0);
    assert_near(one.to, 3, 0);
}

static void test_names(void **state) {
    (void)state;
    static const char *const kinds[] = {"dram", "l2", "l1", "tensor", "cuda_core", "launch"};
    static const char *const bounds[] = {"compute", "cuda_core", "dram", "l2", "latency", ""};
    for (int i = 0; i < CEILING_KIND_COUNT; i++)
        assert_string_equal(ceiling_kind_name((ceiling_kind_t)i), kinds[i]);
    for (int i = 0; i <= BOUND_COUNT; i++) assert_string_equal(bound_name((bound_t)i), bounds[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ridge),
        cmocka_unit_test(test_a40_dense),
        cmocka_unit_test(test_a40_lowrank),
        cmocka_unit_test(test_a40_monarch),
        cmocka_unit_test(test_a40_blast),
        cmocka_unit_test(test_every_bound),
        cmocka_unit_test(test_envelope),
        cmocka_unit_test(test_unknown_terms_are_left_out),
        cmocka_unit_test(test_cpu_envelope),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_times_needed),
        cmocka_unit_test(test_impossible),
        cmocka_unit_test(test_the_unknown_is_not_impossible),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
