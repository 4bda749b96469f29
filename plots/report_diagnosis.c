#include "plots/report_diagnosis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"

enum { MAX_SLOW = 15, MAX_LAYERS = 100 };
static const double SLOW_PCT = 50, SLOW_US = 20;
/* What takes less than this share of a point is not what to look at. */
static const double NOTABLE = 0.1;
/* Below this share of the time no ceiling can be said to bound a point. */
static const double FAR = 0.25;

/* ---- slow points ---- */

static bool is_slow(const report_t *r, int section, int i) {
    const place_t *p = &r->places[i];
    const point_row_t *row = &r->points[i];
    return p->section == section && p->ok && p->current && row->roof_pct < SLOW_PCT &&
           row->time_us > SLOW_US;
}

/* Shares of the time that each ceiling, reached, would take: 0 where it is unknown. */
typedef struct {
    const char *name;
    double share;
} term_t;
enum { TERM_TENSOR, TERM_CUDA_CORE, TERM_DRAM, TERM_L2, TERM_LAUNCH, TERMS };

static double share_of(double amount, double ceiling, double time_us) {
    const double share = amount / ceiling / (time_us * 1e-6);
    return isfinite(share) && share > 0 ? share : 0;
}

static void fill_terms(const point_row_t *row, const roof_ceilings_t *c, term_t terms[TERMS]) {
    const double slow_flops = !isnan(row->cuda_core_flops_measured) ? row->cuda_core_flops_measured
                              : !isnan(row->cuda_core_flops)        ? row->cuda_core_flops
                                                                    : 0;
    const double fast_flops = !isnan(row->tensor_flops_measured) && c->compute_is_tensor
                                  ? row->tensor_flops_measured
                                  : row->flops - slow_flops;
    const double l2_bytes = isnan(row->l2_bytes) ? row->bytes_model : row->l2_bytes;
    const double us = row->time_us;
    const double launches = (isnan(row->kernels) ? 1 : row->kernels) * c->launch_s;
    terms[TERM_TENSOR] = (term_t){c->compute_is_tensor ? "tensor cores" : "compute",
                                  share_of(fast_flops, c->compute_flops, us)};
    terms[TERM_CUDA_CORE] = (term_t){"CUDA cores", share_of(slow_flops, c->cuda_core_flops, us)};
    /* What a CPU executes is all counted against its compute ceiling. */
    if (!c->compute_is_tensor) terms[TERM_CUDA_CORE].share = 0;
    terms[TERM_DRAM] = (term_t){"DRAM", share_of(row->flops / row->intensity, c->dram_bytes, us)};
    terms[TERM_L2] =
        (term_t){c->compute_is_tensor ? "L2" : "cache", share_of(l2_bytes, c->l2_bytes, us)};
    terms[TERM_LAUNCH] = (term_t){"launches", share_of(launches, 1, us)};
}

/* "DRAM 38 %, tensor cores 21 %" */
static void write_bound(FILE *out, const term_t terms[TERMS]) {
    int first = -1, second = -1;
    for (int i = 0; i < TERMS; i++) {
        if (first < 0 || terms[i].share > terms[first].share)
            second = first, first = i;
        else if (second < 0 || terms[i].share > terms[second].share)
            second = i;
    }
    if (terms[first].share <= 0) {
        fputs("no ceiling is known", out);
        return;
    }
    if (terms[first].share < FAR) fputs("no ceiling is near: ", out);
    fprintf(out, "%s %.0f %%", terms[first].name, 100 * terms[first].share);
    if (terms[second].share >= NOTABLE / 2)
        fprintf(out, ", %s %.0f %%", terms[second].name, 100 * terms[second].share);
}

static const char *separator(int *count) {
    return (*count)++ ? "; " : "";
}

/* Bytes between a variant's own kernels that a fused one would keep on chip. */
static void write_spill(FILE *out, const point_row_t *row, int *count) {
    char each[NUMBER_LEN], all[NUMBER_LEN];
    const double spilled = row->bytes_model - row->bytes_min;
    if (!(spilled >= NOTABLE * row->bytes_model)) return;
    number_text(row->intermediate_max_bytes / 1e6, each);
    number_text(spilled / 2e6, all);
    fputs(separator(count), out);
    if (row->intermediates == 1)
        fprintf(out, "writes an intermediate of %s MB", all);
    else if (row->intermediates > 1)
        fprintf(out, "writes %.0f intermediates of %s MB, the largest of %s MB", row->intermediates,
                all, each);
    else
        fprintf(out, "writes intermediates of %s MB", all);
    fprintf(out, " and reads %s back: %.0f %% of its modelled traffic; fuse the stages",
            row->intermediates == 1 ? "it" : "them", 100 * spilled / row->bytes_model);
}

