/*
 * Weights from a safetensors file (github.com/huggingface/safetensors): 8 bytes of header length,
 * little endian; a JSON header of dtype, shape and data_offsets by name; the data. The file is not
 * trusted: every length, shape and offset is checked before it is used.
 */
#ifndef BLROOF_SAFETENSORS_H
#define BLROOF_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "harness/status.h"

enum { STORED_DIMS = 8 };

typedef struct {
    char *name;
    char dtype[8]; /* as in the file: "F32", "F16", "BF16", "I64", ... */
    int dims_len;
    int64_t dims[STORED_DIMS];
    int64_t count; /* elements */
    const unsigned char *data;
} stored_tensor_t;

typedef struct {
    char path[1024];
    void *map;
    size_t map_len;
    stored_tensor_t *tensors; /* by name */
    int tensors_len;
} safetensors_t;

/* STATUS_USAGE says what is wrong with the file, STATUS_IO that it cannot be read. */
status_t safetensors_open(const char *path, safetensors_t *out);
void safetensors_close(safetensors_t *file);

/*
 * The tensor of that name, or the only one whose name ends in ".NAME" (checkpoints of a model with
 * a head prefix the names of its body). STATUS_UNSUPPORTED if there is none.
 */
status_t safetensors_find(const safetensors_t *file, const char *name, const stored_tensor_t **out);

/* All elements as floats. STATUS_UNSUPPORTED for dtypes that are not F32, F16 or BF16. */
status_t safetensors_read(const safetensors_t *file, const stored_tensor_t *tensor, float *out);

#endif
