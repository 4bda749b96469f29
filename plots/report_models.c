#include "plots/report_models.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plots/report.h"
#include "plots/report_text.h"

static status_t add_row(void **rows, int *len, size_t size, const void *row) {
    if ((*len & (*len - 1)) == 0) {
        void *grown = realloc(*rows, (*len ? 2 * (size_t)*len : 1) * size);
        if (!grown) return fail(STATUS_OOM, "out of host memory for the report");
        *rows = grown;
    }
    memcpy((char *)*rows + (size_t)(*len)++ * size, row, size);
    return STATUS_OK;
}

static status_t add_pass(void *ctx, const void *row, int line) {
    (void)line;
    models_t *m = ctx;
    return add_row((void **)&m->passes, &m->passes_len, sizeof *m->passes, row);
}

static status_t add_layer(void *ctx, const void *row, int line) {
    (void)line;
    models_t *m = ctx;
    return add_row((void **)&m->layers, &m->layers_len, sizeof *m->layers, row);
}

static status_t read_rows(const char *run_dir, const table_t *table, row_visit_t visit,
                          models_t *m) {
    char path[1280];
    snprintf(path, sizeof path, "%s/%s", run_dir, table->file);
    if (access(path, F_OK) != 0 && errno == ENOENT) return STATUS_OK;
    return table_read(table, path, false, visit, m);
}

status_t models_read(const char *run_dir, models_t *m) {
    *m = (models_t){0};
    status_t st = read_rows(run_dir, &MODELS_TABLE, add_pass, m);
    if (st == STATUS_OK) st = read_rows(run_dir, &MODEL_LAYERS_TABLE, add_layer, m);
    if (st != STATUS_OK) models_free(m);
    return st;
}

void models_free(models_t *m) {
    free(m->passes);
    free(m->layers);
    *m = (models_t){0};
}

bool models_belongs(const model_layer_row_t *layer, const model_row_t *pass) {
    return !strcmp(layer->model, pass->model) && !strcmp(layer->structure, pass->structure) &&
           !strcmp(layer->model_variant, pass->variant) && !strcmp(layer->phase, pass->phase) &&
           !strcmp(layer->dtype, pass->dtype) && !strcmp(layer->device, pass->device) &&
           layer->batch == pass->batch && layer->tokens == pass->tokens &&
           layer->past == pass->past && !strcmp(layer->run_id, pass->run_id);
}

void models_phase_text(const model_row_t *pass, char *out, size_t len) {
    char batch[48] = "";
    if (pass->batch > 1) snprintf(batch, sizeof batch, ", batch %.0f", pass->batch);
    if (pass->past > 0)
        snprintf(out, len, "%.32s after %.0f tokens%s", pass->phase, pass->past, batch);
    else
        snprintf(out, len, "%.32s, %.0f tokens%s", pass->phase, pass->tokens, batch);
}

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
    if (strcmp(p->status, "ok") != 0) {
        fprintf(out, " %s: %s\n", p->status, p->reason);
        return;
    }
    print_number(out, p->latency_ms, 9, "");
    print_number(out, p->tokens_per_s, 10, "");
    print_number(out, p->speedup_vs_dense, 8, "x");
    print_number(out, p->speedup_predicted, 9, "x");
    print_number(out, p->accounted_pct, 9, " %");
    fprintf(out, " %8s\n", number_text(p->peak_bytes / 1e9, dash));
}

status_t report_models_console(const char *run_dir, FILE *out) {
    models_t m;
    const status_t st = models_read(run_dir, &m);
    if (st != STATUS_OK) return st;
    char before[TEXT_LEN] = "";
    for (int i = 0; i < m.passes_len; i++) {
        const model_row_t *p = &m.passes[i];
        char phase[128], title[TEXT_LEN];
        models_phase_text(p, phase, sizeof phase);
        row_set_text(title, "%.48s %s, %.8s, %.32s", p->model, phase, p->dtype, p->device);
        if (strcmp(title, before) != 0) {
            fprintf(out, "%s", before[0] ? "\n" : "");
            text_pad(out, title, text_width(title));
            fprintf(out, "\n  %-22s %9s %10s %9s %10s %11s %8s\n", "structure/variant", "ms",
                    "tokens/s", "vs dense", "predicted", "accounted", "peak GB");
            row_set_text(before, "%s", title);
        }
        print_pass(out, p);
    }
    models_free(&m);
    return STATUS_OK;
}
