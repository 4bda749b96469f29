#include "plots/report_claims.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/paths.h"

/* A figure this close to a measured range counts as inside: other kernels, another library. Which
 * of two is greater has no such room. */
static const double NEAR = 0.15;

static double room(const claim_row_t *claim) {
    return isnan(claim->high) || claim->low == 0 ? 0 : NEAR;
}

static const struct {
    const char *name;
    /* Its time over that of ours; a NULL structure is our own. */
    const char *structure, *variant;
} RATIOS[] = {
    {"speedup_vs_unfused", NULL, "unfused"},
    {"speedup_vs_partial", NULL, "partial"},
    {"speedup_vs_monarch_unfused", "monarch", "unfused"},
};

const char *claim_verdict_name(claim_verdict_t verdict) {
    static const char *const names[] = {"reproduced", "not reproduced", "not applicable"};
    return names[verdict];
}

/* ---- which points ---- */

/* "A40" is in "NVIDIA A40, predicted" but not in "NVIDIA A400". */
static bool names_device(const char *name, const char *wanted) {
    const size_t len = strlen(wanted);
    for (const char *at = strstr(name, wanted); at; at = strstr(at + 1, wanted))
        if ((at == name || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[len]))
            return true;
    return false;
}

/* "llama7b" and "llama7b/qkvo_proj" name the layer "llama7b/qkvo_proj". */
static bool names_layer(const char *layer, const char *wanted) {
    const size_t len = strlen(wanted);
    return len == 0 || (!strncmp(layer, wanted, len) && (!layer[len] || layer[len] == '/'));
}

static bool among(const char *variants, const char *name) {
    const size_t len = strlen(name);
    for (const char *at = variants; *at; at += *at == '+') {
        const size_t end = strcspn(at, "+");
        if (end == len && !strncmp(at, name, len)) return true;
        at += end;
    }
    return false;
}

/* The fastest current row of these variants at a layer and token count; -1 if there is none. */
static int fastest(const report_t *r, int layer, double tokens, const char *structure,
                   const char *variants) {
    int best = -1;
    for (int s = 0; s < r->series_len; s++) {
        if (strcmp(r->series[s].structure, structure) || !among(variants, r->series[s].variant))
            continue;
        const int i = report_find(r, layer, s, tokens);
        if (i < 0 || !r->places[i].ok) continue;
        if (best < 0 || r->points[i].time_us < r->points[best].time_us) best = i;
    }
    return best;
}

/* ---- what they give ---- */

static double ratio_to(const report_t *r, int i, const char *structure, const char *variant) {
    const point_row_t *row = &r->points[i];
    const int other = fastest(r, r->places[i].layer, row->tokens,
                              structure ? structure : row->structure, variant);
    return other < 0 ? NAN : r->points[other].time_us / row->time_us;
}

static double quantity(const report_t *r, int i, const char *name) {
    if (!strcmp(name, "speedup_vs_dense")) return r->places[i].speedup;
    if (!strcmp(name, "runtime_vs_dense")) return 1 / r->places[i].speedup;
    if (!strcmp(name, "intensity_vs_ridge")) {
        const roof_ceilings_t c = report_ceilings(r, r->places[i].section, "");
        return r->points[i].flops / r->points[i].bytes_model / (c.compute_flops / c.dram_bytes);
    }
    for (size_t q = 0; q < sizeof RATIOS / sizeof *RATIOS; q++)
        if (!strcmp(name, RATIOS[q].name))
            return ratio_to(r, i, RATIOS[q].structure, RATIOS[q].variant);
    return NAN;
}

/* unfused_slower: only where the unfused variant takes longer than dense. */
static bool left_out(const report_t *r, int i, const char *only) {
    return *only && !(ratio_to(r, i, NULL, "unfused") > r->places[i].speedup);
}

static void add_case(judged_t *j, double value) {
    const claim_row_t *c = &j->claim;
    if (isnan(value)) return;
    const bool high_enough = isnan(c->low) || value >= c->low * (1 - room(c));
    const bool low_enough = isnan(c->high) || value <= c->high * (1 + room(c));
    j->held += high_enough && low_enough;
    j->cases++;
    j->low = fmin(j->low, value);
    j->high = fmax(j->high, value);
}

