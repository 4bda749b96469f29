/*
 * Descriptions of whole models: harness/models/NAME.model, one operator a line. The language is
 * described in harness/models/README.md. Here a description is read and its repeat blocks are
 * written out; harness/network.h gives its lines shapes and memory.
 */
#ifndef BLROOF_MODEL_H
#define BLROOF_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "harness/status.h"

enum { MAX_ARGUMENTS = 14, MAX_OUTPUTS = 2, NAME_LEN = 48, VALUE_LEN = 256 };

typedef struct {
    char key[NAME_LEN]; /* "" for one that goes by its position */
    char value[VALUE_LEN];
} argument_t;

/* One launch: a line, with the number of the layer in place of {}. */
typedef struct {
    int line, layer;      /* layers are counted from 0; outside of blocks it is the next one */
    char op[NAME_LEN];    /* "linear", "attention" or a pointwise operator */
    char label[NAME_LEN]; /* what results call it */
    int outputs_len, arguments_len;
    char outputs[MAX_OUTPUTS][NAME_LEN];
    argument_t arguments[MAX_ARGUMENTS];
} statement_t;

typedef struct {
    char name[NAME_LEN];
    bool per_token; /* else one row a sequence */
    int64_t below;  /* whole numbers from 0 to below - 1; 0 for reals */
    int64_t width;
} model_input_t;

typedef struct {
    char name[NAME_LEN];
    int64_t value;
} model_size_t;

/* How a structure factors the linear layers of a group. */
typedef struct {
    char group[NAME_LEN], structure[NAME_LEN];
    int64_t rank, blocks; /* blocks is 1 where the description has none */
} model_factor_t;

/* `label` in layers first to last is of this structure, and of this variant unless it is "". */
typedef struct {
    char label[NAME_LEN], structure[NAME_LEN], variant[NAME_LEN];
    int first, last;
} model_use_t;

typedef enum { PHASE_PREFILL, PHASE_DECODE, PHASE_FORWARD, PHASE_COUNT } phase_t;
const char *phase_name(phase_t phase); /* "prefill", "decode", "forward" */

typedef struct {
    char name[NAME_LEN], output[NAME_LEN];
    char path[1024];
    char source[1024]; /* of the operators: path, or its base */
    unsigned phases;   /* a bit for each phase_t */
    int64_t tokens;
    int sizes_len, factors_len, uses_len, inputs_len, statements_len;
    model_size_t *sizes;
    model_factor_t *factors;
    model_use_t *uses;
    model_input_t *inputs;
    statement_t *statements;
} model_t;

/*
 * Reads a description by its name or by its path, which ends in .model. STATUS_USAGE says what is
 * wrong in which line.
 */
status_t model_load(const char *name_or_path, model_t *out);
void model_free(model_t *model);

/* The names of the descriptions that come with the program, in order. */
status_t model_names(void (*visit)(void *ctx, const char *name), void *ctx);

/*
 * The value of a number, a size, or sums of products of them ("3*hidden", "image/patch+1"):
 * products and quotients from left to right, quotients whole.
 */
status_t model_value(const model_t *model, const char *text, double *out);

/* The value of an argument; NULL if the line does not have it. */
const char *statement_argument(const statement_t *statement, const char *key);

/* NULL where the group has no such structure. */
const model_factor_t *model_factor(const model_t *model, const char *group, const char *structure);
/* What the description's `use` lines say of a layer: the first that fits. NULL if none does. */
const model_use_t *model_use(const model_t *model, const char *label, int layer);
/* True if --tokens may say how many tokens there are. */
bool model_takes_tokens(const model_t *model);

#endif
