/*
 * A case: one structure and problem with its host data and fp64 reference, shared by all variants.
 * A binding: one variant of a case with its device memory, ready to be launched, checked and timed.
 */
#ifndef BLROOF_CASE_H
#define BLROOF_CASE_H

#include "harness/device.h"

typedef struct {
    const structure_t *structure;
    problem_t problem;
    int tensors_len;
    tensor_t tensors[MAX_TENSORS];
    float *values[MAX_TENSORS]; /* the rounded values; NULL for the output */
    void *bits[MAX_TENSORS];    /* the same in the dtype */
    int rows_len;
    int64_t *rows;         /* rows of Y that are checked, ascending: first and last always */
    double *reference;     /* [rows_len][out_features], order (k, j) */
    double baseline_error; /* the baseline's error on this case; NAN until it is known */
} case_t;

/* Draws inputs and weights and computes the reference rows. STATUS_OOM if the host has no room. */
status_t case_open(const structure_t *structure, const problem_t *problem, case_t *out);
/* The same without rows and reference, for launches that nobody checks. */
status_t case_open_unchecked(const structure_t *structure, const problem_t *problem, case_t *out);
void case_close(case_t *c);

double problem_bytes_min(const structure_t *structure, const problem_t *problem);
double problem_weight_bytes(const structure_t *structure, const problem_t *problem);

/* Bytes of NaN before and after every copy of the output, which no kernel may touch. */
enum { GUARD_BYTES = 1024 };

typedef struct {
    const case_t *c;
    const variant_t *variant;
    device_t *device;
    int sets;                   /* copies of every tensor that launches rotate over */
    void *base[MAX_TENSORS];    /* device memory of all copies of a tensor */
    size_t stride[MAX_TENSORS]; /* bytes between copies */
    size_t bytes[MAX_TENSORS];  /* bytes of one copy, packed */
    void *workspace;
    size_t workspace_bytes;
} binding_t;

/*
 * Allocates and fills copies of all tensors: enough for `rotate_bytes` in all (at least 1 copy).
 * STATUS_OOM when the device has no room. On failure nothing stays allocated.
 */
status_t binding_open(const case_t *c, const variant_t *variant, device_t *device,
                      double rotate_bytes, binding_t *out);
void binding_close(binding_t *binding);

/* A work_t: launches on copy index % sets. */
status_t binding_launch(void *binding, int index, stream_t stream);

typedef struct {
    double error; /* ||Y - ref|| / ||ref|| over the checked rows; NAN if Y holds NaN there */
    double error_worst_row; /* the largest of the same per row */
    double tolerance;       /* for error; a single row may have twice that */
    bool ok;
    char reason[160]; /* why not ok */
} check_t;

/* Runs once on poisoned output, workspace and guard bands, and compares with the reference. */
status_t binding_check(binding_t *binding, check_t *out);

/* Fills in case->baseline_error by checking the baseline variant, where that is possible. */
status_t case_baseline(case_t *c, device_t *device);

/* The judgement alone: y is [rows][out_features] in the variant's order. */
void check_output(const case_t *c, const variant_t *variant, const void *y, check_t *out);

#endif
