#include "harness/network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/values.h"
#include "kernels/siblings.h"

status_t network_alloc(network_t *n, size_t bytes, double *category, void **out) {
    device_t *device = n->options.device;
    const double before = n->memory.now;
    status_t st = device->ops->alloc(device, bytes, out);
    if (st != STATUS_OK) return st;
    n->memory.now += (double)bytes;
    st = network_note_peak(n);
    *category += n->memory.now - before;
    return st;
}

status_t network_note_peak(network_t *n) {
    device_t *device = n->options.device;
    double used = 0;
    const status_t st = device->ops->used ? device->ops->used(device, &used) : STATUS_OK;
    if (st != STATUS_OK) return st;
    if (device->ops->used) n->memory.now = used - n->memory.before;
    n->memory.peak = fmax(n->memory.peak, n->memory.now);
    return STATUS_OK;
}

void network_close(network_t *n) {
    device_t *device = n->options.device;
    for (int i = 0; i < n->buffers_len; i++)
        if (n->buffers[i].memory) device->ops->free(device, n->buffers[i].memory);
    for (int i = 0; i < n->weights_len; i++)
        if (n->weights[i].memory) device->ops->free(device, n->weights[i].memory);
    if (n->workspace) device->ops->free(device, n->workspace);
    free(n->steps);
    free(n->buffers);
    free(n->symbols);
    free(n->weights);
    *n = (network_t){0};
}

/* ---- memory ---- */

static void *at_place(const network_t *n, const place_t *place) {
    return place->buffer < 0 ? NULL : (char *)n->buffers[place->buffer].memory + place->offset;
}

static void point_step(const network_t *n, step_t *step) {
    if (step->op) {
        for (int i = 0; i < MAX_VIEWS; i++) step->call.in[i].data = at_place(n, &step->places[i]);
        for (int i = 0; i < step->call.outputs; i++)
            step->call.out[i].data = at_place(n, &step->places[MAX_VIEWS + i]);
        return;
    }
    for (int t = 0; t < MAX_TENSORS; t++)
        if (step->places[t].buffer >= 0) step->tensors[t] = at_place(n, &step->places[t]);
}

static status_t allocate(network_t *n) {
    device_t *device = n->options.device;
    for (int i = 0; i < n->buffers_len; i++) {
        buffer_t *b = &n->buffers[i];
        const status_t st = network_alloc(n, b->bytes, &n->memory.activations, &b->memory);
        if (st != STATUS_OK) return st;
    }
    for (int i = 0; i < n->steps_len; i++) {
        const step_t *step = &n->steps[i];
        if (!step->plan || !step->plan->workspace) continue;
        const size_t layers = siblings_find(step->plan) ? MAX_SIBLINGS : 1;
        const size_t bytes = layers * step->plan->workspace(&step->problem, &device->info);
        if (bytes > n->workspace_bytes) n->workspace_bytes = bytes;
    }
    if (n->workspace_bytes == 0) return STATUS_OK;
    return network_alloc(n, n->workspace_bytes, &n->memory.workspace, &n->workspace);
}

/* ---- values ---- */

static const model_input_t *find_input(const network_t *n, const char *name) {
    for (int i = 0; i < n->options.model->inputs_len; i++)
        if (!strcmp(n->options.model->inputs[i].name, name)) return &n->options.model->inputs[i];
    return NULL;
}

static const symbol_t *find_symbol(const network_t *n, const char *name) {
    for (int i = 0; i < n->symbols_len; i++)
        if (!strcmp(n->symbols[i].name, name)) return &n->symbols[i];
    return NULL;
}

static int64_t input_count(const network_t *n, const model_input_t *input) {
    return n->options.batch * (input->per_token ? n->rows : 1) * input->width;
}

int64_t network_count(const network_t *n, const char *name) {
    const symbol_t *symbol = find_symbol(n, name);
    return symbol ? n->options.batch * symbol->view.rows * symbol->view.width : 0;
}

/* Floats in the dtype of the network, to the device. */
static status_t upload_reals(const network_t *n, void *memory, const float *values, int64_t count) {
    device_t *device = n->options.device;
    const size_t bytes = (size_t)count * dtype_size(n->options.dtype);
    void *bits = malloc(bytes);
    if (!bits) return fail(STATUS_OOM, "out of host memory for values");
    round_values(n->options.dtype, count, values, bits);
    const status_t st = device->ops->upload(device, memory, bits, bytes);
    free(bits);
    return st;
}

status_t network_set_input(network_t *n, const char *name, const void *values) {
    const model_input_t *input = find_input(n, name);
    device_t *device = n->options.device;
    if (!input) return fail(STATUS_USAGE, "%s has no input %s", n->options.model->name, name);
    const int64_t count = input_count(n, input);
    for (int i = 0; i < n->buffers_len; i++) {
        if (strcmp(n->buffers[i].name, name) != 0) continue;
        if (input->below == 0) return upload_reals(n, n->buffers[i].memory, values, count);
        return device->ops->upload(device, n->buffers[i].memory, values,
                                   (size_t)count * sizeof(int32_t));
    }
    return fail(STATUS_USAGE, "input %s has no buffer", name);
}

