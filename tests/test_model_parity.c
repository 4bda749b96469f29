/* Whole models against transformers, on the CPU in fp32 and on a GPU in its dtypes, and every
 * structure against dense. */
#include "tests/model_fixture.h"

#include <unistd.h>

#include "kernels/siblings.h"

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
} subject_t;

static device_t *cpu, *gpu; /* gpu is NULL where there is none */

/* Its device; skips the test where there is none. */
static device_t *device_of(const subject_t *subject) {
    char why[WHY_LEN] = "this blroof was built without CUDA";
    if (!strcmp(subject->place->device, "cpu")) return cpu;
    if (gpu) return gpu;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (ops) ops->count(why, sizeof why);
    print_message("# no GPU: %s\n", why);
    skip();
    return NULL;
}

static network_options_t options_of(const fixture_t *f, const subject_t *subject, phase_t phase) {
    network_options_t options = fixture_options(f, device_of(subject), phase);
    options.dtype = subject->place->dtype;
    return options;
}

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

static bool has_phase(const fixture_t *f, phase_t phase) {
    return (f->model.phases & 1u << phase) != 0;
}

/* The output of one pass; the caller frees it. */
static float *run_pass(network_t *n, int64_t *count) {
    *count = network_count(n, n->options.model->output);
    float *values = malloc((size_t)*count * sizeof *values);
    assert_non_null(values);
    device_t *device = n->options.device;
    ASSERT_OK(device->ops->run(device, network_launch, n, 0));
    ASSERT_OK(network_read(n, n->options.model->output, values));
    return values;
}

static phase_t whole_phase(const fixture_t *f) {
    return has_phase(f, PHASE_FORWARD) ? PHASE_FORWARD : PHASE_PREFILL;
}

