/* From the lines of a description to steps: shapes, buffers, structures. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/network.h"
#include "harness/registry.h"

/* Beyond these sizes would not fit into 64 bits. */
static const double MAX_ELEMENTS = 0x1p50, MAX_NUMBER = 0x1p40;

typedef struct {
    network_t *n;
    const statement_t *s;
    step_t *step;
    int taken; /* positional arguments so far */
} builder_t;

status_t step_fail(const network_t *n, const statement_t *s, status_t status, const char *format,
                   ...) {
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fail(status, "%s:%d: %s: %s", n->options.model->source, s->line, s->op, text);
}

/* ---- names ---- */

static symbol_t *find_symbol(const network_t *n, const char *name) {
    for (int i = 0; i < n->symbols_len; i++)
        if (!strcmp(n->symbols[i].name, name)) return &n->symbols[i];
    return NULL;
}

static status_t set_symbol(network_t *n, const symbol_t *symbol) {
    symbol_t *known = find_symbol(n, symbol->name);
    if (known) {
        *known = *symbol;
        return STATUS_OK;
    }
    symbol_t *grown = realloc(n->symbols, ((size_t)n->symbols_len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for a model");
    n->symbols = grown;
    n->symbols[n->symbols_len++] = *symbol;
    return STATUS_OK;
}

static size_t element_size(const network_t *n, const view_t *view) {
    return view->whole ? sizeof(int32_t) : dtype_size(n->options.dtype);
}

/* The buffer of that name has room for the view; a new one is made where there is none. */
static status_t reserve(network_t *n, const char *name, const view_t *view, int *out) {
    const size_t bytes =
        (size_t)(n->options.batch * view->rows * view->stride) * element_size(n, view);
    for (*out = 0; *out < n->buffers_len; (*out)++) {
        buffer_t *b = &n->buffers[*out];
        if (strcmp(b->name, name) != 0) continue;
        if (b->bytes < bytes) b->bytes = bytes;
        return STATUS_OK;
    }
    buffer_t *grown = realloc(n->buffers, ((size_t)n->buffers_len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for a model");
    n->buffers = grown;
    buffer_t *b = &n->buffers[n->buffers_len++];
    *b = (buffer_t){.bytes = bytes};
    snprintf(b->name, sizeof b->name, "%s", name);
    return STATUS_OK;
}

/* Makes `name` stand for rows of a buffer, which has the same name unless the line owns it. */
static status_t define(network_t *n, const char *name, const char *buffer, const view_t *view,
                       bool cache, place_t *place) {
    symbol_t symbol = {.view = *view, .cache = cache};
    snprintf(symbol.name, sizeof symbol.name, "%s", name);
    const double elements = (double)n->options.batch * (double)view->rows * (double)view->width;
    if (elements > MAX_ELEMENTS) return fail(STATUS_OOM, "%s has more than 2^50 elements", name);
    status_t st = reserve(n, buffer, view, &symbol.place.buffer);
    if (st == STATUS_OK) st = set_symbol(n, &symbol);
    *place = symbol.place;
    return st;
}

/* ---- arguments ---- */

/* NAME[OFFSET:WIDTH] */
static status_t slice(const builder_t *b, const char *text, const char *bracket, symbol_t *symbol) {
    char inside[VALUE_LEN];
    double offset = 0, width = 0;
    snprintf(inside, sizeof inside, "%s", bracket + 1);
    char *colon = strchr(inside, ':'), *end = strchr(inside, ']');
    if (!colon || !end || end[1] || end < colon)
        return step_fail(b->n, b->s, STATUS_USAGE, "'%s': expected NAME[OFFSET:WIDTH]", text);
    *colon = *end = '\0';
    status_t st = model_value(b->n->options.model, inside, &offset);
    if (st == STATUS_OK) st = model_value(b->n->options.model, colon + 1, &width);
    if (st != STATUS_OK) return step_fail(b->n, b->s, st, "%s", last_error());
    if (offset != floor(offset) || width != floor(width) || width < 1 ||
        offset + width > (double)symbol->view.width)
        return step_fail(b->n, b->s, STATUS_USAGE, "'%s' is beyond the %lld columns of the buffer",
                         text, (long long)symbol->view.width);
    symbol->place.offset += (size_t)offset * element_size(b->n, &symbol->view);
    symbol->view.width = (int64_t)width;
    return STATUS_OK;
}

/* A buffer that an argument names; *missing if it ends in '?' and nothing wrote it yet. */
static status_t resolve(const builder_t *b, const char *text, symbol_t *out, bool *missing) {
    char name[VALUE_LEN];
    snprintf(name, sizeof name, "%s", text);
    const size_t len = strlen(name);
    const bool optional = len > 0 && name[len - 1] == '?';
    if (optional) name[len - 1] = '\0';
    char whole[VALUE_LEN];
    snprintf(whole, sizeof whole, "%s", name);
    char *bracket = strchr(name, '[');
    const size_t start = bracket ? (size_t)(bracket - name) : 0;
    if (bracket) *bracket = '\0';
    const symbol_t *symbol = find_symbol(b->n, name);
    *missing = !symbol && optional;
    if (*missing) return STATUS_OK;
    if (!symbol)
        return step_fail(b->n, b->s, STATUS_USAGE, "nothing has written the buffer %s", name);
    *out = *symbol;
    return bracket ? slice(b, whole, whole + start, out) : STATUS_OK;
}

/* The next positional argument, or the one of that key; NULL if there is none. */
static const char *take(builder_t *b, const char *key) {
    const char *named = statement_argument(b->s, key);
    if (named) return named;
    int seen = 0;
    for (int i = 0; i < b->s->arguments_len; i++)
        if (!b->s->arguments[i].key[0] && seen++ == b->taken) {
            b->taken++;
            return b->s->arguments[i].value;
        }
    return NULL;
}

/* A number of a line; the default where it is absent. */
static status_t number(const builder_t *b, const char *key, double otherwise, double *out) {
    const char *text = statement_argument(b->s, key);
    *out = otherwise;
    if (!text && isnan(otherwise)) return step_fail(b->n, b->s, STATUS_USAGE, "it needs %s=", key);
    if (!text) return STATUS_OK;
    const status_t st = model_value(b->n->options.model, text, out);
    if (st != STATUS_OK) return step_fail(b->n, b->s, st, "%s=: %s", key, last_error());
    if (!(*out <= MAX_NUMBER)) return step_fail(b->n, b->s, STATUS_USAGE, "%s= is above 2^40", key);
    return STATUS_OK;
}

/* Every argument must be one the operator knows: `known` says which. */
static status_t check_keys(const builder_t *b, bool (*known)(const void *ctx, const char *key),
                           const void *ctx) {
    int positional = 0;
    for (int i = 0; i < b->s->arguments_len; i++) {
        const char *key = b->s->arguments[i].key;
        positional += !*key;
        if (*key && strcmp(key, "as") != 0 && !known(ctx, key))
            return step_fail(b->n, b->s, STATUS_USAGE, "it has no argument %s=", key);
    }
    if (positional > b->taken)
        return step_fail(b->n, b->s, STATUS_USAGE, "it takes %d inputs, not %d", b->taken,
                         positional);
    return STATUS_OK;
}

/* No output may lie on an input, unless the operator works in place and the rows are the same. */
static status_t check_overlap(const builder_t *b, const view_t *in, const place_t *in_place,
                              int ins, const place_t *out_place, int outs, bool may) {
    for (int o = 0; o < outs; o++)
        for (int i = 0; i < ins; i++) {
            if (!in[i].given || in_place[i].buffer != out_place[o].buffer) continue;
            const view_t *out = &b->step->call.out[o];
            if (may && in_place[i].offset == 0 && in[i].rows == out->rows &&
                in[i].width == out->width && in[i].stride == out->stride)
                continue;
            return step_fail(b->n, b->s, STATUS_USAGE, "it cannot write %s while it reads it",
                             b->n->buffers[out_place[o].buffer].name);
        }
    return STATUS_OK;
}

/* ---- pointwise operators ---- */

/* A slot's name without its mark. */
static const char *bare(const char *slot) {
    return *slot == '?' || *slot == '=' ? slot + 1 : slot;
}

static bool starts_with(const char *text, const char *start) {
    return !strncmp(text, start, strlen(start));
}

static bool pointwise_knows(const void *ctx, const char *key) {
    const pointwise_t *op = ctx;
    for (int i = 0; op->inputs[i]; i++)
        if (!strcmp(bare(op->inputs[i]), key)) return true;
    for (int i = 0; op->weights[i]; i++)
        if (*op->weights[i] != '=' && !strcmp(bare(op->weights[i]), key)) return true;
    for (int i = 0; op->numbers[i]; i++) {
        const size_t len = strcspn(op->numbers[i], "=");
        if (strlen(key) == len && !strncmp(op->numbers[i], key, len)) return true;
    }
    return false;
}

static status_t pointwise_inputs(builder_t *b, const char **left_out) {
    call_t *call = &b->step->call;
    *left_out = NULL;
    for (int i = 0; b->step->op->inputs[i]; i++) {
        const char *slot = b->step->op->inputs[i], *text = take(b, bare(slot));
        symbol_t symbol = {0};
        bool missing = !text;
        status_t st = text ? resolve(b, text, &symbol, &missing) : STATUS_OK;
        if (st != STATUS_OK) return st;
        if (missing && *slot != '?')
            return step_fail(b->n, b->s, STATUS_USAGE, "it needs the input %s", slot);
        if (text && missing && !*left_out) *left_out = bare(slot);
        if (missing) continue;
        call->in[i] = symbol.view;
        call->in[i].given = true;
        b->step->places[i] = symbol.place;
    }
    return STATUS_OK;
}

/* Weights that go with an input which was left out are left out with it: residual, residual_bias.
 */
static status_t pointwise_weights(const builder_t *b, const char *left_out) {
    for (int i = 0; b->step->op->weights[i]; i++) {
        const char *slot = b->step->op->weights[i];
        const bool given = statement_argument(b->s, bare(slot)) != NULL;
        if (*slot != '?' && *slot != '=' && !given)
            return step_fail(b->n, b->s, STATUS_USAGE, "it needs %s=", slot);
        b->step->call.weight[i].given =
            *slot == '=' || (given && !(left_out && starts_with(bare(slot), left_out)));
    }
    return STATUS_OK;
}

static status_t pointwise_numbers(const builder_t *b) {
    for (int i = 0; b->step->op->numbers[i]; i++) {
        const char *slot = b->step->op->numbers[i], *equals = strchr(slot, '=');
        char key[NAME_LEN];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(slot, "="), slot);
        const status_t st =
            number(b, key, equals ? strtod(equals + 1, NULL) : NAN, &b->step->call.number[i]);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* Where there is no cache, the outputs of an append are other names for its inputs. */
static status_t alias(const builder_t *b, bool *done) {
    const call_t *call = &b->step->call;
    *done = !strcmp(b->s->op, "append") && b->n->options.phase != PHASE_DECODE;
    for (int i = 0; *done && i < call->outputs; i++) {
        symbol_t symbol = {.view = call->in[i], .place = b->step->places[i]};
        if (!symbol.view.given)
            return step_fail(b->n, b->s, STATUS_USAGE, "it has no output %d", i + 1);
        snprintf(symbol.name, sizeof symbol.name, "%s", b->s->outputs[i]);
        const status_t st = set_symbol(b->n, &symbol);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

static status_t pointwise_outputs(builder_t *b) {
    call_t *call = &b->step->call;
    place_t *places = b->step->places + MAX_VIEWS;
    const bool cache = !strcmp(b->s->op, "append");
    char owner[NAME_LEN];
    for (int i = 0; i < call->outputs; i++) {
        const char *name = b->s->outputs[i], *buffer = name;
        if (!call->out[i].given)
            return step_fail(b->n, b->s, STATUS_USAGE, "it has no output %d", i + 1);
        if (cache) { /* every layer keeps its own */
            snprintf(owner, sizeof owner, "%.20s (cache %d)", name, (int)(b->step - b->n->steps));
            buffer = owner;
        }
        const status_t st = define(b->n, name, buffer, &call->out[i], cache, &places[i]);
        if (st != STATUS_OK) return st;
    }
    if (call->outputs == 2 && places[0].buffer == places[1].buffer)
        return step_fail(b->n, b->s, STATUS_USAGE, "its outputs must differ");
    return check_overlap(b, call->in, b->step->places, MAX_VIEWS, places, call->outputs,
                         b->step->op->in_place);
}

static status_t build_pointwise(builder_t *b, bool *skipped) {
    const network_options_t *options = &b->n->options;
    step_t *step = b->step;
    char why[WHY_LEN] = "";
    const char *left_out = NULL;
    status_t st;
    step->op = pointwise_find(b->s->op);
    step->call = (call_t){.dtype = options->dtype,
                          .batch = options->batch,
                          .past = b->n->past,
                          .outputs = b->s->outputs_len};
    TRY(pointwise_inputs(b, &left_out));
    TRY(alias(b, skipped));
    if (*skipped) return STATUS_OK;
    TRY(pointwise_weights(b, left_out));
    TRY(pointwise_numbers(b));
    TRY(check_keys(b, pointwise_knows, step->op));
    if (!step->op->shape(&step->call, why, sizeof why))
        return step_fail(b->n, b->s, STATUS_USAGE, "%s", why);
    for (int i = 0; i < MAX_PARAMETERS; i++)
        if ((double)step->call.weight[i].rows * (double)step->call.weight[i].width > MAX_ELEMENTS)
            return step_fail(b->n, b->s, STATUS_OOM, "a weight has more than 2^50 elements");
    TRY(pointwise_outputs(b));
    step->kernel = pointwise_kernel_find(step->op->name, options->device->info.kind);
    if (!step->kernel || !(step->kernel->dtypes & DTYPE_BIT(options->dtype)))
        st = fail(STATUS_UNSUPPORTED, "operator %s has no %s kernel on %s", step->op->name,
                  dtype_name(options->dtype), device_kind_name(options->device->info.kind));
cleanup:
    return st;
}

/* ---- layers of the registry ---- */

static bool linear_knows(const void *ctx, const char *key) {
    (void)ctx;
    return !strcmp(key, "name") || !strcmp(key, "width") || !strcmp(key, "factor") ||
           !strcmp(key, "transposed");
}

static bool attention_knows(const void *ctx, const char *key) {
    (void)ctx;
    return !strcmp(key, "heads") || !strcmp(key, "kv_heads") || !strcmp(key, "causal");
}

/* Which structure the layer has here, with its rank and blocks. */
static status_t choose_structure(builder_t *b) {
    const model_t *m = b->n->options.model;
    const char *group = statement_argument(b->s, "factor"), *name = b->n->options.structure;
    step_t *step = b->step;
    if (!strcmp(name, "mixed")) {
        const model_use_t *use = model_use(m, b->s->label, b->s->layer);
        name = use ? use->structure : "dense";
        step->wanted = use ? use->variant : "";
        if (strcmp(name, "dense") && !model_factor(m, group, name))
            return step_fail(b->n, b->s, STATUS_USAGE,
                             "use %s %s: the description has no factor line that says its rank",
                             b->s->label, name);
    }
    const model_factor_t *factor = model_factor(m, group, name);
    step->structure = structure_find(factor ? name : "dense");
    if (!step->structure)
        return step_fail(b->n, b->s, STATUS_USAGE, "there is no structure %s", name);
    step->problem.blocks = factor ? factor->blocks : 1;
    step->problem.rank = factor ? factor->rank : 0;
    return STATUS_OK;
}

static status_t layer_input(builder_t *b, const char *what, int tensor, symbol_t *out) {
    bool missing = false;
    const char *text = take(b, what);
    if (!text) return step_fail(b->n, b->s, STATUS_USAGE, "it needs the input %s", what);
    const status_t st = resolve(b, text, out, &missing);
    if (st != STATUS_OK) return st;
    if (missing || out->view.whole)
        return step_fail(b->n, b->s, STATUS_USAGE, "%s cannot be its input", text);
    out->view.given = true;
    b->step->places[tensor] = out->place;
    return STATUS_OK;
}

/* The output, and what the mathematics says of the problem. `ins` inputs came before it. */
static status_t finish_layer(builder_t *b, int64_t rows, const view_t *in, int ins) {
    step_t *step = b->step;
    const problem_t *p = &step->problem;
    char why[WHY_LEN] = "";
    tensor_t tensors[MAX_TENSORS];
    const double features = (double)p->in_features + (double)p->out_features;
    const double blocks = (double)p->blocks, rank = (double)p->rank;
    if ((double)p->in_features * (double)p->out_features > MAX_ELEMENTS ||
        rank * (features + blocks * (blocks + (double)p->tokens)) > MAX_ELEMENTS)
        return step_fail(b->n, b->s, STATUS_OOM, "it has more than 2^50 elements");
    if (!step->structure->validate(&step->problem, why, sizeof why))
        return step_fail(b->n, b->s, STATUS_UNSUPPORTED, "%s", why);
    const int64_t width = step->problem.out_features;
    const view_t out = {.rows = rows, .width = width, .stride = width, .given = true};
    const int last = step->structure->tensors(&step->problem, tensors) - 1;
    const status_t st =
        define(b->n, b->s->outputs[0], b->s->outputs[0], &out, false, &step->places[last]);
    if (st != STATUS_OK) return st;
    if (b->s->outputs_len != 1) return step_fail(b->n, b->s, STATUS_USAGE, "it has one output");
    step->call.out[0] = out;
    return check_overlap(b, in, step->places, ins, &step->places[last], 1, false);
}

static status_t build_linear(builder_t *b) {
    const network_options_t *options = &b->n->options;
    symbol_t x = {0};
    double width = 0;
    status_t st = layer_input(b, "x", 0, &x);
    if (st == STATUS_OK) st = number(b, "width", NAN, &width);
    if (st == STATUS_OK) st = check_keys(b, linear_knows, NULL);
    if (st != STATUS_OK) return st;
    if (!statement_argument(b->s, "name"))
        return step_fail(b->n, b->s, STATUS_USAGE, "it needs name=, that of its weights");
    if (x.view.stride != x.view.width || !(width >= 1 && width < MAX_ELEMENTS))
        return step_fail(b->n, b->s, STATUS_USAGE,
                         "it needs a whole buffer as its input, and a width of 1 or more");
    b->step->problem = (problem_t){.dtype = options->dtype,
                                   .tokens = options->batch * x.view.rows,
                                   .in_features = x.view.width,
                                   .out_features = (int64_t)width};
    st = choose_structure(b);
    return st == STATUS_OK ? finish_layer(b, x.view.rows, &x.view, 1) : st;
}

static status_t build_attention(builder_t *b) {
    const network_options_t *options = &b->n->options;
    static const char *const names[] = {"q", "k", "v"};
    symbol_t in[3] = {0};
    double heads = 0, kv_heads = 0, causal = 0;
    status_t st = STATUS_OK;
    for (int i = 0; i < 3; i++) TRY(layer_input(b, names[i], i, &in[i]));
    TRY(number(b, "heads", NAN, &heads));
    TRY(number(b, "kv_heads", heads, &kv_heads));
    TRY(number(b, "causal", 0, &causal));
    TRY(check_keys(b, attention_knows, NULL));
    const view_t *q = &in[0].view, *k = &in[1].view, *v = &in[2].view;
    if (k->rows != v->rows || k->stride != v->stride || k->width != v->width ||
        (double)k->width * heads != (double)q->width * kv_heads)
        return step_fail(b->n, b->s, STATUS_USAGE,
                         "keys and values must lie alike, with heads as wide as the queries'");
    b->step->cached = in[1].cache;
    b->step->problem = (problem_t){.dtype = options->dtype,
                                   .tokens = q->rows,
                                   .in_features = q->width,
                                   .out_features = q->width,
                                   .batch = options->batch,
                                   .heads = (int64_t)heads,
                                   .kv_heads = (int64_t)kv_heads,
                                   .context = k->rows,
                                   .q_stride = q->stride == q->width ? 0 : q->stride,
                                   .kv_stride = k->stride == k->width ? 0 : k->stride,
                                   /* constant while the context of a cache grows */
                                   .kv_batch_stride = in[1].cache ? k->rows * k->stride : 0,
                                   .causal = causal != 0};
    b->step->structure = structure_find("attention");
    if (!b->step->structure)
        return step_fail(b->n, b->s, STATUS_UNSUPPORTED, "this program has no attention");
    const view_t views[] = {*q, *k, *v};
    return finish_layer(b, q->rows, views, 3);
cleanup:
    return st;
}

/* ---- all of it ---- */

static status_t build_step(network_t *n, const statement_t *s) {
    bool skipped = false;
    builder_t b = {.n = n, .s = s, .step = &n->steps[n->steps_len]};
    *b.step = (step_t){.statement = s, .wanted = ""};
    for (int i = 0; i < MAX_PLACES; i++) b.step->places[i].buffer = -1;
    status_t st;
    if (!strcmp(s->op, "linear"))
        st = build_linear(&b);
    else if (!strcmp(s->op, "attention"))
        st = build_attention(&b);
    else
        st = build_pointwise(&b, &skipped);
    if (!skipped) n->steps_len++;
    return st;
}

static status_t define_inputs(network_t *n) {
    for (int i = 0; i < n->options.model->inputs_len; i++) {
        const model_input_t *input = &n->options.model->inputs[i];
        const view_t view = {.rows = input->per_token ? n->rows : 1,
                             .width = input->width,
                             .stride = input->width,
                             .given = true,
                             .whole = input->below > 0};
        place_t place;
        const status_t st = define(n, input->name, input->name, &view, false, &place);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

status_t network_plan(const network_options_t *options, network_t *n) {
    const model_t *m = options->model;
    const bool decode = options->phase == PHASE_DECODE;
    *n = (network_t){.options = *options,
                     .rows = decode ? 1 : options->tokens,
                     .past = decode ? options->tokens : 0};
    status_t st = STATUS_OK;
    n->steps = calloc((size_t)m->statements_len, sizeof *n->steps);
    if (!n->steps) return fail(STATUS_OOM, "out of host memory for a model");
    TRY(define_inputs(n));
    for (int i = 0; i < m->statements_len; i++) TRY(build_step(n, &m->statements[i]));
    if (!find_symbol(n, m->output))
        st = fail(STATUS_USAGE, "%s: nothing writes the output %s", m->path, m->output);
cleanup:
    if (st != STATUS_OK) network_close(n);
    return st;
}
