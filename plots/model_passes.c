#include "plots/model_passes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"

static void set_title(const model_row_t *pass, char *out, size_t len) {
    char batch[48] = "";
    if (pass->batch > 1) snprintf(batch, sizeof batch, ", batch %.0f", pass->batch);
    const double tokens = pass->past > 0 ? pass->past : pass->tokens;
    snprintf(out, len, "%.48s %.16s%s %.0f token%s%s, %.8s, %.32s", pass->model, pass->phase,
             pass->past > 0 ? " after" : ",", tokens, tokens == 1 ? "" : "s", batch, pass->dtype,
             pass->device);
}

/* A table with the fixed columns alone does not say. */
static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

bool passes_in_group(const model_group_t *group, const model_row_t *pass) {
    const model_row_t *first = group->first;
    return !strcmp(first->model, pass->model) && !strcmp(first->phase, pass->phase) &&
           !strcmp(first->dtype, pass->dtype) && !strcmp(first->device, pass->device) &&
           same(first->batch, pass->batch) && same(first->tokens, pass->tokens) &&
           same(first->past, pass->past);
}

status_t passes_open(const report_t *r, passes_t *m) {
    m->r = r;
    m->groups_len = 0;
    m->groups = calloc((size_t)r->models_len + 1, sizeof *m->groups);
    if (!m->groups) return fail(STATUS_OOM, "out of host memory for the report");
    for (int i = 0; i < r->models_len; i++) {
        int g = 0;
        while (g < m->groups_len && !passes_in_group(&m->groups[g], &r->models[i])) g++;
        if (g < m->groups_len) continue;
        model_group_t *group = &m->groups[m->groups_len++];
        group->first = &r->models[i];
        set_title(group->first, group->title, sizeof group->title);
    }
    return STATUS_OK;
}

void passes_close(passes_t *m) {
    free(m->groups);
    *m = (passes_t){0};
}

bool passes_belongs(const model_layer_row_t *layer, const model_row_t *pass) {
    return !strcmp(layer->model, pass->model) && !strcmp(layer->structure, pass->structure) &&
           !strcmp(layer->model_variant, pass->variant) && !strcmp(layer->phase, pass->phase) &&
           !strcmp(layer->dtype, pass->dtype) && !strcmp(layer->device, pass->device) &&
           same(layer->batch, pass->batch) && same(layer->tokens, pass->tokens) &&
           same(layer->past, pass->past) && !strcmp(layer->run_id, pass->run_id);
}

bool passes_ok(const model_row_t *pass) {
    return !strcmp(pass->status, "ok") && pass->latency_ms > 0;
}

/* ---- parts ---- */

const char *passes_part_name(model_part_t part) {
    static const char *const names[] = {
        "replaced layers", "other linear layers", "attention", "norms",
        "activations",     "other operators",     "gaps"};
    return names[part];
}

static bool is_dense_layer(const model_layer_row_t *layer) {
    return !strncmp(layer->variant, "dense/", 6);
}

/* True if a pass of the group has this layer in another structure. */
static bool replaced(const passes_t *m, const model_group_t *group, const char *operator) {
    const report_t *r = m->r;
    for (int i = 0; i < r->model_layers_len; i++) {
        const model_layer_row_t *layer = &r->model_layers[i];
        if (strcmp(layer->operator, operator) || strcmp(layer->kind, "linear") ||
            is_dense_layer(layer))
            continue;
        for (int p = 0; p < r->models_len; p++)
            if (passes_in_group(group, &r->models[p]) && passes_belongs(layer, &r->models[p]))
                return true;
    }
    return false;
}

model_part_t passes_part(const passes_t *m, const model_group_t *group,
                         const model_layer_row_t *layer) {
    static const struct {
        const char *kind;
        model_part_t part;
    } kinds[] = {{"attention", PART_ATTENTION}, {"rmsnorm", PART_NORM},
                 {"layernorm", PART_NORM},      {"modulate", PART_NORM},
                 {"gelu", PART_ACTIVATION},     {"silu", PART_ACTIVATION},
                 {"silu_gate", PART_ACTIVATION}};
    if (!strcmp(layer->operator, "gaps") || !strcmp(layer->operator, "launch")) return PART_GAPS;
    if (!strcmp(layer->kind, "linear"))
        return replaced(m, group, layer->operator) ? PART_REPLACED : PART_LINEAR;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(layer->kind, kinds[i].kind)) return kinds[i].part;
    return PART_OTHER;
}

/* ---- on the console ---- */

static void print_number(FILE *out, double value, int width, const char *unit) {
    char text[NUMBER_LEN];
    fprintf(out, " %*s%s", width, number_text(value, text), isnan(value) ? "" : unit);
    if (isnan(value)) fprintf(out, "%*s", (int)strlen(unit), "");
}

static void print_pass(FILE *out, const model_row_t *p) {
    char name[3 * TEXT_LEN], dash[NUMBER_LEN];
    snprintf(name, sizeof name, "%s/%s", p->structure, p->variant);
    fputs("  ", out);
    text_pad(out, name, 22);
    if (!passes_ok(p)) {
        fprintf(out, " %s: ", p->status);
        text_pad(out, p->reason, text_width(p->reason));
        putc('\n', out);
        return;
    }
    print_number(out, p->latency_ms, 9, "");
    print_number(out, p->tokens_per_s, 10, "");
    print_number(out, p->speedup_vs_dense, 8, "x");
    print_number(out, p->speedup_predicted, 9, "x");
    print_number(out, p->accounted_pct, 9, " %");
    fprintf(out, " %8s\n", number_text(p->peak_bytes / 1e9, dash));
}

void passes_print(const passes_t *m, FILE *out) {
    for (int g = 0; g < m->groups_len; g++) {
        text_pad(out, m->groups[g].title, text_width(m->groups[g].title));
        fprintf(out, "\n  %-22s %9s %10s %9s %10s %11s %8s\n", "structure/variant", "ms",
                "tokens/s", "vs dense", "predicted", "accounted", "peak GB");
        for (int i = 0; i < m->r->models_len; i++)
            if (passes_in_group(&m->groups[g], &m->r->models[i])) print_pass(out, &m->r->models[i]);
        putc('\n', out);
    }
}
