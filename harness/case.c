#include "harness/case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/cpu_topology.h"
#include "harness/values.h"

static double tensors_bytes(const structure_t *structure, const problem_t *problem, bool weights) {
    tensor_t tensors[MAX_TENSORS];
    const int count = structure->tensors(problem, tensors);
    double bytes = 0;
    for (int t = 0; t < count; t++)
        if (!weights || tensors[t].role == TENSOR_WEIGHT)
            bytes += (double)tensor_count(&tensors[t]) * (double)dtype_size(problem->dtype);
    return bytes;
}

double problem_bytes_min(const structure_t *structure, const problem_t *problem) {
    return tensors_bytes(structure, problem, false);
}

double problem_weight_bytes(const structure_t *structure, const problem_t *problem) {
    return tensors_bytes(structure, problem, true);
}

/* As many rows as about 6 GFLOP of fp64 allow, one at random in each of as many equal spans. */
static status_t choose_rows(case_t *c) {
    const int64_t all = problem_rows(&c->problem);
    const double row_flops = c->structure->flops(&c->problem) / (double)all;
    double rows = fmin(128, fmax(16, 6e9 / row_flops));
    rows = fmin(rows, (double)all);
    c->rows_len = (int)rows;
    c->rows = calloc((size_t)c->rows_len, sizeof *c->rows);
    float *offset = calloc((size_t)c->rows_len, sizeof *offset);
    float *bits = malloc((size_t)c->rows_len * sizeof *bits);
    if (!c->rows || !offset || !bits) {
        free(offset);
        free(bits);
        return fail(STATUS_OOM, "out of host memory");
    }
    random_values(DTYPE_FP32, 99, c->rows_len, offset, bits);
    for (int i = 0; i < c->rows_len; i++)
        c->rows[i] = (int64_t)((i + (double)(offset[i] + 1) / 2) * (double)all / c->rows_len);
    c->rows[0] = 0;
    c->rows[c->rows_len - 1] = all - 1;
    free(offset);
    free(bits);
    return STATUS_OK;
}

static void compute_reference(case_t *c) {
    const int inputs = c->tensors_len - 1;
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < c->rows_len; i++) {
        const float *in[MAX_TENSORS] = {0};
        for (int t = 0; t < inputs; t++) in[t] = c->values[t];
        structure_reference(c->structure, &c->problem, in, c->rows[i],
                            c->reference + i * c->problem.out_features);
    }
}

/* Values, bits and a packed copy of each tensor: asked for before the kernel has to kill someone.
 */
static status_t check_host_memory(const structure_t *structure, const problem_t *problem) {
    const double bytes = problem_bytes_min(structure, problem);
    const double needed = 2 * bytes + bytes / (double)dtype_size(problem->dtype) * sizeof(float);
    const double available = (double)cpu_memory_available();
    if (needed < 0.9 * available) return STATUS_OK;
    return fail(STATUS_OOM, "checking it takes %.3g GB of host memory, %.3g GB are available",
                needed / 1e9, available / 1e9);
}

status_t case_open_unchecked(const structure_t *structure, const problem_t *problem, case_t *c) {
    *c = (case_t){.structure = structure, .problem = *problem, .baseline_error = NAN};
    c->tensors_len = structure->tensors(problem, c->tensors);
    status_t st = check_host_memory(structure, problem);
    if (st != STATUS_OK) return st;
    for (int t = 0; t + 1 < c->tensors_len; t++) {
        const int64_t count = tensor_count(&c->tensors[t]);
        c->values[t] = malloc((size_t)count * sizeof(float));
        c->bits[t] = malloc((size_t)count * dtype_size(problem->dtype));
        if (!c->values[t] || !c->bits[t]) {
            st = fail(STATUS_OOM, "out of host memory for tensor %s", c->tensors[t].name);
            goto cleanup;
        }
        random_values(problem->dtype, (uint64_t)t + 1, count, c->values[t], c->bits[t]);
    }
cleanup:
    if (st != STATUS_OK) case_close(c);
    return st;
}

