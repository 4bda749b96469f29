#include "plots/report_paper.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_claims.h"
#include "plots/report_text.h"
#include "plots/text_table.h"

/* ---- layers ---- */

static bool has_speedup(const report_t *r, int section, int series) {
    for (int i = 0; i < r->points_len; i++)
        if (r->places[i].section == section && r->places[i].series == series &&
            !isnan(r->places[i].speedup))
            return true;
    return false;
}

static void add_layer(const report_t *r, int layer, double tokens, const int *series, int count,
                      text_table_t *t) {
    double dense_us = NAN;
    for (int s = 0; s < count && isnan(dense_us); s++) {
        const int i = report_find(r, layer, series[s], tokens);
        if (i >= 0 && r->places[i].dense >= 0) dense_us = r->points[r->places[i].dense].time_us;
    }
    table_cell(t, "%s", r->layers[layer].label);
    table_cell(t, "%.0f", tokens);
    table_number(t, dense_us, "");
    for (int s = 0; s < count; s++) {
        const int i = report_find(r, layer, series[s], tokens);
        const bool ok = i >= 0 && r->places[i].ok;
        if (i >= 0 && !ok)
            table_cell(t, "%s", r->points[i].status);
        else
            table_number(t, ok ? r->places[i].speedup : NAN, "x");
    }
}

static status_t make_layers(const report_t *r, int section, text_table_t *t) {
    int series[TABLE_COLUMNS], count = 0;
    for (int s = 0; s < r->series_len && count < TABLE_COLUMNS - 3; s++)
        if (strcmp(r->series[s].structure, "dense") && has_speedup(r, section, s))
            series[count++] = s;
    table_begin(t, 3 + count, 1);
    snprintf(t->title, sizeof t->title, "Layers: times as fast as dense");
    table_cell(t, "layer");
    table_cell(t, "tokens");
    table_cell(t, "dense, us");
    for (int s = 0; s < count; s++) table_cell(t, "%s", r->series[series[s]].label);
    double *tokens = malloc((size_t)r->points_len * sizeof *tokens);
    if (!tokens) return fail(STATUS_OOM, "out of host memory for the report");
    for (int l = 0; l < r->layers_len; l++) {
        if (r->layers[l].section != section) continue;
        if (r->split && is_dense(r->layers[l].first)) continue; /* in the others' rows */
        const int tokens_len = report_tokens(r, l, tokens);
        for (int n = 0; n < tokens_len; n++) add_layer(r, l, tokens[n], series, count, t);
    }
    free(tokens);
    return STATUS_OK;
}

/* ---- models ---- */

static status_t make_models(const report_t *r, int section, text_table_t *t) {
    static const char *const heads[] = {"model",       "structure/variant", "phase",    "tokens",
                                        "latency, ms", "over dense",        "predicted"};
    enum { HEADS = sizeof heads / sizeof *heads };
    table_begin(t, HEADS, 3);
    snprintf(t->title, sizeof t->title, "End to end: times as fast as dense");
    for (int h = 0; h < HEADS; h++) table_cell(t, "%s", heads[h]);
    for (int i = 0; i < r->models_len; i++) {
        const model_row_t *m = &r->models[i];
        if (!report_on(r, section, m->device) || strcmp(m->dtype, r->sections[section].dtype))
            continue;
        const bool ok = !strcmp(m->status, "ok");
        table_cell(t, "%s", m->model);
        table_cell(t, "%s/%s", m->structure, m->variant);
        table_cell(t, "%s", m->phase);
        table_cell(t, "%.0f", m->tokens);
        if (ok)
            table_number(t, m->latency_ms, "");
        else
            table_cell(t, "%s", m->status);
        table_number(t, ok ? m->speedup_vs_dense : NAN, "x");
        table_number(t, ok ? m->speedup_predicted : NAN, "x");
    }
    return STATUS_OK;
}

/* ---- Table 2 ---- */

static status_t make_table2(const report_t *r, int section, text_table_t *t) {
    static const char *const heads[] = {
        "layer",         "structure/variant", "tokens",       "GFLOP",           "executed GFLOP",
        "compulsory MB", "Table 2 MB",        "DRAM read MB", "DRAM written MB", "L2 MB"};
    enum { HEADS = sizeof heads / sizeof *heads };
    table_begin(t, HEADS, 2);
    snprintf(t->title, sizeof t->title, "Table 2: FLOPs and bytes, modelled and counted");
    for (int h = 0; h < HEADS; h++) table_cell(t, "%s", heads[h]);
    for (int l = 0; l < r->layers_len; l++)
        for (int i = 0; i < r->points_len; i++) {
            const place_t *p = &r->places[i];
            const point_row_t *row = &r->points[i];
            if (p->section != section || p->layer != l || !p->ok || !p->current ||
                isnan(row->flops))
                continue;
            table_cell(t, "%s", r->layers[l].label);
            table_cell(t, "%s", r->series[p->series].label);
            table_cell(t, "%.0f", row->tokens);
            table_number(t, row->flops / 1e9, "");
            table_number(t, row->flops_measured / 1e9, "");
            table_number(t, row->bytes_min / 1e6, "");
            table_number(t, row->bytes_model / 1e6, "");
            table_number(t, row->dram_read_bytes / 1e6, "");
            table_number(t, row->dram_write_bytes / 1e6, "");
            table_number(t, row->l2_bytes / 1e6, "");
        }
    return STATUS_OK;
}

/* ---- claims ---- */

/* "1.14 to 1.68", "up to 7.15", "at least 1" */
static void add_range(text_table_t *t, double low, double high) {
    char from[NUMBER_LEN], to[NUMBER_LEN];
    number_text(low, from);
    number_text(high, to);
    if (*from && *to)
        table_cell(t, "%s to %s", from, to);
    else
        table_cell(t, "%s%s%s", *to ? "up to " : *from ? "at least " : "", to, from);
}

