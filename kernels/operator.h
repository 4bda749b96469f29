/*
 * The contract between kernels and the rest of blroof: problems, structures, variants.
 *
 * A structure (kernels/<structure>/<structure>.c) says what is computed: shapes, FLOPs, fp64
 * reference. A variant (one file beside it) says how on one kind of device. Both register
 * themselves; nothing else has to know their names.
 */
#ifndef BLROOF_OPERATOR_H
#define BLROOF_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum { DTYPE_FP32, DTYPE_BF16, DTYPE_FP16, DTYPE_COUNT } dtype_t;
#define DTYPE_BIT(dtype) (1u << (dtype))

const char *dtype_name(dtype_t dtype); /* "fp32", "bf16", "fp16" */
size_t dtype_size(dtype_t dtype);      /* bytes an element */

/*
 * One layer y = x W on `tokens` rows. blocks is b and rank is r of the design; 0 where unused.
 *
 * The rest is for attention, and all 0 for linear layers. tokens are then the query tokens of each
 * of `batch` sequences, context (at least tokens) its key and value tokens, and the features are
 * heads x head dim. With causal, query i sees the keys up to context - tokens + i, so that prefill
 * and decoding with a cache of keys and values are one formula. Strides are elements, 0 for
 * contiguous: from a token to the next in Q (q_stride) and in K and V (kv_stride), where they are
 * slices of a fused buffer, and from a sequence to the next in K and V (kv_batch_stride), where a
 * cache has room for more than the context. Q's sequences are tokens x q_stride apart.
 */
typedef struct {
    dtype_t dtype;
    int64_t tokens, in_features, out_features, blocks, rank;
    int64_t batch, heads, kv_heads, context, q_stride, kv_stride, kv_batch_stride;
    bool causal;
} problem_t;

int64_t problem_rows(const problem_t *problem); /* of the output: the tokens of all sequences */
/* By content, the dtype last: below, at or above 0. */
int problem_compare(const problem_t *a, const problem_t *b);

typedef enum { TENSOR_INPUT, TENSOR_WEIGHT, TENSOR_OUTPUT } tensor_role_t;

enum { MAX_TENSORS = 8, MAX_DIMS = 4, MAX_INTERMEDIATES = 8, MAX_PLANS = 32, WHY_LEN = 160 };

/* A dense row-major array (last dimension contiguous); unused dims are 1. */
typedef struct {
    const char *name;
    tensor_role_t role;
    int64_t dims[MAX_DIMS];
} tensor_t;

int64_t tensor_count(const tensor_t *tensor); /* elements */

/* What is computed, independent of any implementation. */
typedef struct {
    const char *name, *summary;
    int stages; /* how many times a result is rounded to the dtype, the output included */

    /* False, and a reason in why[why_len], where the mathematics does not allow the problem. */
    bool (*validate)(const problem_t *problem, char *why, size_t why_len);

    /* Fills out[] in canonical order and layout: the input X [tokens][in_features] first, the
     * output Y [tokens][out_features] last, weights between; returns how many. */
    int (*tensors)(const problem_t *problem, tensor_t out[MAX_TENSORS]);

    /* Algorithmic FLOPs (a multiply-add is 2). */
    double (*flops)(const problem_t *problem);

    /* One output row in fp64. in[] are the tensors but the output, as floats that already hold the
     * rounded values of the dtype; in[0] is that one row of X. */
    void (*reference)(const problem_t *problem, const float *const *in, double *out_row);

    /* In its place where a row depends on where it stands: in[0] is all of X, and row counts
     * through the sequences. */
    void (*reference_row)(const problem_t *problem, const float *const *in, int64_t row,
                          double *out_row);
} structure_t;

/* Calls the one that the structure has; in[0] is all of X. */
void structure_reference(const structure_t *structure, const problem_t *problem,
                         const float *const *in, int64_t row, double *out_row);

typedef enum { DEVICE_CPU, DEVICE_CUDA, DEVICE_KIND_COUNT } device_kind_t;
const char *device_kind_name(device_kind_t kind); /* "cpu", "cuda" */