status_t case_open(const structure_t *structure, const problem_t *problem, case_t *c) {
    status_t st = case_open_unchecked(structure, problem, c);
    if (st != STATUS_OK) return st;
    TRY(choose_rows(c));
    c->reference = malloc((size_t)(c->rows_len * problem->out_features) * sizeof(double));
    if (!c->reference) {
        st = fail(STATUS_OOM, "out of host memory for the reference");
        goto cleanup;
    }
    compute_reference(c);
cleanup:
    if (st != STATUS_OK) case_close(c);
    return st;
}

void case_close(case_t *c) {
    for (int t = 0; t < c->tensors_len; t++) {
        free(c->values[t]);
        free(c->bits[t]);
    }
    free(c->rows);
    free(c->reference);
    *c = (case_t){0};
}

static size_t align256(size_t bytes) {
    return (bytes + 255) & ~(size_t)255;
}

static bool is_output(const case_t *c, int t) {
    return t == c->tensors_len - 1;
}

static void *copy_of(const binding_t *b, int t, int set) {
    const size_t guard = is_output(b->c, t) ? GUARD_BYTES : 0;
    return (char *)b->base[t] + (size_t)set * b->stride[t] + guard;
}

static int64_t packed_count(const case_t *c, const variant_t *variant, int t) {
    if (variant->pack && c->tensors[t].role == TENSOR_WEIGHT)
        return variant->pack(&c->problem, t, NULL, NULL);
    return tensor_count(&c->tensors[t]);
}

static status_t upload_tensor(binding_t *b, int t) {
    const case_t *c = b->c;
    const device_ops_t *ops = b->device->ops;
    void *packed = NULL;
    const void *source = c->bits[t];
    if (b->variant->pack && c->tensors[t].role == TENSOR_WEIGHT) {
        packed = calloc(1, b->bytes[t]);
        if (!packed) return fail(STATUS_OOM, "out of host memory to pack %s", c->tensors[t].name);
        b->variant->pack(&c->problem, t, source, packed);
        source = packed;
    }
    status_t st = ops->upload(b->device, copy_of(b, t, 0), source, b->bytes[t]);
    free(packed);
    for (int s = 1; st == STATUS_OK && s < b->sets; s++)
        st = ops->copy(b->device, copy_of(b, t, s), copy_of(b, t, 0), b->bytes[t]);
    return st;
}

status_t binding_open(const case_t *c, const variant_t *variant, device_t *device,
                      double rotate_bytes, binding_t *b) {
    *b = (binding_t){.c = c, .variant = variant, .device = device};
    const size_t size = dtype_size(c->problem.dtype);
    double set_bytes = 0;
    for (int t = 0; t < c->tensors_len; t++) {
        b->bytes[t] = (size_t)packed_count(c, variant, t) * size;
        b->stride[t] = align256(b->bytes[t] + (is_output(c, t) ? 2 * GUARD_BYTES : 0));
        set_bytes += (double)b->bytes[t];
    }
    b->sets = (int)fmin(1024, fmax(1, ceil(rotate_bytes / set_bytes)));
    status_t st = STATUS_OK;
    for (int t = 0; t < c->tensors_len; t++) {
        TRY(device->ops->alloc(device, (size_t)b->sets * b->stride[t], &b->base[t]));
        if (is_output(c, t))
            TRY(device->ops->fill(device, b->base[t], 0xff, (size_t)b->sets * b->stride[t]));
        else
            TRY(upload_tensor(b, t));
    }
    if (variant->workspace) b->workspace_bytes = variant->workspace(&c->problem, &device->info);
    if (b->workspace_bytes) {
        TRY(device->ops->alloc(device, b->workspace_bytes, &b->workspace));
        TRY(device->ops->fill(device, b->workspace, 0xff, b->workspace_bytes));
    }
cleanup:
    if (st != STATUS_OK) binding_close(b);
    return st;
}

void binding_close(binding_t *b) {
    if (!b->device) return;
    for (int t = 0; t < b->c->tensors_len; t++)
        if (b->base[t]) b->device->ops->free(b->device, b->base[t]);
    if (b->workspace) b->device->ops->free(b->device, b->workspace);
    *b = (binding_t){0};
}

status_t binding_launch(void *arg, int index, stream_t stream) {
    const binding_t *b = arg;
    void *tensors[MAX_TENSORS];
    for (int t = 0; t < b->c->tensors_len; t++) tensors[t] = copy_of(b, t, index % b->sets);
    return b->variant->launch(&b->c->problem, tensors, b->workspace, stream);
}
