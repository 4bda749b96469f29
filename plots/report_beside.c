#include "plots/report_beside.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Runs are called A, B, ... in the order of the command line. */
enum { MAX_RUNS = 26, MAX_SHARED = 200 };

/* ---- points that runs share ---- */

static int compare_numbers(double a, double b) {
    if (isnan(a) || isnan(b)) return (int)isnan(a) - (int)isnan(b);
    return (a > b) - (a < b);
}

static int compare_points(const void *left, const void *right) {
    const point_row_t *a = *(const point_row_t *const *)left;
    const point_row_t *b = *(const point_row_t *const *)right;
    int order = strcmp(a->layer, b->layer);
    if (order == 0) order = strcmp(a->structure, b->structure);
    if (order == 0) order = strcmp(a->variant, b->variant);
    if (order == 0) order = strcmp(a->dtype, b->dtype);
    if (order == 0) order = strcmp(a->cache, b->cache);
    if (order == 0) order = compare_numbers(a->tokens, b->tokens);
    if (order == 0) order = compare_numbers(a->in_features, b->in_features);
    if (order == 0) order = compare_numbers(a->out_features, b->out_features);
    if (order == 0) order = compare_numbers(a->blocks, b->blocks);
    return order ? order : compare_numbers(a->rank, b->rank);
}

/* What stands beside other runs: where each device has its points, those of the first. */
static bool stands_beside(const report_t *r, int i) {
    const place_t *p = &r->places[i];
    return p->ok && p->current && !p->peer && report_on(r, 0, r->points[i].device);
}

/* Its points with a time, sorted. NULL without memory. */
static const point_row_t **sorted_points(const report_t *r, int *len) {
    const point_row_t **points = malloc(((size_t)r->points_len + 1) * sizeof(void *));
    *len = 0;
    for (int i = 0; points && i < r->points_len; i++)
        if (stands_beside(r, i)) points[(*len)++] = &r->points[i];
    if (points) qsort(points, (size_t)*len, sizeof(void *), compare_points);
    return points;
}

typedef struct {
    const report_t *all;
    int len;
    const point_row_t **points[MAX_RUNS];
    int points_len[MAX_RUNS];
} runs_t;

static void close_runs(runs_t *runs) {
    for (int i = 0; i < runs->len; i++) free(runs->points[i]);
}

static status_t open_runs(const report_t *all, int len, runs_t *runs) {
    *runs = (runs_t){.all = all, .len = len < MAX_RUNS ? len : MAX_RUNS};
    for (int i = 0; i < runs->len; i++) {
        runs->points[i] = sorted_points(&all[i], &runs->points_len[i]);
        if (runs->points[i]) continue;
        close_runs(runs);
        return fail(STATUS_OOM, "out of host memory for the report");
    }
    return STATUS_OK;
}

/* The same point in a run; NULL if it has none. */
static const point_row_t *in_run(const runs_t *runs, int run, const point_row_t *row) {
    const point_row_t **found = bsearch(&row, runs->points[run], (size_t)runs->points_len[run],
                                        sizeof(void *), compare_points);
    return found ? *found : NULL;
}

static double speedup_of(const report_t *r, const point_row_t *row) {
    return r->places[row - r->points].speedup;
}

/* ---- in words ---- */

static void write_runs(FILE *out, const report_t *r, const runs_t *runs) {
    char device[2 * TEXT_LEN];
    fputs("## Side by side\n\n", out);
    for (int i = 0; i < runs->len; i++) {
        const report_t *run = &runs->all[i];
        report_device(run, run->sections[0].device, device, sizeof device);
        fprintf(out, "- %c: ", 'A' + i);
        text_markdown(out, run->dir);
        fputs(", ", out);
        text_markdown(out, device);
        fputs(run == r ? ", the run of this page\n" : "\n", out);
    }
    putc('\n', out);
}

static bool is_of_the_run(const char *key) {
    return !strcmp(key, "run_id") || !strcmp(key, "utc") || !strcmp(key, "argv");
}

