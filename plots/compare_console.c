#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plots/compare_report.h"
#include "plots/compare_words.h"
#include "plots/report_text.h"

enum { LINE = 100, INDENT = 2, RATIO = 6, INTERVAL = 13, TIME = 8, NOTE_INDENT = 6 };
enum { NUMBERS = RATIO + INTERVAL + 2 * TIME, NAME_WIDTH = LINE - INDENT - NUMBERS - 2 };

typedef struct {
    const comparison_t *c;
    FILE *out;
    bool colour;
} console_t;

static const char BOLD[] = "\033[1m", DIM[] = "\033[2m", YELLOW[] = "\033[33m", RED[] = "\033[31m",
                  GREEN[] = "\033[32m", RESET[] = "\033[0m";

static void style(const console_t *k, const char *code) {
    if (k->colour) fputs(code, k->out);
}

static const char *colour_of(matters_t matters) {
    if (matters <= MATTERS_WORSE) return RED;
    if (matters <= MATTERS_UNSURE) return YELLOW;
    return matters == MATTERS_FASTER || matters == MATTERS_MENDED ? GREEN : "";
}

/* Broken into lines, those after the first indented. */
static void print_text(const console_t *k, const char *text, int indent) {
    const int room = LINE - indent;
    for (;;) {
        const int taken = text_break(text, room);
        text_pad(k->out, text, taken);
        putc('\n', k->out);
        text += text_bytes(text, taken);
        while (*text == ' ') text++;
        if (!*text) return;
        fprintf(k->out, "%*s", indent, "");
    }
}

static void print_note(void *ctx, const char *text) {
    const console_t *k = ctx;
    style(k, DIM);
    fprintf(k->out, "%*s", NOTE_INDENT, "");
    print_text(k, text, NOTE_INDENT);
    style(k, RESET);
}

static void print_time(const console_t *k, double time_us) {
    char number[NUMBER_LEN];
    fprintf(k->out, "%*s", TIME, number_text(time_us, number));
}

static void print_point(const console_t *k, const compared_t *p) {
    char name[NAME_LEN], interval[64] = "";
    if (p->state == POINT_COMPARED && p->time.ratio > 0) {
        snprintf(interval, sizeof interval, "%.3f-%.*f", p->time.ci_low,
                 p->time.ci_high < 10 ? 3 : 0, p->time.ci_high);
        fprintf(k->out, "%*s%*.3f%*s", INDENT, "", RATIO, p->time.ratio, INTERVAL, interval);
        print_time(k, p->time.time_us[0]);
        print_time(k, p->time.time_us[1]);
    } else {
        fprintf(k->out, "%*s", INDENT + NUMBERS, "");
    }
    point_name(k->c, p, NAME_WIDTH, name);
    fputs("  ", k->out);
    text_pad(k->out, name, text_width(name));
    putc('\n', k->out);
    point_notes(k->c, p, print_note, (void *)k);
}

/* Points of one importance that are shown; the rest is counted. */
static int shown_of(matters_t matters) {
    return matters <= MATTERS_WORSE ? 20 : matters <= MATTERS_UNSURE ? 10 : 5;
}

static void print_group(const console_t *k, const compared_t *const *points, int count,
                        matters_t matters) {
    const int shown = count < shown_of(matters) ? count : shown_of(matters);
    style(k, colour_of(matters));
    fprintf(k->out, "%s", matters_label(matters));
    style(k, RESET);
    fprintf(k->out, "%s: %d\n", matters_remark(matters), count);
    for (int i = 0; i < shown; i++) print_point(k, points[i]);
    if (shown < count)
        fprintf(k->out, "%*s... and %d more: --markdown or --json lists them\n", INDENT, "",
                count - shown);
}

static void print_points(const console_t *k, const compared_t *const *points) {
    const int count = k->c->points_len;
    if (count == 0 || point_matters(k->c, points[0]) == MATTERS_NOT) return;
    style(k, BOLD);
    fprintf(k->out, "\n%*s%*s%*s%*s%*s  point\n", INDENT, "", RATIO, "ratio", INTERVAL, "95 %",
            TIME, "base us", TIME, "new us");
    style(k, RESET);
    for (int first = 0, next; first < count; first = next) {
        const matters_t matters = point_matters(k->c, points[first]);
        if (matters == MATTERS_NOT) break;
        for (next = first; next < count && point_matters(k->c, points[next]) == matters;) next++;
        print_group(k, points + first, next - first, matters);
    }
}

static void print_sides(const console_t *k) {
    static const char *const titles[] = {"BASE", "NEW"};
    char words[WORDS_LEN], line[WORDS_LEN + 1024];
    for (int side = 0; side < 2; side++) {
        side_words(&k->c->sides[side], words, sizeof words);
        snprintf(line, sizeof line, "%s: %s", k->c->sides[side].path, words);
        fprintf(k->out, "%-5s", titles[side]);
        print_text(k, line, 5);
    }
    fputs("on   ", k->out);
    print_text(k, side_fact(&k->c->sides[0], "device_name"), 5);
    gpus_words(k->c, words, sizeof words);
    if (*words) {
        fprintf(k->out, "%5s", "");
        print_text(k, words, 5);
    }
    for (int i = 0; i < k->c->differences_len; i++) {
        const difference_t *d = &k->c->differences[i];
        snprintf(line, sizeof line, "not comparable, forced: %s: %s and %s", d->name, d->of[0],
                 d->of[1]);
        style(k, YELLOW);
        print_text(k, line, 5);
        style(k, RESET);
    }
}

status_t compare_console(const comparison_t *c, FILE *out) {
    const char *no_colour = getenv("NO_COLOR");
    const console_t k = {c, out, isatty(fileno(out)) && !(no_colour && *no_colour)};
    char summary[2 * WORDS_LEN], line[3 * WORDS_LEN];
    const compared_t **points = points_by_matter(c);
    if (!points) return fail(STATUS_OOM, "out of host memory for the comparison");
    print_sides(&k);
    comparison_summary(c, summary, sizeof summary);
    snprintf(line, sizeof line, "%s: %s", verdict_name(c->verdict), summary);
    putc('\n', out);
    style(&k, BOLD);
    print_text(&k, line, 0);
    style(&k, RESET);
    if (!isnan(c->mean_ratio))
        fprintf(out, "time over all compared points, geometric mean: new/base %.4f\n",
                c->mean_ratio);
    print_points(&k, points);
    rules_words(c, line, sizeof line);
    putc('\n', out);
    style(&k, DIM);
    print_text(&k, line, 0);
    style(&k, RESET);
    free(points);
    return STATUS_OK;
}
