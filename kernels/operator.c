#include "kernels/operator.h"

const char *dtype_name(dtype_t dtype) {
    static const char *const names[] = {"fp32", "bf16", "fp16"};
    return names[dtype];
}

size_t dtype_size(dtype_t dtype) {
    return dtype == DTYPE_FP32 ? 4 : 2;
}

const char *device_kind_name(device_kind_t kind) {
    static const char *const names[] = {"cpu", "cuda"};
    return names[kind];
}

int64_t tensor_count(const tensor_t *tensor) {
    int64_t count = 1;
    for (int i = 0; i < MAX_DIMS; i++) count *= tensor->dims[i];
    return count;
}

int64_t problem_rows(const problem_t *p) {
    return p->batch > 0 ? p->batch * p->tokens : p->tokens;
}

int problem_compare(const problem_t *a, const problem_t *b) {
    const int64_t by[][2] = {{a->tokens, b->tokens},
                             {a->in_features, b->in_features},
                             {a->out_features, b->out_features},
                             {a->blocks, b->blocks},
                             {a->rank, b->rank},
                             {a->batch, b->batch},
                             {a->heads, b->heads},
                             {a->kv_heads, b->kv_heads},
                             {a->context, b->context},
                             {a->q_stride, b->q_stride},
                             {a->kv_stride, b->kv_stride},
                             {a->kv_batch_stride, b->kv_batch_stride},
                             {a->causal, b->causal},
                             {a->dtype, b->dtype}};
    int order = 0;
    for (size_t i = 0; order == 0 && i < sizeof by / sizeof *by; i++)
        order = (by[i][0] > by[i][1]) - (by[i][0] < by[i][1]);
    return order;
}

void structure_reference(const structure_t *structure, const problem_t *p, const float *const *in,
                         int64_t row, double *out_row) {
    const float *of_row[MAX_TENSORS];
    if (structure->reference_row) {
        structure->reference_row(p, in, row, out_row);
        return;
    }
    for (int t = 0; t < MAX_TENSORS; t++) of_row[t] = in[t];
    of_row[0] += row * p->in_features;
    structure->reference(p, of_row, out_row);
}
