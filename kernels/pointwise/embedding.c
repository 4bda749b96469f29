/* embedding: y = table[id] + positions[past + row] + types[0]. */
#include <stdio.h>

#include "kernels/pointwise/cpu_rows.h"

enum { IDS };
enum { TABLE, POSITIONS, TYPES };
enum { VOCAB, WIDTH, MAX_POSITIONS, TYPE_COUNT };

static bool shape(call_t *c, char *why, size_t why_len) {
    const int64_t width = (int64_t)c->number[WIDTH], places = (int64_t)c->number[MAX_POSITIONS];
    shape_output(c, 0, c->in[IDS].rows, width);
    shape_weight(c, TABLE, (int64_t)c->number[VOCAB], width);
    shape_weight(c, POSITIONS, places, width);
    shape_weight(c, TYPES, (int64_t)c->number[TYPE_COUNT], width);
    if (!c->in[IDS].whole || c->in[IDS].width != 1) {
        snprintf(why, why_len, "it needs an input of one whole number a row");
        return false;
    }
    if (!c->weight[POSITIONS].given || c->past + c->in[IDS].rows <= places) return true;
    snprintf(why, why_len, "%lld tokens are more than its %lld positions",
             (long long)c->past + c->in[IDS].rows, (long long)places);
    return false;
}

static double flops(const call_t *c) {
    return call_elements(c) * ((c->weight[POSITIONS].given ? 1 : 0) + c->weight[TYPES].given);
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    FOR_EACH_ROW(c, s, r) {
        const float *word = weight_row(&c->weight[TABLE], *whole_row(&c->in[IDS], s, r));
        const float *position = weight_row(&c->weight[POSITIONS], c->past + r);
        const float *type = weight_row(&c->weight[TYPES], 0);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < c->out[0].width; i++)
            y[i] = word[i] + (position ? position[i] : 0) + (type ? type[i] : 0);
    }
    return STATUS_OK;
}

static const pointwise_t embedding = {
    .name = "embedding",
    .summary = "y = table[id] (+ positions[place]) (+ types[0])",
    .inputs = {"ids"},
    .weights = {"table", "?positions", "?types"},
    .numbers = {"vocab", "width", "max_positions=0", "type_count=0"},
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(embedding)

static const pointwise_kernel_t cpu = {"embedding", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