static void write_heads(FILE *out, const char *first, const runs_t *runs, int texts) {
    fprintf(out, "| %s |", first);
    for (int i = 0; i < runs->len; i++) fprintf(out, " %c |", 'A' + i);
    putc('\n', out);
    putc('|', out);
    for (int i = 0; i < texts; i++) fputs(" --- |", out);
    for (int i = 0; i < runs->len; i++) fputs(texts > 1 ? " ---: |" : " --- |", out);
    putc('\n', out);
}

/* True if another run tells something else; what it does not know is no difference. */
static bool differs(const run_row_t *fact, const runs_t *runs) {
    for (int i = 0; i < runs->len; i++) {
        const char *other = report_fact(&runs->all[i], fact->key);
        if (*other && strcmp(other, fact->value) != 0) return !is_of_the_run(fact->key);
    }
    return false;
}

static void write_differences(FILE *out, const report_t *r, const runs_t *runs) {
    write_heads(out, "what differs", runs, 1);
    for (int f = 0; f < r->facts_len; f++) {
        const char *key = r->facts[f].key;
        if (!differs(&r->facts[f], runs)) continue;
        fputs("| ", out);
        text_markdown(out, key);
        fputs(" |", out);
        for (int i = 0; i < runs->len; i++) {
            putc(' ', out);
            text_markdown(out, report_fact(&runs->all[i], key));
            fputs(" |", out);
        }
        putc('\n', out);
    }
    putc('\n', out);
}

static const ceiling_row_t *same_ceiling(const report_t *r, const ceiling_row_t *wanted) {
    for (int i = 0; i < r->ceilings_len; i++) {
        const ceiling_row_t *c = &r->ceilings[i];
        if (!strcmp(c->kind, wanted->kind) && !strcmp(c->dtype, wanted->dtype) &&
            !strcmp(c->method, wanted->method) && !strcmp(c->unit, wanted->unit))
            return c;
    }
    return NULL;
}

static void write_ceilings_beside(FILE *out, const report_t *r, const runs_t *runs) {
    char text[NUMBER_LEN];
    bool any = false;
    for (int c = 0; c < r->ceilings_len; c++) {
        const ceiling_row_t *row = &r->ceilings[c];
        int runs_with = 0;
        if (same_ceiling(r, row) != row) continue; /* of another device of the run */
        for (int i = 0; i < runs->len; i++) runs_with += same_ceiling(&runs->all[i], row) != NULL;
        if (runs_with < 2) continue;
        if (!any) write_heads(out, "ceiling | unit", runs, 2);
        any = true;
        fputs("| ", out);
        text_markdown(out, row->kind);
        fprintf(out, " %s%s", row->dtype, *row->dtype ? " " : "");
        text_markdown(out, row->method);
        fputs(" | ", out);
        text_markdown(out, row->unit);
        fputs(" |", out);
        for (int i = 0; i < runs->len; i++) {
            const ceiling_row_t *other = same_ceiling(&runs->all[i], row);
            fprintf(out, " %s |", number_text(other ? other->value : NAN, text));
        }
        putc('\n', out);
    }
    putc('\n', out);
}

static void write_point(FILE *out, const report_t *r, const runs_t *runs, int i) {
    char time[NUMBER_LEN], speedup[NUMBER_LEN];
    fputs("| ", out);
    text_markdown(out, r->layers[r->places[i].layer].label);
    fputs(" | ", out);
    text_markdown(out, r->series[r->places[i].series].label);
    fprintf(out, " | %.0f |", r->points[i].tokens);
    for (int run = 0; run < runs->len; run++) {
        const point_row_t *row = in_run(runs, run, &r->points[i]);
        if (row) {
            number_text(speedup_of(&runs->all[run], row), speedup);
            fprintf(out, " %s%s%s%s", number_text(row->time_us, time), *speedup ? " (" : "",
                    speedup, *speedup ? "x)" : "");
        }
        fputs(" |", out);
    }
    putc('\n', out);
}

static int count_shared(const runs_t *runs, const point_row_t *row) {
    int shared = 0;
    for (int run = 0; run < runs->len; run++) shared += in_run(runs, run, row) != NULL;
    return shared;
}

