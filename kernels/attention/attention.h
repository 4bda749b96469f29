/* What the variants of attention share: sizes and strides worked out from a problem (operator.h).
 */
#ifndef BLROOF_ATTENTION_H
#define BLROOF_ATTENTION_H

#include "kernels/operator.h"

static inline int64_t attention_head_dim(const problem_t *p) {
    return p->in_features / p->heads;
}

/* Elements from a token's row to the next. */
static inline int64_t attention_q_stride(const problem_t *p) {
    return p->q_stride ? p->q_stride : p->in_features;
}

static inline int64_t attention_kv_stride(const problem_t *p) {
    return p->kv_stride ? p->kv_stride : p->kv_heads * attention_head_dim(p);
}

/* Elements from a sequence to the next in K and V. */
static inline int64_t attention_kv_batch_stride(const problem_t *p) {
    return p->kv_batch_stride ? p->kv_batch_stride : p->context * attention_kv_stride(p);
}

/* How many keys query `token` sees. */
static inline int64_t attention_keys(const problem_t *p, int64_t token) {
    return p->causal ? p->context - p->tokens + token + 1 : p->context;
}

#endif
