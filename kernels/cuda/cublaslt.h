/*
 * cuBLASLt, loaded at run time: batched GEMMs with the best of the algorithms that its heuristic
 * proposes. Nothing is linked, so the program also starts where no CUDA library is installed.
 *
 * The first launch of a shape outside of a stream capture times up to 16 proposals on the caller's
 * own operands and keeps the fastest for the process. A shape first seen under capture runs with
 * the heuristic's first proposal. Not thread-safe; one CUDA context a device.
 */
#ifndef BLROOF_CUBLASLT_H
#define BLROOF_CUBLASLT_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Device scratch that cublaslt_gemm() may use: a variant puts it first in its workspace. */
#define CUBLASLT_WORKSPACE_BYTES ((size_t)32 << 20)

/*
 * One operand of a strided batch, row-major. Elements, not bytes.
 *  ld          distance between two stored rows
 *  stride      distance between two matrices of the batch; may be 0 or less than a matrix (those
 *              of C may interleave, but not overlap)
 *  transposed  the stored rows are the mathematical columns; never for C
 */
typedef struct {
    int64_t ld, stride;
    bool transposed;
} cublaslt_operand_t;

/* C[i] (m x n) = A[i] (m x k) * B[i] (k x n), i < batch; BF16 or FP16, accumulated in fp32. */
typedef struct {
    dtype_t dtype;
    int64_t m, n, k, batch;
    cublaslt_operand_t a, b, c;
} cublaslt_gemm_t;

/*
 * Enqueues the batch on `stream`. a, b, c are device pointers, workspace holds
 * CUBLASLT_WORKSPACE_BYTES. STATUS_ENVIRONMENT if the library is not installed, STATUS_UNSUPPORTED
 * if it has no algorithm for the shape, STATUS_DEVICE if the device failed.
 */
status_t cublaslt_gemm(const cublaslt_gemm_t *gemm, const void *a, const void *b, void *c,
                       void *workspace, stream_t stream);

/* The matrix-unit peaks of a device: operand type -> result type. */
typedef enum {
    CUBLASLT_BF16, /* bf16 -> bf16, fp32 accumulation */
    CUBLASLT_FP16, /* fp16 -> fp16, fp32 accumulation */
    CUBLASLT_TF32, /* fp32 -> fp32, multiplied as tf32 */
    CUBLASLT_INT8, /* int8 -> int32 */
    CUBLASLT_FP8,  /* e4m3 -> bf16, compute capability 8.9 and later */
} cublaslt_peak_t;

size_t cublaslt_peak_operand_size(cublaslt_peak_t kind); /* bytes an element of A and B */
size_t cublaslt_peak_result_size(cublaslt_peak_t kind);  /* bytes an element of C */

/*
 * Enqueues one n x n x n GEMM C = A B with A row-major and B column-major, the layout every kind
 * has its fastest kernels for; n must be a multiple of 16. Errors as cublaslt_gemm().
 */
status_t cublaslt_peak_gemm(cublaslt_peak_t kind, int64_t n, const void *a, const void *b, void *c,
                            void *workspace, size_t workspace_bytes, stream_t stream);

/* The loaded library's version (130000 is 13.0.0), or 0 if it cannot be loaded. */
size_t cublaslt_version(void);

#ifdef __cplusplus
}
#endif
#endif
