/* A comparison as Markdown, JUnit XML and JSON. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/compare_report.h"
#include "plots/compare_words.h"
#include "plots/report_text.h"

/* A comment of a pull request holds 65536 characters on GitHub. */
enum { MARKDOWN_ROWS = 150 };

typedef struct {
    const comparison_t *c;
    FILE *out;
    int notes; /* of the point at hand */
} writer_t;

static bool is_timed(const compared_t *p) {
    return p->state == POINT_COMPARED && p->time.ratio > 0;
}

/* ---- Markdown ---- */

static void markdown_note(void *ctx, const char *text) {
    writer_t *w = ctx;
    if (w->notes++) fputs("; ", w->out);
    text_markdown(w->out, text);
}

static void markdown_row(writer_t *w, const compared_t *p) {
    char name[NAME_LEN], base[NUMBER_LEN], new[NUMBER_LEN];
    fprintf(w->out, "| %s | ", matters_label(point_matters(w->c, p)));
    if (is_timed(p))
        fprintf(w->out, "%.3f | %.3f to %.3f | %s | %s", p->time.ratio, p->time.ci_low,
                p->time.ci_high, number_text(p->time.time_us[0], base),
                number_text(p->time.time_us[1], new));
    else
        fputs("| | |", w->out);
    fputs(" | ", w->out);
    point_name(w->c, p, NAME_LEN, name);
    text_markdown(w->out, name);
    fputs(" | ", w->out);
    w->notes = 0;
    point_notes(w->c, p, markdown_note, w);
    fputs(" |\n", w->out);
}

static void markdown_table(writer_t *w, const compared_t *const *points, int from, int to) {
    fputs("\n| verdict | new/base | 95 % interval | base us | new us | point | notes |\n"
          "| --- | ---: | --- | ---: | ---: | --- | --- |\n",
          w->out);
    const int end = to - from > MARKDOWN_ROWS ? from + MARKDOWN_ROWS : to;
    for (int i = from; i < end; i++) markdown_row(w, points[i]);
    if (end < to) fprintf(w->out, "\n%d more are left out.\n", to - end);
}

static void markdown_sides(const writer_t *w) {
    static const char *const titles[] = {"BASE", "NEW"};
    char words[WORDS_LEN];
    for (int side = 0; side < 2; side++) {
        side_words(&w->c->sides[side], words, sizeof words);
        fprintf(w->out, "- %s: ", titles[side]);
        text_markdown(w->out, w->c->sides[side].path);
        fputs(": ", w->out);
        text_markdown(w->out, words);
        putc('\n', w->out);
    }
    fputs("- on ", w->out);
    text_markdown(w->out, side_fact(&w->c->sides[0], "device_name"));
    putc('\n', w->out);
    gpus_words(w->c, words, sizeof words);
    if (*words) fprintf(w->out, "- **%s**\n", words);
    for (int i = 0; i < w->c->differences_len; i++) {
        const difference_t *d = &w->c->differences[i];
        fprintf(w->out, "- **not comparable, forced:** %s: ", d->name);
        text_markdown(w->out, d->of[0]);
        fputs(" and ", w->out);
        text_markdown(w->out, d->of[1]);
        putc('\n', w->out);
    }
}

static void write_markdown(writer_t *w, const compared_t *const *points) {
    char words[2 * WORDS_LEN];
    int matter = 0;
    comparison_summary(w->c, words, sizeof words);
    fprintf(w->out, "### blroof compare: %s\n\n%s.", verdict_name(w->c->verdict), words);
    if (!isnan(w->c->mean_ratio))
        fprintf(w->out, " Geometric mean of new/base: %.4f.", w->c->mean_ratio);
    fputs("\n\n", w->out);
    markdown_sides(w);
    while (matter < w->c->points_len && point_matters(w->c, points[matter]) != MATTERS_NOT)
        matter++;
    if (matter > 0) markdown_table(w, points, 0, matter);
    if (matter < w->c->points_len) {
        fprintf(w->out, "\n<details><summary>%d points that are the same</summary>\n",
                w->c->points_len - matter);
        markdown_table(w, points, matter, w->c->points_len);
        fputs("\n</details>\n", w->out);
    }
    rules_words(w->c, words, sizeof words);
    fprintf(w->out, "\n%s\n", words);
}

