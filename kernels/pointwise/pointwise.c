#include "kernels/pointwise/pointwise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_OPERATORS = 64 };

static const pointwise_t *operators[MAX_OPERATORS];
static const pointwise_kernel_t *kernels[DEVICE_KIND_COUNT * MAX_OPERATORS];
static int operators_len, kernels_len;

/* Beyond what fits, and twice, is a fault of the program that no run would survive. */
static void require(bool ok, const char *name) {
    if (ok) return;
    fprintf(stderr, "blroof: operator %s is registered twice, or there are too many\n", name);
    abort();
}

void pointwise_register(const pointwise_t *op) {
    require(operators_len < MAX_OPERATORS && !pointwise_find(op->name), op->name);
    int i = operators_len++;
    for (; i > 0 && strcmp(operators[i - 1]->name, op->name) > 0; i--)
        operators[i] = operators[i - 1];
    operators[i] = op;
}

void pointwise_kernel_register(const pointwise_kernel_t *kernel) {
    require(kernels_len < DEVICE_KIND_COUNT * MAX_OPERATORS &&
                !pointwise_kernel_find(kernel->name, kernel->device),
            kernel->name);
    kernels[kernels_len++] = kernel;
}

const pointwise_t *pointwise_find(const char *name) {
    for (int i = 0; i < operators_len; i++)
        if (!strcmp(operators[i]->name, name)) return operators[i];
    return NULL;
}

const pointwise_t *pointwise_at(int i) {
    return i < operators_len ? operators[i] : NULL;
}

const pointwise_kernel_t *pointwise_kernel_find(const char *name, device_kind_t kind) {
    for (int i = 0; i < kernels_len; i++)
        if (kernels[i]->device == kind && !strcmp(kernels[i]->name, name)) return kernels[i];
    return NULL;
}

static double view_elements(const view_t *view) {
    return view->given ? (double)view->rows * (double)view->width : 0;
}

double pointwise_bytes(const pointwise_t *op, const call_t *call) {
    const double size = (double)dtype_size(call->dtype), batch = (double)call->batch;
    double bytes = 0, rows = 0;
    for (int i = 0; i < call->outputs; i++) {
        view_t written = call->out[i];
        if (op->appends) written.rows -= call->past;
        bytes += batch * view_elements(&written) * size;
        rows = batch * (double)call->out[i].rows;
    }
    for (int i = 0; i < MAX_VIEWS; i++)
        bytes += batch * view_elements(&call->in[i]) * (call->in[i].whole ? 4 : size);
    for (int i = 0; i < MAX_PARAMETERS; i++) {
        const view_t *w = &call->weight[i];
        const double most = rows * (double)w->width;
        const double all = view_elements(w);
        bytes += (all < most ? all : most) * size;
    }
    return bytes;
}

void shape_output(call_t *call, int i, int64_t rows, int64_t width) {
    call->out[i].rows = rows;
    call->out[i].width = call->out[i].stride = width;
    call->out[i].given = true;
}

void shape_weight(call_t *call, int slot, int64_t rows, int64_t width) {
    if (!call->weight[slot].given) return;
    call->weight[slot].rows = rows;
    call->weight[slot].width = call->weight[slot].stride = width;
}

bool shape_matches(const call_t *call, int slot, int64_t rows, int64_t width, char *why,
                   size_t why_len) {
    const view_t *view = &call->in[slot];
    if (!view->given || (view->width == width && (view->rows == rows || view->rows == 1)))
        return true;
    snprintf(why, why_len, "input %d is %lld x %lld, expected %lld x %lld", slot + 1,
             (long long)view->rows, (long long)view->width, (long long)rows, (long long)width);
    return false;
}

double call_elements(const call_t *call) {
    return (double)call->batch * (double)call->out[0].rows * (double)call->out[0].width;
}
