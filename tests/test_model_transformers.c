/* Whole models against transformers, on the CPU in fp32 and on a GPU in its dtypes. */
#include "tests/model_subject.h"

/* The variants of attention by name; linear layers have their baseline. */
static const char *const CPU_ATTENTION[] = {"openmp", NULL};
static const char *const GPU_ATTENTION[] = {"unfused", "flash", NULL};

static const char *const *attention_of(const subject_t *subject) {
    return device_of(subject) == cpu ? CPU_ATTENTION : GPU_ATTENTION;
}

static void choose_attention(network_t *n, const char *variant) {
    choose_plans(n, NULL);
    choose_variant(n, "attention", variant);
}

static void test_forward(void **state) {
    const subject_t *subject = *state;
    fixture_t f;
    network_t n;
    const stored_tensor_t *stored;
    int64_t count;
    device_of(subject);
    fixture_open(subject->model, &f);
    float *expected = fixture_tensor(&f, "output", &stored);
    const network_options_t options = options_of(&f, subject, whole_phase(&f));
    const double limit = limit_of(&f, subject, &options, expected);
    for (const char *const *name = attention_of(subject); *name; name++) {
        ASSERT_OK(network_plan(&options, &n));
        choose_attention(&n, *name);
        ASSERT_OK(network_fill(&n));
        set_all_inputs(&n, &f);
        float *output = run_pass(&n, &count);
        assert_int_equal(count, stored->count);
        const double error = relative_error(output, expected, count);
        print_message("# %s %s attention/%s: relative error %.3g, limit %.3g\n", subject->model,
                      dtype_name(options.dtype), *name, error, limit);
        if (!(error < limit)) fail_msg("relative error %g, limit %g", error, limit);
        /* the same pass once more: no state is left that changes it */
        float *again = run_pass(&n, &count);
        assert_memory_equal(again, output, (size_t)count * sizeof *output);
        free(output);
        free(again);
        network_close(&n);
    }
    free(expected);
    fixture_close(&f);
}

/*
 * A prompt is fed token by token through the cache; each must give what the whole prompt gives.
 * Returns how many launches the layers that are launched together save.
 */
static int decode_all(const fixture_t *f, const subject_t *subject, const char *attention,
                      const char *linear) {
    network_t n;
    const stored_tensor_t *ids_stored, *stored;
    const network_options_t options = options_of(f, subject, PHASE_DECODE);
    const int64_t tokens = options.tokens, batch = options.batch;
    ASSERT_OK(network_plan(&options, &n));
    choose_attention(&n, attention);
    choose_variant(&n, "dense", linear);
    ASSERT_OK(network_fill(&n));
    int saved = 0;
    for (int i = 0; i < n.steps_len; i++) saved += n.steps[i].together == 0;
    float *ids = fixture_tensor(f, "ids", &ids_stored);
    float *expected = fixture_tensor(f, "output", &stored);
    const int64_t width = stored->count / (batch * tokens);
    for (int64_t t = 0; t < tokens; t++) {
        float next[8];
        int64_t count;
        for (int64_t s = 0; s < batch; s++) next[s] = ids[s * tokens + t];
        network_set_past(&n, t);
        set_input(&n, &f->model.inputs[0], next, batch);
        float *output = run_pass(&n, &count);
        assert_int_equal(count, batch * width);
        for (int64_t s = 0; s < batch; s++) {
            const double error =
                relative_error(output + s * width, expected + (s * tokens + t) * width, width);
            if (!(error < subject->place->tolerance))
                fail_msg("token %d: relative error %g", (int)t, error);
        }
        free(output);
    }
    free(ids);
    free(expected);
    network_close(&n);
    return saved;
}

/* On a GPU also with streamed weights, where queries, keys and values are one launch. */
static void test_decode(void **state) {
    const subject_t *subject = *state;
    fixture_t f;
    device_of(subject);
    fixture_open(subject->model, &f);
    for (const char *const *name = attention_of(subject); *name; name++)
        assert_int_equal(decode_all(&f, subject, *name, NULL), 0);
    if (device_of(subject) == gpu) {
        const int saved = decode_all(&f, subject, "flash", "stream");
        print_message("# %s: %d layers launched with others\n", subject->model, saved);
        assert_true(saved > 0 || strcmp(subject->model, "llama7b") != 0);
    }
    fixture_close(&f);
}

/* The logits of random prompts; the same seed draws the same ones on every device. */
static float *prompt_logits(const fixture_t *f, device_t *device, dtype_t dtype, int64_t *count) {
    enum { PROMPTS = 64 };
    network_t n;
    network_options_t options = fixture_options(f, device, PHASE_PREFILL);
    options.dtype = dtype;
    options.batch = PROMPTS;
    ASSERT_OK(network_plan(&options, &n));
    choose_plans(&n, NULL);
    ASSERT_OK(network_fill(&n));
    float *logits = run_pass(&n, count);
    network_close(&n);
    return logits;
}

/* The most likely token is that of fp32, unless that one leads by less than two roundings. */
static void test_tokens(void **state) {
    const subject_t *subject = *state;
    const dtype_t dtype = subject->place->dtype;
    fixture_t f;
    double vocab;
    int64_t count, same_count, agreeing = 0;
    device_t *device = device_of(subject);
    fixture_open(subject->model, &f);
    ASSERT_OK(model_value(&f.model, "vocab", &vocab));
    float *expected = prompt_logits(&f, cpu, DTYPE_FP32, &count);
    float *logits = prompt_logits(&f, device, dtype, &same_count);
    assert_int_equal(count, same_count);
    const int64_t width = (int64_t)vocab, rows = count / width;
    for (int64_t r = 0; r < rows; r++) {
        const float *row = expected + r * width;
        int64_t best = 0, ours = 0;
        for (int64_t i = 0; i < width; i++) {
            if (row[i] > row[best]) best = i;
            if (logits[r * width + i] > logits[r * width + ours]) ours = i;
        }
        const double lead = (double)row[best] - (double)row[ours];
        agreeing += lead <= 2 * unit_roundoff(dtype) * fabs((double)row[best]);
    }
    print_message("# %s %s: %d of %d most likely tokens agree\n", subject->model, dtype_name(dtype),
                  (int)agreeing, (int)rows);
    assert_true((double)agreeing >= 0.99 * (double)rows);
    free(expected);
    free(logits);
    fixture_close(&f);
}

int main(int argc, char **argv) {
    static const model_test_t kinds[] = {
        {"forward", test_forward, MODELS_LEN},
        {"decode", test_decode, CAUSAL_LEN},
        {"tokens", test_tokens, LOGITS_LEN, .gpu_only = true}, /* against those of the CPU */
    };
    return run_model_tests(kinds, sizeof kinds / sizeof *kinds, argc, argv);
}
