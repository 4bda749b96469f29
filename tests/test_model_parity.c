/* Whole models against themselves: every structure against dense, a GPU against the CPU, and layers
 * that are launched together against the same ones alone. */
#include "kernels/siblings.h"
#include "tests/model_subject.h"
#include "tests/temp_file.h"

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

/* ---- structures ---- */

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
    temp_text(""); /* names the file */
    FILE *file = fopen(temp_path, "wb");
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
        ASSERT_OK(safetensors_open(temp_path, &weights));
        remove(temp_path); /* mapped by now */
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

/* ---- random weights ---- */

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
    char path[PATH_MAX], file[64], text[2048] = "", deep[2 * sizeof text];
    snprintf(file, sizeof file, "%s_tiny.model", name);
    fixture_path(name, file, path);
    FILE *from = fopen(path, "r");
    assert_non_null(from);
    assert_true(fread(text, 1, sizeof text - 1, from) > 0);
    fclose(from);
    char *layers = strstr(text, "size layers 2");
    assert_non_null(layers);
    *layers = '\0';
    snprintf(deep, sizeof deep, "%ssize layers 32%s", text, layers + strlen("size layers 2"));
    temp_text(deep);
    ASSERT_OK(model_load(temp_path, m));
    remove(temp_path);
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

int main(int argc, char **argv) {
    static const model_test_t kinds[] = {
        {"together", test_together, 1},
        {"structures", test_structures, 1},
        {"random", test_random_weights, MODELS_LEN},
        {"deep", test_deep, MODELS_LEN},
    };
    return run_model_tests(kinds, sizeof kinds / sizeof *kinds, argc, argv);
}
