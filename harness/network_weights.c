/* Weights of a network: from a file, computed, or drawn so that activations stay about 1. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/case.h"
#include "harness/network.h"
#include "harness/values.h"

/* What is wanted of one tensor. Parts of a name are joined by '+' and follow each other in rows. */
typedef struct {
    const char *name;
    int64_t rows, width;
    bool transposed;       /* the file has [width][rows] */
    double centre, spread; /* of the random values: centre + spread * [-1, 1) */
} wish_t;

/* ---- from a file ---- */

/* "2 x 3 x 4", for messages. */
static void dims_text(const stored_tensor_t *t, char *out, size_t len) {
    out[0] = '\0';
    for (int i = 0; i < t->dims_len; i++) {
        const size_t n = strlen(out);
        snprintf(out + n, len - n, "%s%lld", i ? " x " : "", (long long)t->dims[i]);
    }
}

/* Rows and width of a stored tensor: its first dimension, without leading ones that the wish does
 * not have, and all others. */
static void stored_shape(const stored_tensor_t *t, const wish_t *wish, int64_t *rows,
                         int64_t *width) {
    int i = 0;
    while (i + 1 < t->dims_len && t->dims[i] == 1 && t->count != wish->width) i++;
    const bool vector = i + 1 >= t->dims_len;
    *rows = vector ? 1 : t->dims[i];
    *width = *rows > 0 ? t->count / *rows : 0;
}

/* One part of a name to dst[rows][width]; *rows is what it has. */
static status_t load_part(const safetensors_t *file, const char *name, const wish_t *wish,
                          int64_t room, float *dst, int64_t *rows) {
    const stored_tensor_t *t;
    status_t st = safetensors_find(file, name, &t);
    if (st != STATUS_OK) return st;
    char text[160];
    int64_t width;
    stored_shape(t, wish, rows, &width);
    if (wish->transposed) {
        const int64_t swapped = *rows;
        *rows = width;
        width = swapped;
    }
    const bool joined_vector = wish->rows == 1 && *rows == 1 && width <= room;
    if (t->count < 1 || !(joined_vector || (width == wish->width && *rows * wish->width <= room))) {
        dims_text(t, text, sizeof text);
        return fail(STATUS_UNSUPPORTED, "%s: tensor %s is %s, the model needs %lld x %lld",
                    file->path, t->name, text, (long long)wish->rows, (long long)wish->width);
    }
    if (!wish->transposed) {
        st = safetensors_read(file, t, dst);
    } else {
        float *stored = malloc((size_t)t->count * sizeof *stored);
        if (!stored) return fail(STATUS_OOM, "out of host memory for %s", name);
        st = safetensors_read(file, t, stored);
        for (int64_t r = 0; r < *rows && st == STATUS_OK; r++)
            for (int64_t i = 0; i < width; i++) dst[r * width + i] = stored[i * *rows + r];
        free(stored);
    }
    *rows = t->count / (joined_vector ? 1 : wish->width); /* a vector's share is its elements */
    return st;
}

static status_t load_values(const safetensors_t *file, const wish_t *wish, float *values) {
    char names[VALUE_LEN + NAME_LEN], *rest = NULL;
    int64_t done = 0;
    const int64_t unit = wish->rows == 1 ? 1 : wish->width, all = wish->rows * wish->width;
    snprintf(names, sizeof names, "%s", wish->name);
    for (char *name = strtok_r(names, "+", &rest); name; name = strtok_r(NULL, "+", &rest)) {
        int64_t rows;
        const status_t st = load_part(file, name, wish, all - done, values + done, &rows);
        if (st != STATUS_OK) return st;
        done += rows * unit;
    }
    if (done == all) return STATUS_OK;
    return fail(STATUS_UNSUPPORTED, "%s: %s has %lld elements, the model needs %lld", file->path,
                wish->name, (long long)done, (long long)all);
}

/* ---- random ---- */

/* FNV-1a (Fowler, Noll, Vo): the same name draws the same values, wherever it comes. */
static uint64_t hash(const char *text, uint64_t seed) {
    uint64_t h = 0xcbf29ce484222325 ^ seed;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3;
    return h;
}

/* How much larger the outputs are than inputs in [-1, 1), whose mean square is 1/3, for weights in
 * [-1, 1): the structure itself tells. */
static status_t output_gain(const structure_t *structure, const problem_t *problem, double *gain) {
    case_t c;
    problem_t one = *problem;
    one.tokens = 1;
    one.dtype = DTYPE_FP32;
    status_t st = case_open_unchecked(structure, &one, &c);
    if (st != STATUS_OK) return st;
    double *row = malloc((size_t)one.out_features * sizeof *row);
    double squares = 0;
    if (row) {
        structure_reference(structure, &one, (const float *const *)c.values, 0, row);
        for (int64_t i = 0; i < one.out_features; i++) squares += row[i] * row[i];
        *gain = sqrt(3 * squares / (double)one.out_features);
    } else {
        st = fail(STATUS_OOM, "out of host memory for a layer");
    }
    free(row);
    case_close(&c);
    return st;
}

