#include "harness/model_account.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/case.h"
#include "kernels/attention/attention.h"
#include "results/csv_table.h"

double step_flops(const step_t *step) {
    return step->op ? step->op->flops(&step->call) : step->structure->flops(&step->problem);
}

static double weight_bytes(const step_t *step) {
    if (!step->op) return problem_weight_bytes(step->structure, &step->problem);
    call_t only = {
        .dtype = step->call.dtype, .batch = step->call.batch, .outputs = step->call.outputs};
    call_t with = only;
    memcpy(with.weight, step->call.weight, sizeof with.weight);
    memcpy(with.out, step->call.out, sizeof with.out);
    memcpy(only.out, step->call.out, sizeof only.out);
    return pointwise_bytes(step->op, &with) - pointwise_bytes(step->op, &only);
}

/* Keys and values of the past, which lie in memory since earlier passes, as weights do. */
static double past_bytes(const step_t *step) {
    const problem_t *p = &step->problem;
    if (!step->cached) return 0;
    const int64_t row = p->kv_heads * attention_head_dim(p);
    return 2.0 * (double)(p->batch * (p->context - p->tokens) * row) * (double)dtype_size(p->dtype);
}

/* Bytes that every pass needs again. */
static double lasting_bytes(const network_t *n) {
    double bytes = n->memory.weights;
    for (int i = 0; i < n->steps_len; i++) bytes += past_bytes(&n->steps[i]);
    return bytes;
}

/* Tensor units take what the variant does not leave to the CUDA cores; a CPU has one kind. */
static void step_compute(const network_t *n, const step_t *step, demand_t *demand) {
    const double flops = step_flops(step);
    double other = 0;
    if (step->op)
        other = n->options.device->info.kind == DEVICE_CPU ? 0 : flops;
    else if (step->plan->cuda_core_flops)
        other = step->plan->cuda_core_flops(&step->problem);
    demand->cuda_core_flops = other;
    demand->compute_flops = flops - other;
}

roof_t step_roof(const network_t *n, const step_t *step, const roof_ceilings_t *ceilings,
                 double *dram_bytes, double *bytes) {
    const double cache = (double)n->options.device->info.cache_bytes;
    const double lasting = weight_bytes(step) + past_bytes(step);
    const double all = step->op ? pointwise_bytes(step->op, &step->call)
                                : problem_bytes_min(step->structure, &step->problem);
    double intermediates[MAX_INTERMEDIATES];
    const bool has = !step->op && step->plan->intermediates;
    const int count = has ? step->plan->intermediates(&step->problem, intermediates) : 0;
    *bytes = all;
    for (int i = 0; i < count; i++) *bytes += 2 * intermediates[i];
    const double from_dram =
        (lasting_bytes(n) > cache ? lasting : 0) + fmax(0, all - lasting - cache);
    *dram_bytes = dram_bytes_floor(from_dram, intermediates, count, cache);
    demand_t demand = {.dram_bytes = *dram_bytes, .l2_bytes = *bytes, .kernels = 1};
    step_compute(n, step, &demand);
    return roof_time(&demand, ceilings);
}

/* ---- rows ---- */

static bool same_kind(const step_t *a, const variant_t *of_a, const step_t *b,
                      const variant_t *of_b) {
    if (strcmp(a->statement->label, b->statement->label) || a->op != b->op || of_a != of_b)
        return false;
    if (!a->op) return a->plan == b->plan && problem_compare(&a->problem, &b->problem) == 0;
    return a->call.out[0].rows == b->call.out[0].rows &&
           a->call.out[0].width == b->call.out[0].width;
}

/* Cells that tell the pass of a row. */
static void begin_row(const model_row_t *pass, model_layer_row_t *row) {
    row_clear(&MODEL_LAYERS_TABLE, row);
    row_set_text(row->run_id, "%s", pass->run_id);
    row_set_text(row->model, "%s", pass->model);
    row_set_text(row->structure, "%s", pass->structure);
    row_set_text(row->phase, "%s", pass->phase);
    row_set_text(row->device, "%s", pass->device);
    row_set_text(row->model_variant, "%s", pass->variant);
    row_set_text(row->dtype, "%s", pass->dtype);
    row->batch = pass->batch;
    row->tokens = pass->tokens;
    row->past = pass->past;
}