/* Whole numbers below the limit, or reals in [-1, 1). */
static status_t draw_input(network_t *n, const model_input_t *input, uint64_t seed) {
    const int64_t count = input_count(n, input);
    float *values = malloc((size_t)count * sizeof *values), *bits = malloc((size_t)count * 4);
    status_t st = STATUS_OK;
    if (!values || !bits) {
        st = fail(STATUS_OOM, "out of host memory for inputs");
        goto cleanup;
    }
    random_values(DTYPE_FP32, seed, count, values, bits);
    int32_t *whole = (int32_t *)(void *)bits;
    for (int64_t i = 0; i < count && input->below > 0; i++)
        whole[i] = (int32_t)(((double)values[i] + 1) / 2 * (double)input->below);
    st = network_set_input(n, input->name, input->below > 0 ? (void *)whole : values);
cleanup:
    free(values);
    free(bits);
    return st;
}

status_t network_draw(const network_t *n, uint64_t seed, int64_t count, double centre,
                      double spread, void *memory) {
    device_t *device = n->options.device;
    const draw_t draw = {n->options.dtype, seed, count, (float)centre, (float)spread};
    return device->ops->draw(device, &draw, memory);
}

/* What a prompt would have left in the caches: values like those of keys and values, about 1. */
static status_t draw_caches(const network_t *n, const call_t *append, uint64_t seed) {
    status_t st = STATUS_OK;
    for (int i = 0; i < append->outputs && st == STATUS_OK; i++) {
        const view_t *cache = &append->out[i];
        st = network_draw(n, seed + (uint64_t)i, n->options.batch * cache->rows * cache->width, 0,
                          1, cache->data);
    }
    return st;
}

static const void *output_of(const step_t *step) {
    tensor_t tensors[MAX_TENSORS];
    return step->tensors[step->structure->tensors(&step->problem, tensors) - 1];
}

/* True if `next` reads what `first` does, not what it or a layer between them writes. */
static bool read_the_same(const step_t *first, const step_t *next) {
    if (next->op || next->plan != first->plan || next->tensors[0] != first->tensors[0] ||
        problem_compare(&next->problem, &first->problem) != 0)
        return false;
    for (const step_t *s = first; s < next; s++)
        if (output_of(s) == first->tensors[0] || output_of(s) == output_of(next)) return false;
    return true;
}

/* Finds the layers that follow each other, read the same and can be launched as one. */
static void put_together(network_t *n) {
    for (int i = 0; i < n->steps_len; i += n->steps[i].together) {
        step_t *const first = &n->steps[i];
        first->together = 1;
        if (first->op || !siblings_find(first->plan)) continue;
        for (step_t *s = first + 1; s < n->steps + n->steps_len && first->together < MAX_SIBLINGS;
             s++) {
            if (!read_the_same(first, s)) break;
            s->together = 0;
            first->together++;
        }
    }
}

status_t network_fill(network_t *n) {
    const model_t *m = n->options.model;
    device_t *device = n->options.device;
    status_t st = device->ops->used ? device->ops->used(device, &n->memory.before) : STATUS_OK;
    if (st == STATUS_OK) st = allocate(n);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < n->steps_len; i++) point_step(n, &n->steps[i]);
    for (int i = 0; i < m->inputs_len && st == STATUS_OK; i++)
        st = draw_input(n, &m->inputs[i], n->options.seed + (uint64_t)i);
    for (int i = 0; i < n->steps_len && st == STATUS_OK; i++)
        if (n->steps[i].op && !strcmp(n->steps[i].op->name, "append"))
            st = draw_caches(n, &n->steps[i].call, n->options.seed + 1000 + 2 * (uint64_t)i);
    if (st == STATUS_OK) st = network_load_weights(n);
    if (st == STATUS_OK) put_together(n);
    return st;
}

status_t network_read(network_t *n, const char *name, float *values) {
    device_t *device = n->options.device;
    const symbol_t *symbol = find_symbol(n, name);
    if (!symbol || symbol->view.whole)
        return fail(STATUS_USAGE, "%s has no buffer of reals %s", n->options.model->name, name);
    const view_t *view = &symbol->view;
    const int64_t rows = n->options.batch * view->rows;
    const size_t size = dtype_size(n->options.dtype);
    const size_t bytes = (size_t)((rows - 1) * view->stride + view->width) * size;
    void *bits = malloc(bytes);
    if (!bits) return fail(STATUS_OOM, "out of host memory for %s", name);
    const status_t st = device->ops->download(device, bits, at_place(n, &symbol->place), bytes);
    for (int64_t r = 0; st == STATUS_OK && r < rows; r++)
        for (int64_t i = 0; i < view->width; i++)
            values[r * view->width + i] =
                (float)value_at(n->options.dtype, bits, r * view->stride + i);
    free(bits);
    return st;
}

/* ---- launching ---- */

void network_set_past(network_t *n, int64_t past) {
    n->past = past;
    for (int i = 0; i < n->steps_len; i++) {
        n->steps[i].call.past = past;
        if (n->steps[i].cached) n->steps[i].problem.context = past + n->rows;
    }
}

status_t network_step(void *arg, int index, stream_t stream) {
    const network_t *n = arg;
    const step_t *step = &n->steps[index];
    void *const *tensors[MAX_SIBLINGS];
    if (step->op) return step->kernel->launch(&step->call, stream);
    if (step->together == 0) return STATUS_OK;
    for (int i = 0; i < step->together; i++) tensors[i] = step[i].tensors;
    if (step->together > 1)
        return siblings_find(step->plan)
            ->launch(&step->problem, step->together, tensors, n->workspace, stream);
    return step->plan->launch(&step->problem, step->tensors, n->workspace, stream);
}

status_t network_launch(void *arg, int index, stream_t stream) {
    const network_t *n = arg;
    (void)index;
    status_t st = STATUS_OK;
    for (int i = 0; i < n->steps_len && st == STATUS_OK; i++) st = network_step(arg, i, stream);
    return st;
}