void write_beside(FILE *out, const report_t *r, const report_t *all, int all_len) {
    runs_t runs;
    if (open_runs(all, all_len, &runs) != STATUS_OK) return;
    write_runs(out, r, &runs);
    write_differences(out, r, &runs);
    write_ceilings_beside(out, r, &runs);
    close_runs(&runs);
}

void write_points_beside(FILE *out, const report_t *r, const report_t *all, int all_len) {
    runs_t runs;
    if (open_runs(all, all_len, &runs) != STATUS_OK) return;
    fputs("## Points side by side\n\n"
          "Median time in us, and times as fast as the dense of the same run.\n\n",
          out);
    write_heads(out, "layer | structure/variant | tokens", &runs, 3);
    int shared = 0;
    for (int i = 0; i < r->points_len; i++)
        if (stands_beside(r, i) && count_shared(&runs, &r->points[i]) > 1 && shared++ < MAX_SHARED)
            write_point(out, r, &runs, i);
    putc('\n', out);
    if (shared > MAX_SHARED) fprintf(out, "The first %d of %d points.\n\n", MAX_SHARED, shared);
    close_runs(&runs);
}

/* ---- the picture ---- */

static void write_pair(FILE *out, const report_t *r, int i, int run, const point_row_t *other) {
    char here[NUMBER_LEN], there[NUMBER_LEN], ratio[NUMBER_LEN];
    const point_row_t *row = &r->points[i];
    fprintf(out, "%d\t%.9g\t%.9g\t", r->places[i].series + 1, row->time_us, other->time_us);
    text_tsv(out, r->layers[r->places[i].layer].label);
    fprintf(out, ", %.0f tokens, ", row->tokens);
    text_tsv(out, r->series[r->places[i].series].label);
    fprintf(out, ": %s us here, %s us in %c, which is %sx as fast\n",
            number_text(row->time_us, here), number_text(other->time_us, there), 'A' + run,
            number_text(row->time_us / other->time_us, ratio));
}

static status_t write_pairs(const sheet_t *sheet, const runs_t *runs, int run, int *pairs) {
    const report_t *r = sheet->r;
    whole_file_t w;
    char name[32];
    *pairs = 0;
    snprintf(name, sizeof name, "beside_%c", 'A' + run);
    const status_t st = sheet_open_data(sheet, name, "series\there_us\tother_us\trow", &w);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < r->points_len; i++) {
        if (!stands_beside(r, i)) continue;
        const point_row_t *other = in_run(runs, run, &r->points[i]);
        if (!other) continue;
        write_pair(w.file, r, i, run, other);
        ++*pairs;
    }
    return whole_close(&w, STATUS_OK);
}

static status_t add_picture(const sheet_t *sheet, const runs_t *runs, int run, int here) {
    char device[2 * TEXT_LEN];
    const report_t *other = &runs->all[run];
    figure_t figure = {.template = "beside", .what = "", .first = 1, .last = 1};
    report_device(other, other->sections[0].device, device, sizeof device);
    snprintf(figure.title, sizeof figure.title, "Run %c against run %c", 'A' + run, 'A' + here);
    snprintf(figure.subtitle, sizeof figure.subtitle,
             "%c: %s; below the line it is faster than this run", 'A' + run, device);
    snprintf(figure.name, sizeof figure.name, "beside_%c", 'A' + run);
    snprintf(figure.caption, sizeof figure.caption,
             "Times of run %c against those of this run (%c): below the line %c is faster.",
             'A' + run, 'A' + here, 'A' + run);
    sheet_t of_run = *sheet;
    snprintf(of_run.suffix, sizeof of_run.suffix, "_%c", 'A' + run);
    return sheet_add_figure(&of_run, figure);
}

status_t beside_prepare(const sheet_t *sheet, const report_t *all, int all_len) {
    runs_t runs;
    const int here = (int)(sheet->r - all);
    status_t st = open_runs(all, all_len, &runs);
    if (st != STATUS_OK) return st;
    for (int run = 0; run < runs.len && st == STATUS_OK; run++) {
        int pairs;
        if (run == here) continue;
        st = write_pairs(sheet, &runs, run, &pairs);
        if (st == STATUS_OK && pairs > 0) st = add_picture(sheet, &runs, run, here);
    }
    close_runs(&runs);
    return st;
}