/* ---- to the device ---- */

/* One tensor in one form: what is loaded once and shared. */
typedef struct {
    char text[sizeof((stored_weight_t *)0)->key];
} weight_key_t;

static weight_key_t weight_key(const char *name, int64_t count, const char *form) {
    weight_key_t key;
    snprintf(key.text, sizeof key.text, "%s|%lld%s", name, (long long)count, form);
    return key;
}

static void *find_weight(const network_t *n, const char *key) {
    for (int i = 0; i < n->weights_len; i++)
        if (!strcmp(n->weights[i].key, key)) return n->weights[i].memory;
    return NULL;
}

/* Memory on the device under that key. */
static status_t keep_weight(network_t *n, const char *key, size_t len, void **out) {
    stored_weight_t *grown = realloc(n->weights, ((size_t)n->weights_len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for a model");
    n->weights = grown;
    stored_weight_t *w = &n->weights[n->weights_len];
    *w = (stored_weight_t){0};
    snprintf(w->key, sizeof w->key, "%s", key);
    const status_t st = network_alloc(n, len, &n->memory.weights, &w->memory);
    if (st != STATUS_OK) return st;
    n->weights_len++;
    *out = w->memory;
    return STATUS_OK;
}

static status_t upload_weight(network_t *n, const char *key, const void *bytes, size_t len,
                              void **out) {
    device_t *device = n->options.device;
    const status_t st = keep_weight(n, key, len, out);
    return st == STATUS_OK ? device->ops->upload(device, *out, bytes, len) : st;
}

/* The elements of a wish in host memory, in the dtype. */
static status_t wished_bits(const network_t *n, const wish_t *wish, void **out) {
    const dtype_t dtype = n->options.dtype;
    const int64_t count = wish->rows * wish->width;
    *out = malloc((size_t)count * dtype_size(dtype));
    if (!*out) return fail(STATUS_OOM, "out of host memory for %s", wish->name);
    if (!n->options.weights) {
        const draw_t draw = {dtype, hash(wish->name, n->options.seed), count, (float)wish->centre,
                             (float)wish->spread};
        draw_values(&draw, *out);
        return STATUS_OK;
    }
    float *values = malloc((size_t)count * sizeof *values);
    if (!values) return fail(STATUS_OOM, "out of host memory for %s", wish->name);
    const status_t st = load_values(n->options.weights, wish, values);
    if (st == STATUS_OK) round_values(dtype, count, values, *out);
    free(values);
    return st;
}

/* As the wish says: random numbers need not pass through the host. */
static status_t plain_weight(network_t *n, const char *key, const wish_t *wish, void **out) {
    const int64_t count = wish->rows * wish->width;
    const size_t len = (size_t)count * dtype_size(n->options.dtype);
    if (!n->options.weights) {
        const status_t st = keep_weight(n, key, len, out);
        return st == STATUS_OK ? network_draw(n, hash(wish->name, n->options.seed), count,
                                              wish->centre, wish->spread, *out)
                               : st;
    }
    void *bits = NULL;
    status_t st = wished_bits(n, wish, &bits);
    if (st == STATUS_OK) st = upload_weight(n, key, bits, len, out);
    free(bits);
    return st;
}

/* Packed on the host for the plan of a layer, as its tensor t. */
static status_t packed_weight(network_t *n, const char *key, const wish_t *wish, const step_t *step,
                              int t, void **out) {
    void *bits = NULL, *packed = NULL;
    status_t st = wished_bits(n, wish, &bits);
    if (st != STATUS_OK) goto cleanup;
    const size_t len =
        (size_t)step->plan->pack(&step->problem, t, bits, NULL) * dtype_size(n->options.dtype);
    packed = calloc(1, len);
    if (!packed) {
        st = fail(STATUS_OOM, "out of host memory to pack %s", wish->name);
        goto cleanup;
    }
    step->plan->pack(&step->problem, t, bits, packed);
    st = upload_weight(n, key, packed, len, out);
cleanup:
    free(bits);
    free(packed);
    return st;
}

/* Two layers of one name share their weights where both take them as they are. */
static status_t load_tensor(network_t *n, step_t *step, int t, const wish_t *wish) {
    const variant_t *plan = step->plan;
    char form[128] = "";
    if (plan->pack)
        snprintf(form, sizeof form, "|%.48s/%.48s|%d", plan->structure, plan->name, t);
    else if (wish->transposed)
        snprintf(form, sizeof form, "|transposed");
    const weight_key_t key = weight_key(wish->name, wish->rows * wish->width, form);
    step->tensors[t] = find_weight(n, key.text);
    if (step->tensors[t]) return STATUS_OK;
    return plan->pack ? packed_weight(n, key.text, wish, step, t, &step->tensors[t])
                      : plain_weight(n, key.text, wish, &step->tensors[t]);
}

/* The gains of the layers that were drawn, by structure and problem. */
typedef struct {
    const structure_t *structure;
    problem_t problem;
    double gain;
} gain_t;

enum { MAX_GAINS = 64 };

typedef struct {
    gain_t items[MAX_GAINS];
    int len;
} gains_t;

static status_t find_gain(gains_t *gains, const step_t *step, double *gain) {
    for (int i = 0; i < gains->len; i++)
        if (gains->items[i].structure == step->structure &&
            problem_compare(&gains->items[i].problem, &step->problem) == 0) {
            *gain = gains->items[i].gain;
            return STATUS_OK;
        }
    const status_t st = output_gain(step->structure, &step->problem, gain);
    if (st == STATUS_OK && gains->len < MAX_GAINS)
        gains->items[gains->len++] = (gain_t){step->structure, step->problem, *gain};
    return st;
}

static status_t load_layer(network_t *n, step_t *step, gains_t *gains) {
    tensor_t tensors[MAX_TENSORS];
    const int count = step->structure->tensors(&step->problem, tensors);
    const char *name = statement_argument(step->statement, "name");
    const char *swap = statement_argument(step->statement, "transposed");
    const bool dense = !strcmp(step->structure->name, "dense");
    int weights = 0;
    double gain = 1;
    for (int t = 0; t < count; t++) weights += tensors[t].role == TENSOR_WEIGHT;
    if (weights == 0) return STATUS_OK;
    if (!n->options.weights) {
        const status_t st = find_gain(gains, step, &gain);
        if (st != STATUS_OK) return st;
    }
    for (int t = 0; t < count; t++) {
        if (tensors[t].role != TENSOR_WEIGHT) continue;
        char full[VALUE_LEN + NAME_LEN] = "", parts[VALUE_LEN], *rest = NULL;
        snprintf(parts, sizeof parts, "%s", name);
        /* "a+b" and its tensor make "a.weight+b.weight" */
        for (char *part = strtok_r(parts, "+", &rest); part; part = strtok_r(NULL, "+", &rest)) {
            const size_t len = strlen(full);
            snprintf(full + len, sizeof full - len, "%s%s.%s", len ? "+" : "", part,
                     dense ? "weight" : tensors[t].name);
        }
        const int64_t rows = tensors[t].dims[0];
        const wish_t wish = {.name = full,
                             .rows = rows,
                             .width = tensor_count(&tensors[t]) / rows,
                             .transposed = dense && swap && strcmp(swap, "0") != 0,
                             .spread = pow(gain, -1.0 / weights)};
        const status_t st = load_tensor(n, step, t, &wish);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}

/* Tables are computed in fp32, whatever the dtype. */
static status_t compute_table(network_t *n, step_t *step, int slot) {
    view_t *weight = &step->call.weight[slot];
    char key[sizeof n->weights->key];
    const int64_t count = weight->rows * weight->width;
    snprintf(key, sizeof key, "table %s %d line %d", step->op->name, slot, step->statement->line);
    weight->data = find_weight(n, key);
    if (weight->data) return STATUS_OK;
    float *values = malloc((size_t)count * sizeof *values);
    if (!values) return fail(STATUS_OOM, "out of host memory for a table");
    step->op->table(&step->call, slot, values);
    const status_t st =
        upload_weight(n, key, values, (size_t)count * sizeof *values, &weight->data);
    free(values);
    return st;
}

/* Factors of a norm are about 1; all else is small beside what it is added to. */
static status_t load_pointwise(network_t *n, step_t *step, int slot) {
    view_t *weight = &step->call.weight[slot];
    const char *text = step->op->weights[slot];
    if (*text == '=') return compute_table(n, step, slot);
    const char *key = *text == '?' ? text + 1 : text;
    const wish_t wish = {.name = statement_argument(step->statement, key),
                         .rows = weight->rows,
                         .width = weight->width,
                         .centre = strcmp(key, "weight") ? 0 : 1,
                         .spread = 0.1};
    const weight_key_t own = weight_key(wish.name, wish.rows * wish.width, "");
    weight->data = find_weight(n, own.text);
    return weight->data ? STATUS_OK : plain_weight(n, own.text, &wish, &weight->data);
}

status_t network_load_weights(network_t *n) {
    gains_t gains = {.len = 0};
    for (int i = 0; i < n->steps_len; i++) {
        step_t *step = &n->steps[i];
        status_t st = step->op ? STATUS_OK : load_layer(n, step, &gains);
        for (int slot = 0; step->op && step->op->weights[slot] && st == STATUS_OK; slot++)
            if (step->call.weight[slot].given) st = load_pointwise(n, step, slot);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}