static void write_help(FILE *out, const point_row_t *row, const term_t terms[TERMS]) {
    char number[NUMBER_LEN];
    int count = 0;
    write_spill(out, row, &count);
    const double beyond = row->dram_read_bytes * (1 - 1 / row->excess_traffic) -
                          (row->bytes_model - row->bytes_min) / 2;
    if (beyond > NOTABLE * row->dram_read_bytes)
        fprintf(out,
                "%sreads %s MB beyond inputs, weights and intermediates: let the cache hold what "
                "blocks share",
                separator(&count), number_text(beyond / 1e6, number));
    if (row->flops_waste > 1 + NOTABLE)
        fprintf(out, "%sexecutes %s times the FLOPs it needs: pad less", separator(&count),
                number_text(row->flops_waste, number));
    if (terms[TERM_CUDA_CORE].share >= NOTABLE)
        fprintf(out, "%sFLOPs on CUDA cores take at least %s us: move them to tensor cores",
                separator(&count), number_text(terms[TERM_CUDA_CORE].share * row->time_us, number));
    if (row->kernels > 1 && terms[TERM_LAUNCH].share >= NOTABLE)
        fprintf(out, "%sits %.0f kernels take at least %s us to start: use fewer",
                separator(&count), row->kernels,
                number_text(terms[TERM_LAUNCH].share * row->time_us, number));
    if (strstr(row->throttle, "cap") || strstr(row->throttle, "thermal") ||
        strstr(row->throttle, "slowdown") || strstr(row->throttle, "brake")) {
        fprintf(out, "%sits clock was held back (", separator(&count));
        text_markdown(out, row->throttle);
        putc(')', out);
    }
    if (count == 0)
        fputs("neither bytes, FLOPs nor launches explain it: what stalls it is not counted", out);
}

static double lost_us(const report_t *r, int i) {
    return r->points[i].time_us - r->points[i].roof_us;
}

/* Indices of the slow points that lose most time, the most first. Returns how many there are. */
static int list_slow(const report_t *r, int section, int list[MAX_SLOW]) {
    int count = 0;
    for (int i = 0; i < r->points_len; i++) {
        if (!is_slow(r, section, i)) continue;
        int at = count < MAX_SLOW ? count : MAX_SLOW;
        count++;
        for (; at > 0 && lost_us(r, list[at - 1]) < lost_us(r, i); at--)
            if (at < MAX_SLOW) list[at] = list[at - 1];
        if (at < MAX_SLOW) list[at] = i;
    }
    return count;
}

void write_slow_points(FILE *out, const report_t *r, int section) {
    int list[MAX_SLOW];
    const int count = list_slow(r, section, list);
    fputs("### Slow points\n\n", out);
    if (count == 0)
        fprintf(out, "No point that takes over %.0f us is below %.0f %% of its roof.\n\n", SLOW_US,
                SLOW_PCT);
    else
        fprintf(
            out,
            "Points over %.0f us and below %.0f %% of their roof, by the time they lose: %d%s.\n"
            "Shares are of the time that a unit would need at its ceiling.\n\n"
            "| layer | tokens | structure/variant | us | %% of roof | nearest ceilings | what "
            "would help |\n| --- | ---: | --- | ---: | ---: | --- | --- |\n",
            SLOW_US, SLOW_PCT, count, count > MAX_SLOW ? ", the first of them here" : "");
    for (int k = 0; k < count && k < MAX_SLOW; k++) {
        const point_row_t *row = &r->points[list[k]];
        char time[NUMBER_LEN], pct[NUMBER_LEN];
        term_t terms[TERMS];
        const roof_ceilings_t ceilings = report_ceilings(r, section, row->matrix_dtype);
        fill_terms(row, &ceilings, terms);
        fputs("| ", out);
        text_markdown(out, r->layers[r->places[list[k]].layer].label);
        fprintf(out, " | %.0f | ", row->tokens);
        text_markdown(out, r->series[r->places[list[k]].series].label);
        fprintf(out, " | %s | %s | ", number_text(row->time_us, time),
                number_text(row->roof_pct, pct));
        write_bound(out, terms);
        fputs(" | ", out);
        write_help(out, row, terms);
        fputs(" |\n", out);
    }
    if (count) putc('\n', out);
}

/* ---- crossings ---- */

typedef struct {
    double *tokens, *values;
    range_t *ranges;
} curve_t;

