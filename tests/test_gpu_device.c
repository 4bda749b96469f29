/* harness/device_cuda.cu and nvml.c: what can be told without a GPU, then memory, graphs and
 * readings on one. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/case.h"
#include "harness/nvml.h"
#include "harness/registry.h"
#include "harness/timing.h"

#include <cmocka.h> /* last: its macro fail() hides ours */

static device_t *gpu; /* NULL where there is none; see open_gpu() */

static int open_gpu(void **state) {
    (void)state;
    char why[WHY_LEN];
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) return 0;
    return device_open("cuda:0", &gpu) == STATUS_OK ? 0 : -1;
}

static int close_gpu(void **state) {
    (void)state;
    if (gpu) gpu->ops->close(gpu);
    return 0;
}

/* Skips the test where there is no GPU. */
static void need_gpu(void) {
    char why[WHY_LEN] = "this blroof was built without CUDA";
    if (gpu) return;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (ops) ops->count(why, sizeof why);
    print_message("skipped: %s\n", why);
    skip();
}

static void test_throttle_names(void **state) {
    (void)state;
    char text[96], narrow[16];
    nvml_throttle_names(0, text, sizeof text);
    assert_string_equal(text, "none");
    nvml_throttle_names(0x1, text, sizeof text); /* idle slows nothing */
    assert_string_equal(text, "none");
    nvml_throttle_names(0x4, text, sizeof text);
    assert_string_equal(text, "sw_power_cap");
    nvml_throttle_names(0x1 | 0x8 | 0x40, text, sizeof text);
    assert_string_equal(text, "hw_slowdown+hw_thermal");
    nvml_throttle_names(0xffff, text, sizeof text);
    assert_string_equal(text, "sw_power_cap+hw_slowdown+sw_thermal+hw_thermal+hw_power_brake+"
                              "applications_clocks+sync_boost");
    nvml_throttle_names(0xffff, narrow, sizeof narrow); /* whole names only */
    assert_string_equal(narrow, "sw_power_cap");
}

static void test_no_readings(void **state) {
    (void)state;
    const device_state_t now = nvml_state(NULL);
    assert_true(isnan(now.sm_clock_mhz) && isnan(now.power_w) && isnan(now.temperature_c));
    assert_string_equal(now.throttle, "");
    assert_null(nvml_find("ffff:ff:1f.0", "GPU-00000000-0000-0000-0000-000000000000"));
    assert_null(nvml_find(NULL, NULL));
}

static void test_reason_without_gpu(void **state) {
    (void)state;
    char why[WHY_LEN] = "";
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || gpu) {
        print_message("skipped: built without CUDA, or a GPU is here\n");
        skip();
        return;
    }
    device_t *device = NULL;
    assert_int_equal(ops->count(why, sizeof why), 0);
    assert_true(strlen(why) > 10);
    assert_int_equal(ops->open(0, &device), STATUS_ENVIRONMENT);
    assert_non_null(strstr(last_error(), why));
    assert_null(device);
}

static void test_round_trip(void **state) {
    (void)state;
    need_gpu();
    enum { BYTES = 1000003 };
    const device_ops_t *ops = gpu->ops;
    unsigned char *sent = malloc(BYTES), *got = calloc(1, BYTES);
    void *a = NULL, *b = NULL;
    assert_true(sent && got);
    for (int i = 0; i < BYTES; i++) sent[i] = (unsigned char)(i * 7 + i / 251);
    assert_int_equal(ops->alloc(gpu, BYTES, &a), STATUS_OK);
    assert_int_equal(ops->alloc(gpu, BYTES, &b), STATUS_OK);
    assert_int_equal((uintptr_t)a % 256, 0);
    assert_int_equal(ops->upload(gpu, a, sent, BYTES), STATUS_OK);
    assert_int_equal(ops->fill(gpu, b, 0xff, BYTES), STATUS_OK);
    assert_int_equal(ops->copy(gpu, b, a, BYTES - 1), STATUS_OK);
    assert_int_equal(ops->download(gpu, got, b, BYTES), STATUS_OK);
    assert_memory_equal(got, sent, BYTES - 1);
    assert_int_equal(got[BYTES - 1], 0xff);
    ops->free(gpu, a);
    ops->free(gpu, b);
    free(sent);
    free(got);
}