/* Facts about the device that a variant may depend on. */
typedef struct {
    device_kind_t kind;
    int cores;                   /* CPU threads used, or SMs */
    int compute_capability;      /* 80, 90, ...; 0 on a CPU */
    int64_t cache_bytes;         /* last-level cache: L3, or the GPU's L2 */
    int64_t smem_bytes;          /* most dynamic shared memory a block may ask for; 0 on a CPU */
    int64_t private_cache_bytes; /* L2 of one core; 0 on a GPU */
} device_info_t;

/* Order of the output's columns: blocks outermost (k, j), or innermost (j, k) as Monarch's original
 * code. */
typedef enum { ORDER_KJ, ORDER_JK } output_order_t;

typedef void *stream_t; /* cudaStream_t, or NULL on the CPU */

/*
 * Where what a kernel keeps in registers dictates its tile: the thread blocks it launches, one a
 * multiprocessor at a time, the FLOPs on matrix units that they share, the bytes they read through
 * the last-level cache beyond one reading of each operand, and those that their warps read from
 * shared memory.
 */
typedef struct {
    double blocks, flops, reread_bytes, shared_bytes;
} tiling_t;

/*
 * One implementation of a structure on one kind of device. Functions may be NULL unless marked.
 * A plan is a way to run (a path, a tile shape): a variant of its own that is not registered.
 */
typedef struct variant variant_t;
struct variant {
    const char *structure, *name, *summary;
    device_kind_t device;
    bool baseline; /* the honest yardstick: its error sets the tolerance of the other variants */
    output_order_t output_order;
    unsigned dtypes; /* required: DTYPE_BIT() of each dtype it computes in */

    /* Of its relative error, where it computes in fewer bits than its dtype has (fp8, int8); 0: the
     * tolerance that the baseline's error sets. */
    double tolerance;
    /* Of its matrix products' operands, as ceilings.csv calls it: "fp8"; NULL: the tensors' dtype.
     */
    const char *matrix_dtype;

    /* Ends in NULL. The plans that support a problem are timed once a shape and the fastest one is
     * measured and named in the row. A variant with plans needs no functions of its own. */
    const variant_t *const *plans;

    /* False, and a reason, for a problem that is valid but beyond this variant. */
    bool (*supports)(const problem_t *, const device_info_t *, char *why, size_t why_len);

    /* Bytes of each intermediate it writes to memory and reads back once; returns how many.
     * Modelled traffic = compulsory bytes + 2 x their sum (as the paper's Table 2). */
    int (*intermediates)(const problem_t *, double bytes[MAX_INTERMEDIATES]);

    /* The part of the structure's FLOPs that runs outside the matrix units (GPU only). */
    double (*cuda_core_flops)(const problem_t *);

    /* Of its kernel whose tile is not free to choose (GPU only); for predictions. */
    tiling_t (*tiling)(const problem_t *);

    /* Offline re-layout of weight `tensor`, never timed: returns the packed element count, and
     * fills dst (elements of the dtype) unless it is NULL. Without it weights are canonical. */
    int64_t (*pack)(const problem_t *, int tensor, const void *src, void *dst);

    /* Bytes of device scratch for one launch, 256-byte aligned. */
    size_t (*workspace)(const problem_t *, const device_info_t *);

    /* Required: enqueue on stream. tensors[] are device pointers in the structure's order, weights
     * packed. Allocates nothing and prints nothing. The first launch of a shape is never captured
     * or timed, so it may choose an algorithm. */
    status_t (*launch)(const problem_t *, void *const *tensors, void *workspace, stream_t stream);
};

void structure_register(const structure_t *structure);
void variant_register(const variant_t *variant);

#define BLROOF_REGISTER(kind, object)                                                              \
    __attribute__((constructor)) static void register_##object(void) {                             \
        kind##_register(&object);                                                                  \
    }
#define REGISTER_STRUCTURE(object) BLROOF_REGISTER(structure, object)
#define REGISTER_VARIANT(object) BLROOF_REGISTER(variant, object)

#ifdef __cplusplus
}
#endif
#endif
