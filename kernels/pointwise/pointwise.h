/*
 * The small operators between the linear and attention layers of a model: norms, activations,
 * embeddings, re-layouts, with the chains that belong together fused.
 *
 * kernels/pointwise/<name>.c says what an operator takes and gives and holds its CPU kernel;
 * <name>.cu beside it holds its CUDA kernel. Both register themselves. A launch enqueues and
 * returns: it allocates, prints and waits for nothing.
 */
#ifndef BLROOF_POINTWISE_H
#define BLROOF_POINTWISE_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_VIEWS = 5, MAX_RESULTS = 2, MAX_PARAMETERS = 3, MAX_NUMBERS = 6 };

/*
 * Rows in memory: row r of sequence s starts at element (s * rows + r) * stride of data. Whole
 * numbers are int32, all else is of the dtype of the call. A view with a single row stands for that
 * row in every position.
 */
typedef struct {
    void *data;   /* NULL where it was left out */
    int64_t rows; /* of each sequence */
    int64_t width, stride;
    bool given, whole;
} view_t;

/* One launch. Slots are in the order of the operator's names. */
typedef struct {
    dtype_t dtype;
    int64_t batch;
    int64_t past; /* tokens of each sequence before its first row */
    view_t in[MAX_VIEWS];
    view_t weight[MAX_PARAMETERS]; /* rows of `width`; a vector has one row; shared by sequences */
    double number[MAX_NUMBERS];
    view_t out[MAX_RESULTS];
    int outputs; /* how many are wanted */
} call_t;

/*
 * What an operator is. Names end with NULL. In front of a name, '?' says that it may be left out,
 * and '=' (weights) that it is computed by table(), in fp32, and not loaded. A number with a
 * default is "eps=1e-5".
 *  in_place  an output may be the very buffer of an input
 *  appends   outputs start with the rows of the past, which a launch leaves as they are
 *  shape     from the inputs and numbers, fills in rows and width of out[] and of the given
 *            weights; false, and a reason, where they do not fit together
 *  flops     by the formulas of the operator; exp, tanh and the like count 1
 *  table     the values of computed weight `slot`, rows x width of it
 */
typedef struct {
    const char *name, *summary;
    const char *inputs[MAX_VIEWS + 1], *weights[MAX_PARAMETERS + 1], *numbers[MAX_NUMBERS + 1];
    bool in_place, appends;
    bool (*shape)(call_t *call, char *why, size_t why_len);
    double (*flops)(const call_t *call);
    void (*table)(const call_t *call, int slot, float *values);
} pointwise_t;

/* Its kernel on one kind of device. */
typedef struct {
    const char *name; /* of the operator */
    device_kind_t device;
    unsigned dtypes;
    status_t (*launch)(const call_t *call, stream_t stream);
} pointwise_kernel_t;

void pointwise_register(const pointwise_t *op);
void pointwise_kernel_register(const pointwise_kernel_t *kernel);
#define REGISTER_POINTWISE(object) BLROOF_REGISTER(pointwise, object)
#define REGISTER_POINTWISE_KERNEL(object) BLROOF_REGISTER(pointwise_kernel, object)

const pointwise_t *pointwise_find(const char *name);
const pointwise_kernel_t *pointwise_kernel_find(const char *name, device_kind_t kind);
/* By name; NULL after the last one. */
const pointwise_t *pointwise_at(int i);

/* Bytes that a launch reads and writes at least: each view once, of a table no more rows than
 * outputs, of a cache the rows that are appended. */
double pointwise_bytes(const pointwise_t *op, const call_t *call);

/* ---- for shape() ---- */

/* out[i] gets `rows` x `width`. */
void shape_output(call_t *call, int i, int64_t rows, int64_t width);
/* A weight that is given gets `rows` x `width`. */
void shape_weight(call_t *call, int slot, int64_t rows, int64_t width);
/* True if input `slot` was left out, or has this width and either `rows` rows or one. */
bool shape_matches(const call_t *call, int slot, int64_t rows, int64_t width, char *why,
                   size_t why_len);
double call_elements(const call_t *call); /* of the first output, in all sequences */

/* ---- for kernels ---- */

static inline int64_t view_offset(const view_t *view, int64_t sequence, int64_t row) {
    return (sequence * view->rows + (view->rows == 1 ? 0 : row)) * view->stride;
}

#ifdef __cplusplus
}
#endif
#endif