static void test_out_of_memory(void **state) {
    (void)state;
    need_gpu();
    const device_ops_t *ops = gpu->ops;
    const size_t too_much[] = {(size_t)1000000000000000, (size_t)1 << 62};
    void *p = NULL;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ops->alloc(gpu, too_much[i], &p), STATUS_OOM);
        assert_null(p);
        assert_non_null(strstr(last_error(), "free"));
        assert_int_equal(ops->alloc(gpu, 1 << 20, &p), STATUS_OK);
        assert_int_equal(ops->fill(gpu, p, 0, 1 << 20), STATUS_OK);
        ops->free(gpu, p);
        p = NULL;
    }
    /* Less than the memory there is, but more than is left: CUDA itself refuses. */
    void *held[64];
    int count = 0;
    status_t st = STATUS_OK;
    while (count < 64 && (st = ops->alloc(gpu, (size_t)8 << 30, &held[count])) == STATUS_OK)
        count++;
    for (int i = 0; i < count; i++) ops->free(gpu, held[i]);
    assert_int_equal(st, STATUS_OOM);
    assert_int_equal(ops->alloc(gpu, 1 << 20, &p), STATUS_OK);
    ops->free(gpu, p);
}

/* 512 x 2048 x 2048 in bf16 by the dense baseline: 4.3 GFLOP, 12.6 MB. */
static void open_gemm(case_t *c, binding_t *b) {
    const problem_t problem = {
        .dtype = DTYPE_BF16, .tokens = 512, .in_features = 2048, .out_features = 2048};
    const structure_t *dense = structure_find("dense");
    const variant_t *variant = variant_baseline("dense", DEVICE_CUDA);
    char why[WHY_LEN] = "";
    if (!variant || (variant->supports && !variant->supports(&problem, &gpu->info, why, WHY_LEN))) {
        print_message("skipped: no dense baseline for this GPU %s\n", why);
        skip();
    }
    assert_int_equal(case_open(dense, &problem, c), STATUS_OK);
    assert_int_equal(binding_open(c, variant, gpu, 0, b), STATUS_OK);
}

static double replay_us(work_t work, void *arg, int launches, bool cold, int *kernels) {
    recording_t *recording = NULL;
    double us = NAN;
    assert_int_equal(gpu->ops->record(gpu, work, arg, launches, cold, &recording), STATUS_OK);
    for (int i = 0; i < 20; i++) assert_int_equal(gpu->ops->replay(gpu, recording, &us), STATUS_OK);
    *kernels = gpu->ops->kernels(recording);
    gpu->ops->discard(recording);
    return us;
}

static void test_times(void **state) {
    (void)state;
    need_gpu();
    case_t c;
    binding_t b;
    int kernels = 0;
    double stream_us = NAN;
    open_gemm(&c, &b);
    if (gpu->ops->run(gpu, binding_launch, &b, 0) != STATUS_OK) {
        print_message("skipped: %s\n", last_error());
        binding_close(&b);
        case_close(&c);
        skip();
    }
    const double one = replay_us(binding_launch, &b, 1, false, &kernels);
    assert_in_range(kernels, 1, 4);
    const double many = replay_us(binding_launch, &b, 200, false, &kernels);
    assert_in_range(kernels, 1, 4);
    const double cold = replay_us(binding_launch, &b, 10, true, &kernels);
    assert_in_range(kernels, 1, 4); /* the flush is not a kernel of the work */
    assert_int_equal(gpu->ops->stream_us(gpu, binding_launch, &b, 200, &stream_us), STATUS_OK);
    print_message("one %.2f us, many %.2f us, cold %.2f us, stream %.2f us\n", one, many, cold,
                  stream_us);
    /* 4.3 GFLOP: no GPU reaches 8 PFLOP/s in bf16, and each reaches 0.4 TFLOP/s. */
    assert_true(many > 4.3e9 / 8e15 * 1e6 && many < 4.3e9 / 0.4e12 * 1e6);
    assert_true(one > 0.5 * many && one < 5 * many + 20);
    assert_true(cold > 0.8 * many && cold < 10 * many + 50);
    assert_true(stream_us > 0.8 * many && stream_us < 10 * many + 100);
    binding_close(&b);
    case_close(&c);
}

static status_t refuse(void *arg, int index, stream_t stream) {
    (void)stream;
    return index < *(int *)arg ? STATUS_OK : STATUS_UNSUPPORTED;
}

/* Work that gives up in the middle of a capture leaves the device as it was. */
static void test_work_that_fails(void **state) {
    (void)state;
    need_gpu();
    int good = 3;
    recording_t *recording = NULL;
    double us;
    assert_int_equal(gpu->ops->record(gpu, refuse, &good, 5, false, &recording),
                     STATUS_UNSUPPORTED);
    assert_null(recording);
    assert_int_equal(gpu->ops->run(gpu, refuse, &good, 4), STATUS_UNSUPPORTED);
    assert_int_equal(gpu->ops->stream_us(gpu, refuse, &good, 5, &us), STATUS_UNSUPPORTED);
    good = 5;
    assert_int_equal(gpu->ops->record(gpu, refuse, &good, 5, false, &recording), STATUS_OK);
    assert_int_equal(gpu->ops->replay(gpu, recording, &us), STATUS_OK);
    assert_int_equal(gpu->ops->kernels(recording), 0);
    assert_true(us >= 0 && us < 1000);
    gpu->ops->discard(recording);
}

