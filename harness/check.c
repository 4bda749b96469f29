/* Judging a variant's output against the fp64 reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/case.h"
#include "harness/registry.h"
#include "harness/values.h"

/*
 * A baseline's own limit: one rounding to the dtype a stage (errors add in squares), and fp32
 * accumulation over k products, whose error grows as sqrt(k) (Higham & Mary, SIAM J. Sci. Comput.
 * 41(5), 2019).
 */
static double accumulation_error(const problem_t *p) {
    return unit_roundoff(DTYPE_FP32) * sqrt((double)(p->in_features + p->rank + p->context));
}

static double tolerance(const case_t *c, const variant_t *variant) {
    if (variant->tolerance > 0) return variant->tolerance;
    const double roundoff = unit_roundoff(c->problem.dtype);
    const double limit =
        roundoff * sqrt(c->structure->stages) + 4 * accumulation_error(&c->problem);
    if (variant->baseline || isnan(c->baseline_error)) return limit;
    return 2 * c->baseline_error + roundoff / 2 + accumulation_error(&c->problem);
}

/* Where column j of block k stands in a row of the output. */
static int64_t column(const problem_t *p, output_order_t order, int64_t i) {
    if (order == ORDER_KJ) return i;
    const int64_t q = p->out_features / p->blocks;
    return i % q * p->blocks + i / q;
}

void check_output(const case_t *c, const variant_t *variant, const void *y, check_t *out) {
    const problem_t *p = &c->problem;
    const double limit = tolerance(c, variant);
    *out = (check_t){.tolerance = limit, .ok = true};
    double error = 0, norm = 0;
    int64_t worst = 0;
    for (int i = 0; i < c->rows_len; i++) {
        const double *reference = c->reference + i * p->out_features;
        double row_error = 0, row_norm = 0;
        for (int64_t j = 0; j < p->out_features; j++) {
            const int64_t at = c->rows[i] * p->out_features + column(p, variant->output_order, j);
            const double d = value_at(p->dtype, y, at) - reference[j];
            row_error += d * d;
            row_norm += reference[j] * reference[j];
        }
        error += row_error;
        norm += row_norm;
        const double relative = sqrt(row_error / row_norm);
        if (!isnan(out->error_worst_row) && !(relative <= out->error_worst_row)) {
            out->error_worst_row = relative;
            worst = c->rows[i];
        }
    }
    out->error = sqrt(error / norm);
    if (!(out->error <= limit) || !(out->error_worst_row <= 2 * limit)) {
        out->ok = false;
        /* fabs() for the sign of a NaN, which says nothing */
        snprintf(out->reason, sizeof out->reason,
                 "error %.2e (row %lld: %.2e) is over the tolerance %.2e", fabs(out->error),
                 (long long)worst, fabs(out->error_worst_row), limit);
    }
}

/* Every element must have been written, and the guard bands around it must not. */
static void check_extent(const case_t *c, const unsigned char *buffer, size_t bytes, check_t *out) {
    if (!out->ok) return;
    for (size_t i = 0; i < GUARD_BYTES; i++)
        if (buffer[i] != 0xff || buffer[GUARD_BYTES + bytes + i] != 0xff) {
            out->ok = false;
            snprintf(out->reason, sizeof out->reason, "wrote outside the output, %s it",
                     buffer[i] != 0xff ? "before" : "after");
            return;
        }
    const int64_t count = problem_rows(&c->problem) * c->problem.out_features;
    for (int64_t i = 0; i < count; i++)
        if (isnan(value_at(c->problem.dtype, buffer + GUARD_BYTES, i))) {
            out->ok = false;
            snprintf(out->reason, sizeof out->reason,
                     "output row %lld column %lld is NaN or was not written",
                     (long long)(i / c->problem.out_features),
                     (long long)(i % c->problem.out_features));
            return;
        }
}

status_t binding_check(binding_t *b, check_t *out) {
    const case_t *c = b->c;
    const int y = c->tensors_len - 1;
    const device_ops_t *ops = b->device->ops;
    const size_t bytes = b->bytes[y] + 2 * GUARD_BYTES;
    status_t st = STATUS_OK;
    unsigned char *buffer = malloc(bytes);
    if (!buffer) return fail(STATUS_OOM, "out of host memory for the output");
    TRY(ops->fill(b->device, b->base[y], 0xff, bytes));
    if (b->workspace) TRY(ops->fill(b->device, b->workspace, 0xff, b->workspace_bytes));
    TRY(ops->run(b->device, binding_launch, b, 0));
    TRY(ops->download(b->device, buffer, b->base[y], bytes));
    check_output(c, b->variant, buffer + GUARD_BYTES, out);
    check_extent(c, buffer, b->bytes[y], out);
cleanup:
    free(buffer);
    return st;
}

status_t case_baseline(case_t *c, device_t *device) {
    const variant_t *baseline = variant_baseline(c->structure->name, device->info.kind);
    const variant_t *plans[MAX_PLANS];
    char why[WHY_LEN];
    if (!baseline || !variant_plans(baseline, &c->problem, &device->info, plans, why, sizeof why))
        return STATUS_OK;
    binding_t binding;
    check_t check = {0};
    status_t st = binding_open(c, plans[0], device, 0, &binding);
    if (st != STATUS_OK) return st;
    st = binding_check(&binding, &check);
    if (st == STATUS_OK && check.ok) c->baseline_error = check.error;
    binding_close(&binding);
    return st;
}