status_t compare_markdown(const comparison_t *c, const char *path) {
    whole_file_t file = {0};
    status_t st = STATUS_OK;
    const compared_t **points = points_by_matter(c);
    if (!points) return fail(STATUS_OOM, "out of host memory for the comparison");
    TRY(whole_open_path(path, &file));
    write_markdown(&(writer_t){c, file.file, 0}, points);
cleanup:
    free(points);
    return whole_close(&file, st);
}

/* ---- JUnit XML ---- */

static void junit_note(void *ctx, const char *text) {
    writer_t *w = ctx;
    if (w->notes++) fputs("; ", w->out);
    text_xml(w->out, text);
}

static void junit_outcome(writer_t *w, const compared_t *p, matters_t matters) {
    const bool failed = matters <= MATTERS_WORSE;
    fprintf(w->out, ">\n    <%s message=\"%s", failed ? "failure" : "skipped",
            matters_label(matters));
    w->notes = 0;
    if (is_timed(p)) {
        fprintf(w->out, ": new/base %.3f, 95 %% interval %.3f to %.3f", p->time.ratio,
                p->time.ci_low, p->time.ci_high);
        w->notes++;
    } else {
        fputs(": ", w->out);
    }
    point_notes(w->c, p, junit_note, w);
    if (failed) fprintf(w->out, "\" type=\"%s", matters_label(matters));
    fputs("\"/>\n  </testcase>\n", w->out);
}

static void junit_case(writer_t *w, const compared_t *p) {
    char name[NAME_LEN];
    const matters_t matters = point_matters(w->c, p);
    fputs("  <testcase classname=\"", w->out);
    text_xml(w->out, p->structure);
    putc('.', w->out);
    text_xml(w->out, p->variant);
    fputs("\" name=\"", w->out);
    point_name(w->c, p, NAME_LEN, name);
    text_xml(w->out, name);
    fprintf(w->out, "\" time=\"%.9f\"", is_timed(p) ? p->time.time_us[1] * 1e-6 : 0);
    if (matters <= MATTERS_UNSURE)
        junit_outcome(w, p, matters);
    else if (p->state == POINT_NOT_OK)
        fputs(">\n    <skipped message=\"ok on neither side\"/>\n  </testcase>\n", w->out);
    else
        fputs("/>\n", w->out);
}

status_t compare_junit(const comparison_t *c, const char *path) {
    whole_file_t file = {0};
    char words[2 * WORDS_LEN];
    status_t st = STATUS_OK;
    int skipped = 0;
    for (int i = 0; i < c->points_len; i++) {
        const matters_t matters = point_matters(c, &c->points[i]);
        skipped += matters == MATTERS_MISSING || matters == MATTERS_UNSURE ||
                   c->points[i].state == POINT_NOT_OK;
    }
    TRY(whole_open_path(path, &file));
    writer_t w = {c, file.file, 0};
    comparison_summary(c, words, sizeof words);
    fprintf(w.out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<testsuite name=\"blroof compare\" tests=\"%d\" failures=\"%d\" errors=\"0\" "
            "skipped=\"%d\">\n  <properties>\n    <property name=\"verdict\" value=\"%s\"/>\n"
            "    <property name=\"summary\" value=\"",
            c->points_len, c->regressions, skipped, verdict_name(c->verdict));
    text_xml(w.out, words);
    fputs("\"/>\n  </properties>\n", w.out);
    for (int i = 0; i < c->points_len; i++) junit_case(&w, &c->points[i]);
    fputs("</testsuite>\n", w.out);
cleanup:
    return whole_close(&file, st);
}

/* ---- JSON ---- */

static void json_text(const writer_t *w, const char *name, const char *value) {
    fprintf(w->out, "\"%s\": ", name);
    text_json(w->out, value);
    fputs(", ", w->out);
}

static void json_number(const writer_t *w, const char *name, double value) {
    fprintf(w->out, "\"%s\": ", name);
    number_json(w->out, value);
    fputs(", ", w->out);
}

static void json_note(void *ctx, const char *text) {
    writer_t *w = ctx;
    if (w->notes++) fputs(", ", w->out);
    text_json(w->out, text);
}

static void json_side(const writer_t *w, const char *name, const side_t *side) {
    fprintf(w->out, "  \"%s\": {", name);
    json_text(w, "path", side->path);
    json_text(w, "run_id", side_fact(side, "run_id"));
    json_text(w, "utc", side_fact(side, "utc"));
    json_text(w, "git", side_fact(side, "git"));
    json_text(w, "git_dirty", side_fact(side, "git_dirty"));
    json_text(w, "device_name", side_fact(side, "device_name"));
    fprintf(w->out, "\"processes\": %d},\n", side->len);
}