static void test_readings(void **state) {
    (void)state;
    need_gpu();
    device_state_t now;
    assert_int_equal(gpu->ops->state(gpu, &now), STATUS_OK);
    if (isnan(now.sm_clock_mhz)) {
        print_message("skipped: NVML does not know this GPU\n");
        skip();
    }
    print_message("%.0f MHz, %.0f W, %.0f C, throttle %s\n", now.sm_clock_mhz, now.power_w,
                  now.temperature_c, now.throttle);
    assert_true(now.sm_clock_mhz > 100 && now.sm_clock_mhz < 5000);
    assert_true(isnan(now.power_w) || (now.power_w > 1 && now.power_w < 2000));
    assert_true(isnan(now.temperature_c) || (now.temperature_c > 0 && now.temperature_c < 120));
}

static void remember_fact(void *ctx, const char *key, const char *value) {
    char *text = ctx;
    const size_t len = strlen(text);
    snprintf(text + len, 4096 - len, "%s=%s\n", key, value);
}

static void test_facts(void **state) {
    (void)state;
    need_gpu();
    char text[4096] = "";
    gpu->ops->facts(gpu, remember_fact, text);
    assert_non_null(strstr(text, "gpu_uuid=GPU-"));
    assert_non_null(strstr(text, "gpu_sms="));
    assert_non_null(strstr(text, "cuda_runtime="));
    assert_true(gpu->info.cores > 0 && gpu->info.compute_capability >= 80);
    assert_true(gpu->info.cache_bytes > 1 << 20 && gpu->info.smem_bytes >= 48 << 10);
}

typedef struct {
    int rows, of_kind[CEILING_KIND_COUNT];
    char wrong[160]; /* about the first row that cannot be */
} ceilings_seen_t;

static status_t check_ceiling(void *ctx, const ceiling_t *c) {
    ceilings_seen_t *seen = ctx;
    print_message("kind %d %-5s %-14s %.4g [%.4g, %.4g] %s, theoretical %.4g, at %.0f MHz\n",
                  c->kind, c->dtype, c->method, c->value, c->ci_low, c->ci_high, c->unit,
                  c->theoretical, c->sm_clock_mhz);
    seen->rows++;
    if (isnan(c->value)) return STATUS_OK; /* cuBLASLt may be missing; the kinds are counted */
    seen->of_kind[c->kind]++;
    const double share = c->value / c->theoretical;
    const bool held = c->value > 0 && c->ci_low <= c->value && c->value <= c->ci_high;
    const bool possible = isnan(share) || (share > 0.2 && share < 1.03);
    if (!seen->wrong[0] && !(held && possible))
        snprintf(seen->wrong, sizeof seen->wrong, "%s %s: %g in [%g, %g], %g of what is possible",
                 c->dtype, c->method, c->value, c->ci_low, c->ci_high, share);
    return STATUS_OK;
}

static void test_ceilings(void **state) {
    (void)state;
    need_gpu();
    ceilings_seen_t seen = {.rows = 0};
    const double start = now_s();
    const status_t st = gpu->ops->ceilings(gpu, check_ceiling, &seen);
    if (st != STATUS_OK) fail_msg("%s", last_error());
    print_message("%d ceilings in %.1f s\n", seen.rows, now_s() - start);
    assert_string_equal(seen.wrong, "");
    assert_int_equal(seen.of_kind[CEILING_DRAM], 4);
    assert_int_equal(seen.of_kind[CEILING_L2], 2);
    assert_int_equal(seen.of_kind[CEILING_L1], 1);
    assert_true(seen.of_kind[CEILING_TENSOR] >= 4);
    assert_int_equal(seen.of_kind[CEILING_CUDA_CORE], 3);
    assert_int_equal(seen.of_kind[CEILING_LAUNCH], 2);
    assert_true(now_s() - start < 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_throttle_names),
        cmocka_unit_test(test_no_readings),
        cmocka_unit_test(test_reason_without_gpu),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_work_that_fails),
        cmocka_unit_test(test_readings),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_ceilings),
    };
    return cmocka_run_group_tests(tests, open_gpu, close_gpu);
}