/* The error that the dtype of a place alone makes, of a pass with the same options on the CPU. */
static double rounding_error(const fixture_t *f, const network_options_t *options,
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
static double limit_of(const fixture_t *f, const subject_t *subject,
                       const network_options_t *options, const float *expected) {
    if (options->dtype == DTYPE_FP32) return subject->place->tolerance;
    return 2 * rounding_error(f, options, expected);
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

/* The linear layers of a structure as number `k` of its plans that launch layers together. Returns
 * false where a layer has no such plan. */
static bool choose_together(network_t *n, const char *structure, int k) {
    const device_info_t *info = &n->options.device->info;
    for (int i = 0; i < n->steps_len; i++) {
        step_t *step = &n->steps[i];
        char why[WHY_LEN];
        int found = -1;
        if (step->op || strcmp(step->structure->name, structure) != 0) continue;
        for (int v = 0; v < variant_count() && found < k; v++) {
            const variant_t *plans[MAX_PLANS];
            if (variant_at(v)->device != info->kind || strcmp(variant_at(v)->structure, structure))
                continue;
            const int count =
                variant_plans(variant_at(v), &step->problem, info, plans, why, sizeof why);
            for (int j = 0; j < count && found < k; j++)
                if (siblings_find(plans[j]) && ++found == k) step->plan = plans[j];
        }
        if (found < k) return false;
    }
    return true;
}

/* Layers that are launched together give what they give alone, though the work may be cut in
 * another way. Returns how many are. */
static int compare_together(const fixture_t *f, const subject_t *subject, const char *structure,
                            int k) {
    network_t n;
    network_options_t options = options_of(f, subject, PHASE_DECODE);
    int64_t count;
    int together = 0;
    options.structure = structure;
    options.weights = NULL;
    ASSERT_OK(network_plan(&options, &n));
    choose_plans(&n, NULL);
    if (choose_together(&n, structure, k)) {
        ASSERT_OK(network_fill(&n));
        float *output = run_pass(&n, &count);
        for (int i = 0; i < n.steps_len; i++) {
            together += n.steps[i].together != 1;
            n.steps[i].together = 1;
        }
        float *alone = run_pass(&n, &count);
        assert_true(relative_error(output, alone, count) < subject->place->tolerance);
        free(output);
        free(alone);
    }
    network_close(&n);
    return together;
}

static void test_together(void **state) {
    const subject_t *subject = *state;
    static const char *const structures[] = {"dense", "lowrank", "monarch", "blast"};
    fixture_t f;
    const bool on_gpu = device_of(subject) == gpu;
    fixture_open(subject->model, &f);
    for (int s = 0; s < 4; s++) {
        int together = 0;
        for (int k = 0, more = 1; more; k++) {
            more = compare_together(&f, subject, structures[s], k);
            together += more;
        }
        print_message("# %s: %d layers in launches of several\n", structures[s], together);
        assert_int_equal(together > 0, on_gpu);
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

/* ---- structures ---- */

static char weights_path[64], model_path[64];

/* What a test file of weights is made of. */
typedef struct {
    FILE *data;
    char *header;
    size_t header_len, bytes;
} weights_writer_t;

static void add_tensor(weights_writer_t *w, const char *name, int64_t rows, int64_t width,
                       const float *values) {
    char entry[512];
    const size_t bytes = (size_t)(rows * width) * sizeof *values;
    const int len = snprintf(entry, sizeof entry,
                             "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],"
                             "\"data_offsets\":[%zu,%zu]}",
                             w->header_len ? "," : "", name, (long long)rows, (long long)width,
                             w->bytes, w->bytes + bytes);
    w->header = realloc(w->header, w->header_len + (size_t)len + 1);
    assert_non_null(w->header);
    memcpy(w->header + w->header_len, entry, (size_t)len + 1);
    w->header_len += (size_t)len;
    w->bytes += bytes;
    assert_int_equal(fwrite(values, 1, bytes, w->data), bytes);
}

static void finish_weights(weights_writer_t *w) {
    FILE *file = fopen(weights_path, "wb");
    assert_non_null(file);
    const uint64_t len = w->header_len + 2;
    for (int i = 0; i < 8; i++) fputc((int)(len >> 8 * i & 0xff), file);
    fprintf(file, "{%s}", w->header);
    rewind(w->data);
    for (int c; (c = getc(w->data)) != EOF;) putc(c, file);
    assert_int_equal(fclose(file), 0);
    fclose(w->data);
    free(w->header);
}

static float *random_floats(int64_t count, float spread) {
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = spread * (float)(2.0 * rand() / RAND_MAX - 1);
    return values;
}

/* The factors of a layer, and the dense weights W[out][in] that they stand for: row i of W^T is
 * what the reference makes of unit vector i. */
static void add_layer(weights_writer_t *w, const step_t *step, bool transposed) {
    tensor_t tensors[MAX_TENSORS];
    char name[VALUE_LEN + 16], first[VALUE_LEN];
    const int count = step->structure->tensors(&step->problem, tensors);
    const int64_t in = step->problem.in_features, out = step->problem.out_features;
    const float *values[MAX_TENSORS] = {NULL};
    snprintf(first, sizeof first, "%s", statement_argument(step->statement, "name"));
    const bool joined = strchr(first, '+') != NULL;
    first[strcspn(first, "+")] = '\0';
    for (int t = 1; t + 1 < count; t++) {
        const int64_t rows = tensors[t].dims[0], all = tensor_count(&tensors[t]);
        float *factor = random_floats(all, 0.5F);
        snprintf(name, sizeof name, "%s.%s", first, tensors[t].name);
        add_tensor(w, name, rows, all / rows, factor);
        values[t] = factor;
    }
    float *unit = calloc((size_t)in, sizeof *unit);
    float *dense = malloc((size_t)(in * out) * sizeof *dense);
    double *row = malloc((size_t)out * sizeof *row);
    assert_true(unit && dense && row && !joined);
    values[0] = unit;
    for (int64_t i = 0; i < in; i++) {
        unit[i] = 1;
        structure_reference(step->structure, &step->problem, values, 0, row);
        unit[i] = 0;
        for (int64_t j = 0; j < out; j++)
            dense[transposed ? i * out + j : j * in + i] = (float)row[j];
    }
    snprintf(name, sizeof name, "%s.weight", first);
    add_tensor(w, name, transposed ? in : out, transposed ? out : in, dense);
    for (int t = 1; t + 1 < count; t++) free((void *)values[t]);
    free(unit);
    free(dense);
    free(row);
}

/* A file with factored and dense weights of the same layers, and all others as they were. */
static void write_weights(const fixture_t *f, const char *structure) {
    network_t n;
    network_options_t options = fixture_options(f, cpu, PHASE_PREFILL);
    options.structure = structure;
    ASSERT_OK(network_plan(&options, &n));
    weights_writer_t w = {.data = tmpfile()};
    assert_non_null(w.data);
    srand(5);
    char done[8192] = "";
    for (int i = 0; i < n.steps_len; i++) {
        const step_t *step = &n.steps[i];
        const char *name = statement_argument(step->statement, "name");
        if (step->op || !name || !strcmp(step->structure->name, "dense")) continue;
        add_layer(&w, step, statement_argument(step->statement, "transposed") != NULL);
        snprintf(done + strlen(done), sizeof done - strlen(done), "%s.weight\n", name);
    }
    assert_true(strlen(done) > 0);
    for (int i = 0; i < f->weights.tensors_len; i++) {
        const stored_tensor_t *t = &f->weights.tensors[i];
        if (strstr(done, t->name)) continue;
        float *values = malloc((size_t)t->count * sizeof *values);
        assert_non_null(values);
        ASSERT_OK(safetensors_read(&f->weights, t, values));
        add_tensor(&w, t->name, t->dims_len > 1 ? t->dims[0] : 1,
                   t->dims_len > 1 ? t->count / t->dims[0] : t->count, values);
        free(values);
    }
    finish_weights(&w);
    network_close(&n);
}

static float *run_structure(const fixture_t *f, const network_options_t *options,
                            const char *variant, int64_t *count) {
    network_t n;
    ASSERT_OK(network_plan(options, &n));
    choose_plans(&n, variant);
    ASSERT_OK(network_fill(&n));
    if (options->weights) set_all_inputs(&n, f);
    float *output = run_pass(&n, count);
    network_close(&n);
    return output;
}

/* A factored model is the dense model of the weights that its factors stand for, which the CPU
 * computes. Only variants with outputs in the order of the dense layer give that. */
static void test_structures(void **state) {
    static const char *const cases[][3] = {
        {"cpu", "lowrank", "openblas"}, {"cpu", "monarch", "fused"},   {"cpu", "blast", "fused"},
        {"cpu", "blast", "unfused"},    {"cuda", "lowrank", "cublas"}, {"cuda", "lowrank", "fused"},
        {"cuda", "monarch", "chained"}, {"cuda", "monarch", "fused"},  {"cuda", "blast", "unfused"},
        {"cuda", "blast", "fused"}};
    const subject_t *subject = *state;
    fixture_t f;
    device_of(subject);
    fixture_open(subject->model, &f);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *structure = cases[i][1], *variant = cases[i][2];
        network_options_t reference = fixture_options(&f, cpu, PHASE_PREFILL);
        network_options_t options = options_of(&f, subject, PHASE_PREFILL);
        safetensors_t weights;
        int64_t count;
        if (strcmp(cases[i][0], subject->place->device) != 0) continue;
        write_weights(&f, structure);
        ASSERT_OK(safetensors_open(weights_path, &weights));
        reference.weights = options.weights = &weights;
        options.structure = structure;
        float *dense = run_structure(&f, &reference, NULL, &count);
        float *factored = run_structure(&f, &options, variant, &count);
        const double error = relative_error(factored, dense, count);
        /* the CPU's monarch/unfused, which would be rounded, has its columns in another order */
        const double limit = strcmp(structure, "monarch") != 0
                                 ? limit_of(&f, subject, &options, dense)
                                 : subject->place->tolerance;
        print_message("# %s %s/%s: relative error %.3g, limit %.3g\n", dtype_name(options.dtype),
                      structure, variant, error, limit);
        if (!(error < limit)) fail_msg("%s/%s: relative error %g", structure, variant, error);
        free(dense);
        free(factored);
        safetensors_close(&weights);
    }
    fixture_close(&f);
}

/* Random weights keep the outputs finite and of moderate size, in every structure. They are the
 * same on all devices, and so are the outputs. */
static void test_random_weights(void **state) {
    const subject_t *subject = *state;
    fixture_t f;
    device_of(subject);
    fixture_open(subject->model, &f);
    for (int s = 0; s < structure_count(); s++) {
        int64_t count;
        double squares = 0;
        network_options_t options = options_of(&f, subject, whole_phase(&f));
        options.structure = structure_at(s)->name;
        options.weights = NULL;
        float *output = run_structure(&f, &options, NULL, &count);
        for (int64_t i = 0; i < count; i++) squares += (double)output[i] * (double)output[i];
        const double rms = sqrt(squares / (double)count);
        if (!(rms > 1e-3 && rms < 1e3)) fail_msg("%s: outputs of size %g", options.structure, rms);
        if (options.device != cpu) {
            network_options_t on_cpu = options;
            on_cpu.device = cpu;
            on_cpu.dtype = DTYPE_FP32;
            float *expected = run_structure(&f, &on_cpu, NULL, &count);
            const double error = relative_error(output, expected, count);
            const double limit = limit_of(&f, subject, &options, expected);
            print_message("# %s random %s %s: relative error %.3g, limit %.3g\n", subject->model,
                          dtype_name(options.dtype), options.structure, error, limit);
            if (!(error < limit)) fail_msg("%s: relative error %g", options.structure, error);
            free(expected);
        }
        free(output);
    }
    fixture_close(&f);
}

/* The model with its small sizes, but 32 layers deep. */
static void load_deep(const char *name, model_t *m) {
    char path[PATH_MAX], file[64], text[2048] = "";
    snprintf(file, sizeof file, "%s_tiny.model", name);
    fixture_path(name, file, path);
    FILE *from = fopen(path, "r"), *to = fopen(model_path, "w");
    assert_true(from && to);
    assert_true(fread(text, 1, sizeof text - 1, from) > 0);
    char *layers = strstr(text, "size layers 2");
    assert_non_null(layers);
    *layers = '\0';
    fprintf(to, "%ssize layers 32%s", text, layers + strlen("size layers 2"));
    fclose(from);
    assert_int_equal(fclose(to), 0);
    ASSERT_OK(model_load(model_path, m));
}

/* Random weights keep the activations far from the range of fp16 through 32 layers. */
static void test_deep(void **state) {
    const subject_t *subject = *state;
    fixture_t f;
    model_t deep;
    device_of(subject);
    fixture_open(subject->model, &f);
    load_deep(subject->model, &deep);
    for (int s = 0; s < structure_count(); s++) {
        network_t n;
        int64_t count;
        network_options_t options = options_of(&f, subject, whole_phase(&f));
        options.model = &deep;
        options.structure = structure_at(s)->name;
        options.weights = NULL;
        ASSERT_OK(network_plan(&options, &n));
        choose_plans(&n, NULL);
        ASSERT_OK(network_fill(&n));
        /* A GPU gives memory in slabs, in which so small a model may find room: nothing is told. */
        if (device_of(subject) == cpu) {
            assert_true(n.memory.weights > 0 && n.memory.activations > 0);
            assert_float_equal(n.memory.peak,
                               n.memory.weights + n.memory.activations + n.memory.workspace, 0);
        }
        free(run_pass(&n, &count));
        for (int b = 0; b < n.symbols_len; b++) {
            if (n.symbols[b].view.whole) continue;
            count = network_count(&n, n.symbols[b].name);
            float *values = malloc((size_t)count * sizeof *values);
            assert_non_null(values);
            ASSERT_OK(network_read(&n, n.symbols[b].name, values));
            for (int64_t i = 0; i < count; i++)
                if (!(fabsf(values[i]) < 6000))
                    fail_msg("%s: %s has %g", options.structure, n.symbols[b].name,
                             (double)values[i]);
            free(values);
        }
        network_close(&n);
    }
    model_free(&deep);
    fixture_close(&f);
}

static int open_devices(void **state) {
    (void)state;
    char why[WHY_LEN];
    snprintf(weights_path, sizeof weights_path, "/tmp/blroof-test-%d.safetensors", (int)getpid());
    snprintf(model_path, sizeof model_path, "/tmp/blroof-test-%d-deep.model", (int)getpid());
    if (registry_check() != STATUS_OK || device_open("cpu", &cpu) != STATUS_OK) return -1;
    const device_ops_t *ops = device_ops(DEVICE_CUDA);
    if (!ops || ops->count(why, sizeof why) == 0) return 0;
    return device_open("cuda", &gpu) == STATUS_OK ? 0 : -1;
}

static int close_devices(void **state) {
    (void)state;
    unlink(weights_path);
    unlink(model_path);
    cpu->ops->close(cpu);
    if (gpu) gpu->ops->close(gpu);
    return 0;
}

/* What is tested, and of how many models, the first ones. */
static const struct {
    const char *what;
    CMUnitTestFunction run;
    int models;
} KINDS[] = {{"forward", test_forward, MODELS_LEN}, {"decode", test_decode, CAUSAL_LEN},
             {"together", test_together, 1},        {"tokens", test_tokens, LOGITS_LEN},
             {"structures", test_structures, 1},    {"random", test_random_weights, MODELS_LEN},
             {"deep", test_deep, MODELS_LEN}};
enum { KINDS_LEN = sizeof KINDS / sizeof *KINDS, MOST = PLACES_LEN * KINDS_LEN * MODELS_LEN };

/* An argument names the tests ("cuda *decode"). */
int main(int argc, char **argv) {
    static struct CMUnitTest tests[MOST];
    static char names[MOST][64];
    static subject_t subjects[MOST];
    int len = 0;
    for (int p = 0; p < PLACES_LEN; p++)
        for (int k = 0; k < KINDS_LEN; k++)
            for (int m = 0; m < KINDS[k].models; m++) {
                if (p == 0 && KINDS[k].run == test_tokens) continue; /* with itself */
                subjects[len] = (subject_t){MODELS[m], &PLACES[p]};
                snprintf(names[len], sizeof *names, "%s %s %s %s", PLACES[p].device,
                         dtype_name(PLACES[p].dtype), MODELS[m], KINDS[k].what);
                tests[len] = (struct CMUnitTest){
                    .name = names[len], .test_func = KINDS[k].run, .initial_state = &subjects[len]};
                len++;
            }
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests("models", tests, (size_t)len, open_devices, close_devices);
}