/* "up to 61, from 312": the ranges of a curve of `count` points above 1. */
static void write_ranges(FILE *out, const curve_t *c, int count) {
    char from[NUMBER_LEN], to[NUMBER_LEN];
    if (count == 0) {
        fputs("-", out);
        return;
    }
    const int ranges = ranges_above_one(c->tokens, c->values, count, c->ranges);
    if (ranges == 0) fputs("never in this run", out);
    for (int i = 0; i < ranges; i++) {
        const bool low = c->ranges[i].from <= c->tokens[0];
        const bool high = c->ranges[i].to >= c->tokens[count - 1];
        number_text(c->ranges[i].from, from);
        number_text(c->ranges[i].to, to);
        fputs(i ? ", " : "", out);
        if (low && high)
            fputs("always in this run", out);
        else if (low)
            fprintf(out, "up to %s", to);
        else if (high)
            fprintf(out, "from %s", from);
        else
            fprintf(out, "%s to %s", from, to);
    }
}

/* A value a token count of a layer and series, of those that have one. Returns how many. */
static int collect(const report_t *r, int layer, int series, const double *tokens, int tokens_len,
                   double ridge, curve_t *c) {
    int count = 0;
    for (int t = 0; t < tokens_len; t++) {
        const int i = report_find(r, layer, series, tokens[t]);
        if (i < 0 || !r->places[i].ok) continue;
        const double value = isnan(ridge) ? r->places[i].speedup : r->points[i].intensity / ridge;
        if (!(value > 0)) continue;
        c->tokens[count] = tokens[t];
        c->values[count++] = value;
    }
    return count;
}

static void write_layer(FILE *out, const report_t *r, int layer, double ridge, double *tokens,
                        curve_t *c) {
    const int tokens_len = report_tokens(r, layer, tokens);
    for (int s = 0; s < r->series_len; s++) {
        const int speedups = collect(r, layer, s, tokens, tokens_len, NAN, c);
        const int count = isnan(ridge) ? 0 : collect(r, layer, s, tokens, tokens_len, ridge, c);
        if (count < 2 && speedups < 2) continue;
        fputs("| ", out);
        text_markdown(out, r->layers[layer].label);
        fprintf(out, " | %.0f to %.0f | ", tokens[0], tokens[tokens_len - 1]);
        text_markdown(out, r->series[s].label);
        fputs(" | ", out);
        write_ranges(out, c, count);
        fputs(" | ", out);
        const bool dense = !strcmp(r->series[s].structure, "dense");
        write_ranges(out, c, dense ? 0 : collect(r, layer, s, tokens, tokens_len, NAN, c));
        fputs(" |\n", out);
    }
}

static bool has_curve(const report_t *r, int section) {
    for (int l = 0; l < r->layers_len; l++)
        if (r->layers[l].section == section && r->layers[l].tokens_len > 1) return true;
    return false;
}

status_t write_crossings(FILE *out, const report_t *r, int section) {
    const size_t len = (size_t)r->points_len;
    const roof_ceilings_t ceilings = report_ceilings(r, section, "");
    const double ridge = ceilings.compute_flops / ceilings.dram_bytes;
    char text[NUMBER_LEN];
    fputs("### Where it turns, in tokens\n\n", out);
    if (!has_curve(r, section)) {
        fputs("Every layer has one token count in this run: sweep `--tokens` to see where it turns."
              "\n\n",
              out);
        return STATUS_OK;
    }
    double *tokens = malloc(len * sizeof *tokens);
    curve_t c = {malloc(len * sizeof *c.tokens), malloc(len * sizeof *c.values),
                 malloc(len * sizeof *c.ranges)};
    status_t st = STATUS_OK;
    if (!tokens || !c.tokens || !c.values || !c.ranges) {
        st = fail(STATUS_OOM, "out of host memory for the report");
        goto cleanup;
    }
    fputs("Compute-bound is above the ridge of the roofline", out);
    if (!isnan(ridge)) fprintf(out, ", %s FLOP per byte of DRAM", number_text(ridge, text));
    fputs("; intensities are measured where\nthey were counted, else modelled. Token counts are "
          "interpolated between those of the run.\n\n"
          "| layer | tokens | structure/variant | compute-bound | faster than dense |\n"
          "| --- | --- | --- | --- | --- |\n",
          out);
    int layers = 0;
    for (int l = 0; l < r->layers_len; l++)
        if (r->layers[l].section == section && layers++ < MAX_LAYERS)
            write_layer(out, r, l, ridge, tokens, &c);
    putc('\n', out);
    if (layers > MAX_LAYERS) fprintf(out, "The first %d of %d layers.\n\n", MAX_LAYERS, layers);
cleanup:
    free(tokens);
    free(c.tokens);
    free(c.values);
    free(c.ranges);
    return st;
}