static void add_models(const report_t *r, int section, judged_t *j) {
    for (int i = 0; i < r->models_len; i++) {
        const model_row_t *m = &r->models[i];
        if (!strcmp(m->status, "ok") && !strcmp(m->structure, j->claim.structure) &&
            among(j->claim.variant, m->variant) && report_on(r, section, m->device) &&
            !strcmp(m->dtype, r->sections[section].dtype))
            add_case(j, m->speedup_vs_dense);
    }
}

static void add_layers(const report_t *r, int section, double *tokens, judged_t *j) {
    const claim_row_t *c = &j->claim;
    for (int l = 0; l < r->layers_len; l++) {
        if (r->layers[l].section != section || !names_layer(r->layers[l].first->layer, c->workload))
            continue;
        const int count = report_tokens(r, l, tokens);
        for (int t = 0; t < count; t++) {
            if (!isnan(c->tokens) && tokens[t] != c->tokens) continue;
            const int i = fastest(r, l, tokens[t], c->structure, c->variant);
            if (i >= 0 && !left_out(r, i, c->only)) add_case(j, quantity(r, i, c->quantity));
        }
    }
}

/* ---- verdicts ---- */

static bool is_of_models(const claim_row_t *claim) {
    return !strncmp(claim->quantity, "end_to_end", strlen("end_to_end"));
}

static void decide(const report_t *r, const char *device, judged_t *j) {
    const claim_row_t *c = &j->claim;
    const double share = isnan(c->share) ? 1 : c->share;
    char *const reason = j->reason;
    const size_t len = sizeof j->reason;
    j->verdict = CLAIM_NOT_APPLICABLE;
    if (j->cases == 0 && is_of_models(c) && r->models_len == 0) {
        snprintf(reason, len, "no models.csv in this run: blroof model writes it");
    } else if (j->cases == 0) {
        snprintf(reason, len, "no such point in this run");
    } else if (*c->device && !names_device(device, c->device)) {
        snprintf(reason, len, "said of the %s", c->device);
    } else if (isnan(c->low)) { /* "up to": the greatest counts */
        j->verdict = j->high >= c->high * (1 - NEAR) ? CLAIM_REPRODUCED : CLAIM_NOT_REPRODUCED;
        snprintf(reason, len, "the greatest of %d, with 15 %% of room", j->cases);
    } else {
        j->verdict = j->held >= share * j->cases ? CLAIM_REPRODUCED : CLAIM_NOT_REPRODUCED;
        snprintf(reason, len, "%d of %d in the range%s%s%s", j->held, j->cases,
                 room(c) > 0 ? " or within 15 % of it" : "",
                 *c->only ? ", where unfused is slower than dense" : "",
                 share < 1 ? ", 90 % wanted" : "");
    }
}

/* ---- public ---- */

typedef struct {
    judged_t *items;
    int len;
} list_t;

static status_t add_claim(void *ctx, const void *row, int line) {
    (void)line;
    list_t *list = ctx;
    judged_t *grown = realloc(list->items, (size_t)(list->len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for the claims");
    list->items = grown;
    grown[list->len++] = (judged_t){.claim = *(const claim_row_t *)row, .low = NAN, .high = NAN};
    return STATUS_OK;
}

status_t claims_judge(const report_t *r, int section, judged_t **out, int *count) {
    char path[1280], device[2 * TEXT_LEN];
    list_t list = {0};
    *out = NULL;
    *count = 0;
    snprintf(path, sizeof path, "%s/results/paper/claims.csv", blroof_root());
    double *tokens = malloc((size_t)r->points_len * sizeof *tokens);
    if (!tokens) return fail(STATUS_OOM, "out of host memory for the claims");
    const status_t st = table_read(&CLAIMS_TABLE, path, true, add_claim, &list);
    report_device(r, r->sections[section].device, device, sizeof device);
    for (int i = 0; i < list.len && st == STATUS_OK; i++) {
        judged_t *j = &list.items[i];
        if (is_of_models(&j->claim))
            add_models(r, section, j);
        else
            add_layers(r, section, tokens, j);
        decide(r, device, j);
    }
    free(tokens);
    if (st != STATUS_OK) {
        free(list.items);
        return st;
    }
    *out = list.items;
    *count = list.len;
    return STATUS_OK;
}
