/*
 * Layers of one problem that read the same input (queries, keys and values; gate and up), launched
 * as one: where a layer is a few microseconds, what counts is how often one kernel waits for
 * another.
 */
#ifndef BLROOF_SIBLINGS_H
#define BLROOF_SIBLINGS_H

#include "kernels/operator.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { MAX_SIBLINGS = 3 };

/* What a plan has beside its own launch(): tensors[i] are those of layer i, the workspace has
 * `count` times what the plan asks for. */
typedef struct {
    const variant_t *plan;
    status_t (*launch)(const problem_t *, int count, void *const *const *tensors, void *workspace,
                       stream_t stream);
} siblings_t;

void siblings_register(const siblings_t *siblings);
const siblings_t *siblings_find(const variant_t *plan); /* NULL if the plan runs one at a time */

#define REGISTER_SIBLINGS(object) BLROOF_REGISTER(siblings, object)

#ifdef __cplusplus
}
#endif
#endif
