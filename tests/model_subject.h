/* Tests of whole models: each of tests/fixtures/models on the CPU in fp32, and on a GPU in its
 * dtypes. */
#ifndef BLROOF_TESTS_MODEL_SUBJECT_H
#define BLROOF_TESTS_MODEL_SUBJECT_H

#include "tests/model_fixture.h"

static const char *const MODELS[] = {"llama7b",   "llama1b", "gpt2s",
                                     "bert_base", "vit_b16", "dit_xl2"};
/* the first ones give logits, and decode */
enum { MODELS_LEN = sizeof MODELS / sizeof *MODELS, LOGITS_LEN = 2, CAUSAL_LEN = 3 };

/* Where the models run; errors are of the norm of the output. */
typedef struct {
    const char *device;
    dtype_t dtype;
    double tolerance;
} place_kind_t;

static const place_kind_t PLACES[] = {
    {"cpu", DTYPE_FP32, 1e-4}, {"cuda", DTYPE_BF16, 2e-2}, {"cuda", DTYPE_FP16, 4e-3}};
enum { PLACES_LEN = sizeof PLACES / sizeof *PLACES };

typedef struct {
    const char *model;
    const place_kind_t *place;
    char test[64]; /* "cuda bf16 gpt2s decode" */
} subject_t;

static device_t *cpu, *gpu; /* gpu is NULL where there is none */

/* Its device; skips the test where there is none. */
static inline device_t *device_of(const subject_t *subject) {
    char why[WHY_LEN] = "this blroof was built without CUDA";
    if (!strcmp(subject->place->device, "cpu")) return cpu;
    if (gpu) return gpu;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (ops) ops->count(why, sizeof why);
    print_message("# no GPU: %s\n", why);
    skip();
    return NULL;
}

static inline network_options_t options_of(const fixture_t *f, const subject_t *subject,
                                           phase_t phase) {
    network_options_t options = fixture_options(f, device_of(subject), phase);
    options.dtype = subject->place->dtype;
    return options;
}

static inline bool has_phase(const fixture_t *f, phase_t phase) {
    return (f->model.phases & 1u << phase) != 0;
}

/* The output of one pass; the caller frees it. */
static inline float *run_pass(network_t *n, int64_t *count) {
    *count = network_count(n, n->options.model->output);
    float *values = malloc((size_t)*count * sizeof *values);
    assert_non_null(values);
    device_t *device = n->options.device;
    ASSERT_OK(device->ops->run(device, network_launch, n, 0));
    ASSERT_OK(network_read(n, n->options.model->output, values));
    return values;
}

static inline phase_t whole_phase(const fixture_t *f) {
    return has_phase(f, PHASE_FORWARD) ? PHASE_FORWARD : PHASE_PREFILL;
}

/* The error that the dtype of a place alone makes, of a pass with the same options on the CPU. */
static inline double rounding_error(const fixture_t *f, const network_options_t *options,
                                    const float *expected) {
    network_t n;
    network_options_t on_cpu = *options;
    on_cpu.device = cpu;
    on_cpu.dtype = DTYPE_FP32;
    ASSERT_OK(network_plan(&on_cpu, &n));
    choose_plans(&n, NULL);
    ASSERT_OK(network_fill(&n));
    if (options->weights) set_all_inputs(&n, f);
    rounded_pass(&n, options->dtype);
    const int64_t count = network_count(&n, n.options.model->output);
    float *output = malloc((size_t)count * sizeof *output);
    assert_non_null(output);
    ASSERT_OK(network_read(&n, n.options.model->output, output));
    const double error = relative_error(output, expected, count);
    free(output);
    network_close(&n);
    return error;
}

/* A tiny model may turn small roundings into large ones, as DiT's scores of attention do here. So
 * the limit on a GPU is twice what they come to on the CPU. */
static inline double limit_of(const fixture_t *f, const subject_t *subject,
                              const network_options_t *options, const float *expected) {
    if (options->dtype == DTYPE_FP32) return subject->place->tolerance;
    return 2 * rounding_error(f, options, expected);
}

/* ---- programs ---- */

/* What is tested, and of how many models, the first ones. */
typedef struct {
    const char *what;
    CMUnitTestFunction run;
    int models;
    bool gpu_only;
} model_test_t;

static inline int open_devices(void **state) {
    (void)state;
    char why[WHY_LEN];
    if (registry_check() != STATUS_OK || device_open("cpu", &cpu) != STATUS_OK) return -1;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) return 0;
    return device_open("cuda", &gpu) == STATUS_OK ? 0 : -1;
}

static inline int close_devices(void **state) {
    (void)state;
    cpu->ops->close(cpu);
    if (gpu) gpu->ops->close(gpu);
    return 0;
}

/* The main() of a program; an argument names the tests ("cuda *decode"). */
static inline int run_model_tests(const model_test_t *kinds, int kinds_len, int argc, char **argv) {
    enum { MOST_KINDS = 8, MOST = PLACES_LEN * MOST_KINDS * MODELS_LEN };
    static struct CMUnitTest tests[MOST];
    static subject_t subjects[MOST];
    int len = 0;
    if (kinds_len > MOST_KINDS) abort();
    for (int p = 0; p < PLACES_LEN; p++)
        for (int k = 0; k < kinds_len; k++)
            for (int m = 0; m < kinds[k].models; m++) {
                if (kinds[k].gpu_only && !strcmp(PLACES[p].device, "cpu")) continue;
                subject_t *subject = &subjects[len];
                *subject = (subject_t){.model = MODELS[m], .place = &PLACES[p]};
                snprintf(subject->test, sizeof subject->test, "%s %s %s %s", PLACES[p].device,
                         dtype_name(PLACES[p].dtype), MODELS[m], kinds[k].what);
                tests[len++] = (struct CMUnitTest){
                    .name = subject->test, .test_func = kinds[k].run, .initial_state = subject};
            }
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("models", tests, (size_t)len, open_devices, close_devices);
}

#endif