static void add_claim(const judged_t *j, text_table_t *t) {
    const claim_row_t *c = &j->claim;
    table_cell(t, "%s", *c->device ? c->device : "any");
    if (isnan(c->tokens))
        table_cell(t, "%s", *c->workload ? c->workload : "any");
    else
        table_cell(t, "%s, %.0f tokens", c->workload, c->tokens);
    table_cell(t, "%s/%s", c->structure, c->variant);
    table_cell(t, "%s", c->quantity);
    add_range(t, c->low, c->high);
    if (j->low == j->high)
        table_number(t, j->low, "");
    else
        add_range(t, j->low, j->high);
    table_cell(t, "%s", claim_verdict_name(j->verdict));
    table_cell(t, "%s", j->reason);
    table_cell(t, "%s", c->source);
}

static status_t make_claims(const report_t *r, int section, text_table_t *t) {
    static const char *const heads[] = {"said of",  "layers", "structure/variant",
                                        "quantity", "paper",  "here",
                                        "verdict",  "why",    "where in the paper"};
    enum { HEADS = sizeof heads / sizeof *heads };
    judged_t *judged;
    int count;
    const status_t st = claims_judge(r, section, &judged, &count);
    if (st != STATUS_OK) return st;
    table_begin(t, HEADS, HEADS);
    snprintf(t->title, sizeof t->title, "The paper's claims");
    for (int h = 0; h < HEADS; h++) table_cell(t, "%s", heads[h]);
    for (int i = 0; i < count; i++) add_claim(&judged[i], t);
    free(judged);
    return STATUS_OK;
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    status_t (*make)(const report_t *, int section, text_table_t *);
    const char *none; /* said where there is no row */
    bool always;      /* of any report, not only of the paper's */
} TABLES[] = {
    {"claims", make_claims, "There are no claims.", false},
    {"speedup", make_layers, "No layer was measured.", true},
    {"models", make_models,
     "This run has no end-to-end latencies: `blroof model MODEL... -o DIR` measures them.", true},
    {"table2", make_table2, "No point has a time.", true},
};
enum { TABLES_LEN = sizeof TABLES / sizeof *TABLES };

/* What the title says more in a run of several sections. */
static void name_section(const report_t *r, int section, text_table_t *t) {
    char device[2 * TEXT_LEN];
    const section_t *s = &r->sections[section];
    const size_t len = strlen(t->title);
    report_device(r, s->device, device, sizeof device);
    snprintf(t->title + len, sizeof t->title - len, "; %s, %s, cache %s", device, s->dtype,
             *s->cache ? s->cache : "unknown");
}

static status_t print_table(const text_table_t *t, const char *none, FILE *out) {
    fputs("## ", out);
    text_markdown(out, t->title);
    fputs("\n\n", out);
    if (table_rows(t) > 0) return table_markdown(t, out);
    fprintf(out, "%s\n\n", none);
    return STATUS_OK;
}

static status_t print_one(const report_t *r, int section, int which, FILE *out) {
    text_table_t table = {0};
    status_t st = TABLES[which].make(r, section, &table);
    name_section(r, section, &table);
    if (st == STATUS_OK) st = print_table(&table, TABLES[which].none, out);
    table_free(&table);
    return st;
}

status_t paper_print_claims(const report_t *r, FILE *out) {
    status_t st = STATUS_OK;
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++) st = print_one(r, s, 0, out);
    return st;
}

status_t paper_print(const report_t *r, FILE *out) {
    status_t st = STATUS_OK;
    fputs("# The paper's tables\n\n"
          "arXiv 2512.20861v2. A claim is reproduced where the points of this run are in its range "
          "or\nwithin 15 % of it. In Table 2 an empty cell was not counted.\n\n",
          out);
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++)
        for (int i = 0; i < TABLES_LEN && st == STATUS_OK; i++) st = print_one(r, s, i, out);
    return st;
}

static status_t write_as(const text_table_t *t, const char *dir, const char *name,
                         const char *extension, status_t (*print)(const text_table_t *, FILE *)) {
    char file[64];
    whole_file_t w;
    snprintf(file, sizeof file, "%s.%s", name, extension);
    const status_t st = whole_open(dir, file, &w);
    return st == STATUS_OK ? whole_close(&w, print(t, w.file)) : st;
}

static status_t write_table(const report_t *r, const char *dir, int section, int which,
                            bool latex) {
    text_table_t table = {0};
    char name[48];
    snprintf(name, sizeof name, section ? "%s_%d" : "%s", TABLES[which].name, section + 1);
    status_t st = TABLES[which].make(r, section, &table);
    name_section(r, section, &table);
    if (st == STATUS_OK && table_rows(&table) > 0) {
        st = write_as(&table, dir, name, "csv", table_csv);
        if (st == STATUS_OK && latex) st = write_as(&table, dir, name, "tex", table_latex);
    }
    table_free(&table);
    return st;
}

status_t tables_write(const report_t *r, const char *dir, bool paper, bool latex) {
    status_t st = STATUS_OK;
    for (int s = 0; s < r->sections_len && st == STATUS_OK; s++)
        for (int i = 0; i < TABLES_LEN && st == STATUS_OK; i++)
            if (paper || TABLES[i].always) st = write_table(r, dir, s, i, latex);
    return st;
}

status_t paper_write(const report_t *r, const char *dir) {
    whole_file_t w;
    const status_t st = whole_open(dir, "paper.md", &w);
    return st == STATUS_OK ? whole_close(&w, paper_print(r, w.file)) : st;
}
