/* silu_gate: y = gate sigmoid(gate) * up, the gated unit of Llama (Shazeer, arXiv 2002.05202). */
#include "kernels/pointwise/cpu_rows.h"

enum { GATE, UP };

static bool shape(call_t *c, char *why, size_t why_len) {
    shape_output(c, 0, c->in[GATE].rows, c->in[GATE].width);
    return shape_matches(c, UP, c->in[GATE].rows, c->in[GATE].width, why, why_len);
}

static double flops(const call_t *c) {
    return call_elements(c) * 5;
}

static status_t launch(const call_t *c, stream_t stream) {
    (void)stream;
    FOR_EACH_ROW(c, s, r) {
        const float *gate = row_of(&c->in[GATE], s, r), *up = row_of(&c->in[UP], s, r);
        float *y = row_of(&c->out[0], s, r);
        for (int64_t i = 0; i < c->in[GATE].width; i++)
            y[i] = gate[i] * fast_sigmoid(gate[i]) * up[i];
    }
    return STATUS_OK;
}

static const pointwise_t silu_gate = {
    .name = "silu_gate",
    .summary = "y = SiLU(gate) * up",
    .inputs = {"gate", "up"},
    .in_place = true,
    .shape = shape,
    .flops = flops,
};
REGISTER_POINTWISE(silu_gate)

static const pointwise_kernel_t cpu = {"silu_gate", DEVICE_CPU, DTYPE_BIT(DTYPE_FP32), launch};
REGISTER_POINTWISE_KERNEL(cpu)
