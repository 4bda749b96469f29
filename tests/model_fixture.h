/* Tiny models with the outputs of the world's implementations: tests/fixtures/models. */
#ifndef BLROOF_TESTS_MODEL_FIXTURE_H
#define BLROOF_TESTS_MODEL_FIXTURE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/network.h"
#include "harness/paths.h"
#include "harness/registry.h"
#include "harness/values.h"
#include "tests/assert_ok.h"

typedef struct {
    model_t model;
    safetensors_t weights, expected;
} fixture_t;

static inline void fixture_path(const char *name, const char *file, char path[PATH_MAX]) {
    snprintf(path, PATH_MAX, "%s/tests/fixtures/models/%s/%s", blroof_root(), name, file);
}

static inline void fixture_open(const char *name, fixture_t *f) {
    char path[PATH_MAX], file[64];
    snprintf(file, sizeof file, "%s_tiny.model", name);
    fixture_path(name, file, path);
    ASSERT_OK(model_load(path, &f->model));
    fixture_path(name, "weights.safetensors", path);
    ASSERT_OK(safetensors_open(path, &f->weights));
    fixture_path(name, "expected.safetensors", path);
    ASSERT_OK(safetensors_open(path, &f->expected));
}

static inline void fixture_close(fixture_t *f) {
    safetensors_close(&f->expected);
    safetensors_close(&f->weights);
    model_free(&f->model);
}

/* A tensor of expected.safetensors; the caller frees it. */
static inline float *fixture_tensor(const fixture_t *f, const char *name,
                                    const stored_tensor_t **stored) {
    ASSERT_OK(safetensors_find(&f->expected, name, stored));
    float *values = malloc((size_t)(*stored)->count * sizeof *values);
    assert_non_null(values);
    ASSERT_OK(safetensors_read(&f->expected, *stored, values));
    return values;
}

/* The first sizes of the fixture's own inputs: sequences, and tokens of each. */
static inline network_options_t fixture_options(const fixture_t *f, device_t *device,
                                                phase_t phase) {
    const stored_tensor_t *input;
    ASSERT_OK(safetensors_find(&f->expected, f->model.inputs[0].name, &input));
    return (network_options_t){.model = &f->model,
                               .device = device,
                               .dtype = DTYPE_FP32,
                               .phase = phase,
                               .batch = input->dims[0],
                               .tokens = f->model.tokens,
                               .structure = "dense",
                               .weights = &f->weights,
                               .seed = 1};
}

/* The layers of one structure as the first plan of a variant; NULL is the baseline. */
static inline void choose_variant(network_t *n, const char *structure, const char *variant) {
    const device_info_t *info = &n->options.device->info;
    const variant_t *chosen = variant_baseline(structure, info->kind);
    char why[WHY_LEN];
    for (int v = 0; variant && v < variant_count(); v++)
        if (variant_at(v)->device == info->kind && !strcmp(variant_at(v)->name, variant) &&
            !strcmp(variant_at(v)->structure, structure))
            chosen = variant_at(v);
    assert_non_null(chosen);
    for (int i = 0; i < n->steps_len; i++) {
        step_t *step = &n->steps[i];
        const variant_t *plans[MAX_PLANS];
        if (step->op || strcmp(step->structure->name, structure) != 0) continue;
        if (!variant_plans(chosen, &step->problem, info, plans, why, sizeof why))
            fail_msg("%s/%s: %s", structure, chosen->name, why);
        step->plan = plans[0];
    }
}

/* Every layer as the named variant where its structure has it, and as its baseline elsewhere. */
static inline void choose_plans(network_t *n, const char *variant) {
    for (int s = 0; s < structure_count(); s++) choose_variant(n, structure_at(s)->name, variant);
}

/* Sets the input of that name: whole numbers stand as floats in the file. */
static inline void set_input(network_t *n, const model_input_t *input, const float *values,
                             int64_t count) {
    int32_t *whole = malloc((size_t)count * sizeof *whole);
    assert_non_null(whole);
    for (int64_t i = 0; i < count; i++) whole[i] = (int32_t)values[i];
    ASSERT_OK(network_set_input(n, input->name, input->below > 0 ? (const void *)whole : values));
    free(whole);
}

static inline void set_all_inputs(network_t *n, const fixture_t *f) {
    for (int i = 0; i < f->model.inputs_len; i++) {
        const stored_tensor_t *stored;
        float *values = fixture_tensor(f, f->model.inputs[i].name, &stored);
        set_input(n, &f->model.inputs[i], values, stored->count);
        free(values);
    }
}

/* ||a - b|| / ||b|| */
static inline double relative_error(const float *a, const float *b, int64_t count) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < count; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    return sqrt(difference / norm);
}

/* ---- what 16 bits cost ---- */

/* Rounds rows to the dtype, which stay floats. */
static inline void round_rows(dtype_t dtype, int64_t batch, const view_t *view) {
    for (int64_t s = 0; s < batch; s++)
        for (int64_t r = 0; r < view->rows; r++) {
            float *row = (float *)view->data + view_offset(view, s, r);
            uint16_t bits;
            for (int64_t i = 0; i < view->width; i++) {
                round_values(dtype, 1, &row[i], &bits);
                row[i] = (float)value_at(dtype, &bits, 0);
            }
        }
}

/* A pass of a network of the CPU with weights and all that its steps write rounded to the dtype:
 * what a device makes of it that computes in fp32 and keeps the dtype. */
static inline void rounded_pass(network_t *n, dtype_t dtype) {
    for (int i = 0; i < n->weights_len; i++) {
        const char *bar = strchr(n->weights[i].key, '|');
        const int64_t count = bar ? atoll(bar + 1) : 0; /* a computed table has none */
        const view_t all = {.data = n->weights[i].memory, .rows = 1, .width = count};
        round_rows(dtype, 1, &all);
    }
    for (int i = 0; i < n->steps_len; i++) {
        const step_t *step = &n->steps[i];
        ASSERT_OK(network_step(n, i, NULL));
        for (int o = 0; step->op && o < step->call.outputs; o++)
            round_rows(dtype, n->options.batch, &step->call.out[o]);
        if (step->op) continue;
        tensor_t tensors[MAX_TENSORS];
        const int last = step->structure->tensors(&step->problem, tensors) - 1;
        const view_t all = {
            .data = step->tensors[last], .rows = 1, .width = tensor_count(&tensors[last])};
        round_rows(dtype, 1, &all);
    }
}

#endif
