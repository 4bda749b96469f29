/*
 * A model with shapes and memory: one phase of a description, ready to be launched on a device.
 *
 *     network_plan()   resolves shapes, structures and buffers; no memory yet
 *     (the caller chooses the variant of each layer: step->plan)
 *     network_fill()   allocates, loads or draws the weights, packs them for those variants
 *     network_launch() one whole pass; network_step() one operator of it
 */
#ifndef BLROOF_NETWORK_H
#define BLROOF_NETWORK_H

#include "harness/device.h"
#include "harness/model.h"
#include "harness/safetensors.h"
#include "kernels/pointwise/pointwise.h"

typedef struct {
    const model_t *model;
    device_t *device;
    dtype_t dtype;
    phase_t phase;
    int64_t batch;
    int64_t tokens; /* of a sequence; in the decode phase those before the one it computes */
    /* Linear layers that the description factors for this structure have it, all others are dense;
     * "mixed" is as the `use` lines say. */
    const char *structure;
    const safetensors_t *weights; /* NULL draws random ones */
    uint64_t seed;
} network_options_t;

/* A piece of the buffers, before they have memory. */
typedef struct {
    int buffer; /* -1: none */
    size_t offset;
} place_t;

enum { MAX_PLACES = MAX_TENSORS };
_Static_assert(MAX_VIEWS + MAX_RESULTS <= (int)MAX_PLACES, "a call's views have places");

/* One launch. Layers are of the registry (linear, attention); the others are pointwise. */
typedef struct {
    const statement_t *statement;
    const structure_t *structure; /* of a layer; NULL for a pointwise operator */
    const char *wanted;           /* the variant that the description asks for; "" if any */
    const variant_t *plan;        /* chosen by the caller */
    problem_t problem;
    void *tensors[MAX_TENSORS];
    bool cached; /* attention over a cache, whose context grows with the past */
    const pointwise_t *op;
    const pointwise_kernel_t *kernel;
    call_t call;
    place_t places[MAX_PLACES]; /* of tensors[], or of call.in[] and then call.out[] */
    int together; /* layers launched with this one, itself included; 0: by one before it */
} step_t;

typedef struct {
    char name[NAME_LEN];
    size_t bytes;
    void *memory;
} buffer_t;

/* A name of the description: where its rows are now. */
typedef struct {
    char name[NAME_LEN];
    view_t view;
    place_t place;
    bool cache;
} symbol_t;

typedef struct {
    char key[2 * VALUE_LEN];
    void *memory;
} stored_weight_t;

/*
 * Bytes of the device's memory, as it tells them before and after each allocation (a small one may
 * cost nothing, for the driver hands out large pieces); those asked for where it cannot tell. The
 * peak has what the driver takes for itself too: kernels that were loaded, the graph.
 */
typedef struct {
    double weights, activations, workspace, now, peak;
    double before; /* taken before the network's first allocation */
} memory_use_t;

typedef struct {
    network_options_t options;
    int64_t rows; /* of a sequence in one pass: 1 when decoding */
    int64_t past; /* of the next pass */
    step_t *steps;
    buffer_t *buffers;
    symbol_t *symbols;
    stored_weight_t *weights;
    int steps_len, buffers_len, symbols_len, weights_len;
    void *workspace;
    size_t workspace_bytes;
    memory_use_t memory;
} network_t;

/*
 * STATUS_USAGE where the description does not hold together, with file and line; STATUS_UNSUPPORTED
 * where the device has no kernel for an operator. On failure nothing stays allocated.
 */
status_t network_plan(const network_options_t *options, network_t *out);
/*
 * STATUS_OOM where it does not fit, STATUS_UNSUPPORTED where the file of weights lacks one or has
 * another shape. Inputs get random values, and so does the cache of a decode phase.
 */
status_t network_fill(network_t *network);
void network_close(network_t *network);
/* Looks whether the memory taken now is more than the peak so far. */
status_t network_note_peak(network_t *network);

status_t network_launch(void *network, int index, stream_t stream); /* a work_t: all steps */
/* A work_t: step `index`, and those that are launched with it (step->together). */
status_t network_step(void *network, int index, stream_t stream);

/* How many tokens stand in the cache before the next pass: at most options.tokens. */
void network_set_past(network_t *network, int64_t past);

/* Elements of a named buffer as it is at the end of a pass; 0 if there is none of that name. */
int64_t network_count(const network_t *network, const char *name);
/* Whole numbers go in as int32, reals as floats. STATUS_USAGE if there is no such input. */
status_t network_set_input(network_t *network, const char *name, const void *values);
/* The named buffer, without the gaps between its rows. STATUS_USAGE if there is none. */
status_t network_read(network_t *network, const char *name, float *values);

/* ---- between network.c, network_shape.c and network_weights.c ---- */

/* "path:line: ..." with the status. */
status_t step_fail(const network_t *network, const statement_t *statement, status_t status,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Allocates and counts; category is one of the members of memory_use_t. */
status_t network_alloc(network_t *network, size_t bytes, double *category, void **out);
/* Draws `count` numbers of the dtype into memory of the device. */
status_t network_draw(const network_t *network, uint64_t seed, int64_t count, double centre,
                      double spread, void *memory);
/* Gives every weight of the steps its memory and values. */
status_t network_load_weights(network_t *network);

#endif