static void describe(const step_t *step, const variant_t *variant, model_layer_row_t *row) {
    row_set_text(row->operator, "%s", step->statement->label);
    row_set_text(row->kind, "%s", step->statement->op);
    row->count = row->time_in_model_us = row->time_alone_us = row->flops = 0;
    row->dram_bytes = row->bytes = row->roof_us = 0;
    if (step->op) {
        row->in_features = (double)step->call.in[0].width;
        row->out_features = (double)step->call.out[0].width;
        return;
    }
    row_set_text(row->variant, "%s/%s", variant->structure, variant->name);
    row->in_features = (double)step->problem.in_features;
    row->out_features = (double)step->problem.out_features;
    if (step->problem.rank > 0) row->rank = (double)step->problem.rank;
    if (step->problem.rank > 0) row->blocks = (double)step->problem.blocks;
}

static void add_step(const network_t *n, const step_t *step, const step_time_t *time,
                     const roof_ceilings_t *ceilings, model_layer_row_t *row) {
    double dram_bytes, bytes;
    const roof_t roof = step_roof(n, step, ceilings, &dram_bytes, &bytes);
    row->count++;
    row->time_in_model_us += time->in_model_us;
    row->time_alone_us += time->alone_us;
    row->flops += step_flops(step);
    row->dram_bytes += dram_bytes;
    row->bytes += bytes;
    row->roof_us += roof.seconds * 1e6;
    if (!isnan(roof.seconds)) row_set_text(row->bound, "%s", bound_name(roof.bound));
}

static void finish_row(double latency_us, model_layer_row_t *row) {
    row->share_pct = 100 * row->time_in_model_us / latency_us;
    row->roof_pct = 100 * row->roof_us / row->time_in_model_us;
}

static void add_rest(const char *name, double us, const model_row_t *pass, model_layer_row_t *row) {
    begin_row(pass, row);
    row_set_text(row->operator, "%s", name);
    row->time_in_model_us = us;
    row->share_pct = 100 * us / (pass->latency_ms * 1e3);
}

status_t account_rows(const network_t *n, const step_time_t *times, double launch_us,
                      const model_row_t *pass, const roof_ceilings_t *ceilings,
                      model_layer_row_t **rows, int *rows_len, double *accounted_pct) {
    const double latency_us = pass->latency_ms * 1e3;
    double inside = 0;
    int *first = malloc((size_t)n->steps_len * sizeof *first); /* step that begins each row */
    *rows_len = 0;
    *rows = malloc(((size_t)n->steps_len + 2) * sizeof **rows);
    if (!first || !*rows) {
        free(first);
        free(*rows);
        *rows = NULL;
        return fail(STATUS_OOM, "out of host memory for the operators of a model");
    }
    for (int i = 0; i < n->steps_len; i++) {
        int r = 0;
        while (r < *rows_len && !same_kind(&n->steps[first[r]], times[first[r]].variant,
                                           &n->steps[i], times[i].variant))
            r++;
        if (r == *rows_len) {
            first[(*rows_len)++] = i;
            begin_row(pass, &(*rows)[r]);
            describe(&n->steps[i], times[i].variant, &(*rows)[r]);
        }
        add_step(n, &n->steps[i], &times[i], ceilings, &(*rows)[r]);
        inside += times[i].in_model_us;
    }
    for (int r = 0; r < *rows_len; r++) finish_row(latency_us, &(*rows)[r]);
    const double launch = fmin(launch_us, fmax(latency_us - inside, 0));
    if (launch > 0) add_rest("launch", launch, pass, &(*rows)[(*rows_len)++]);
    add_rest("gaps", latency_us - inside - launch, pass, &(*rows)[(*rows_len)++]);
    *accounted_pct = 100 * inside / latency_us;
    free(first);
    return STATUS_OK;
}