static void json_quantities(const writer_t *w, const compared_t *p) {
    static const char *const changes[] = {"none", "better", "worse"};
    fputs("\"quantities\": {", w->out);
    for (int q = 0, known = 0; q < QUANTITIES; q++) {
        const double base = point_quantity(w->c, p, SIDE_BASE, q);
        const double new = point_quantity(w->c, p, SIDE_NEW, q);
        if (isnan(base) && isnan(new)) continue;
        fprintf(w->out, "%s\"%s\": {", known++ ? ", " : "", EXACT_QUANTITY[q].column);
        json_number(w, "base", base);
        json_number(w, "new", new);
        fprintf(w->out, "\"change\": \"%s\"}", changes[p->changes[q]]);
    }
    fputs("}, ", w->out);
}

static void json_point(writer_t *w, const compared_t *p) {
    static const char *const states[POINT_STATES] = {"compared", "missing", "added",
                                                     "broken",   "mended",  "not_ok"};
    const bool timed = is_timed(p);
    fputs("    {", w->out);
    json_text(w, "workload", p->workload);
    json_text(w, "layer", p->layer);
    json_text(w, "structure", p->structure);
    json_text(w, "variant", p->variant);
    json_text(w, "dtype", p->dtype);
    json_text(w, "cache", p->cache);
    json_number(w, "tokens", p->tokens);
    json_number(w, "in_features", p->in_features);
    json_number(w, "out_features", p->out_features);
    json_number(w, "blocks", p->blocks);
    json_number(w, "rank", p->rank);
    json_text(w, "state", states[p->state]);
    if (p->state == POINT_COMPARED) json_text(w, "verdict", verdict_name(p->time.verdict));
    json_number(w, "ratio", timed ? p->time.ratio : NAN);
    json_number(w, "ratio_ci_low", timed ? p->time.ci_low : NAN);
    json_number(w, "ratio_ci_high", timed ? p->time.ci_high : NAN);
    json_number(w, "cycles_ratio", timed ? p->time.cycles_ratio : NAN);
    json_number(w, "base_us", timed ? p->time.time_us[0] : NAN);
    json_number(w, "new_us", timed ? p->time.time_us[1] : NAN);
    if (p->state == POINT_COMPARED) json_quantities(w, p);
    fputs("\"notes\": [", w->out);
    w->notes = 0;
    point_notes(w->c, p, json_note, w);
    fprintf(w->out, "], \"regression\": %s}", p->regression ? "true" : "false");
}

static void json_differences(const writer_t *w) {
    fputs("  \"differences\": [", w->out);
    for (int i = 0; i < w->c->differences_len; i++) {
        const difference_t *d = &w->c->differences[i];
        fputs(i ? ", {" : "{", w->out);
        json_text(w, "what", d->name);
        json_text(w, "base", d->of[0]);
        fputs("\"new\": ", w->out);
        text_json(w->out, d->of[1]);
        putc('}', w->out);
    }
    fputs("],\n", w->out);
}

status_t compare_json(const comparison_t *c, const char *path) {
    whole_file_t file = {0};
    char words[2 * WORDS_LEN];
    status_t st = STATUS_OK;
    TRY(whole_open_path(path, &file));
    writer_t w = {c, file.file, 0};
    comparison_summary(c, words, sizeof words);
    fputs("{\n  ", w.out);
    json_text(&w, "verdict", verdict_name(c->verdict));
    json_text(&w, "summary", words);
    json_number(&w, "regressions", c->regressions);
    json_number(&w, "mean_ratio", c->mean_ratio);
    json_number(&w, "threshold", c->rules.threshold);
    json_number(&w, "floor_us", c->rules.floor_us);
    json_number(&w, "noise", c->rules.noise);
    json_number(&w, "noise_measured", c->noise);
    putc('\n', w.out);
    json_side(&w, "base", &c->sides[SIDE_BASE]);
    json_side(&w, "new", &c->sides[SIDE_NEW]);
    json_differences(&w);
    fputs("  \"points\": [\n", w.out);
    for (int i = 0; i < c->points_len; i++) {
        json_point(&w, &c->points[i]);
        fputs(i + 1 < c->points_len ? ",\n" : "\n", w.out);
    }
    fputs("  ]\n}\n", w.out);
cleanup:
    return whole_close(&file, st);
}
