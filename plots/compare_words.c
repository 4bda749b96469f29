#include "plots/compare_words.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"

enum { LAYER_MIN = 8 };

/* ---- plans ---- */

/* The plans a side ran, "a,b" where its processes chose differently. */
static void side_plans(const comparison_t *c, const compared_t *p, int side, char text[WORDS_LEN]) {
    text[0] = '\0';
    for (int k = 0; k < c->sides[side].len; k++) {
        const measured_t *m = &p->of[side][k];
        bool told = !m->status || !*m->plan;
        for (int before = 0; before < k && !told; before++)
            told = p->of[side][before].status && !strcmp(p->of[side][before].plan, m->plan);
        const size_t used = strlen(text);
        if (!told) snprintf(text + used, WORDS_LEN - used, "%s%s", used ? "," : "", m->plan);
    }
}

static bool plans_differ(const comparison_t *c, const compared_t *p, char plans[2][WORDS_LEN]) {
    if (p->state != POINT_COMPARED) return false;
    for (int side = 0; side < 2; side++) side_plans(c, p, side, plans[side]);
    return strcmp(plans[0], plans[1]) != 0;
}

/* ---- what matters ---- */

matters_t point_matters(const comparison_t *c, const compared_t *p) {
    char plans[2][WORDS_LEN];
    switch (p->state) {
    case POINT_BROKEN:
        return MATTERS_BROKEN;
    case POINT_MISSING:
        return MATTERS_MISSING;
    case POINT_ADDED:
        return MATTERS_ADDED;
    case POINT_MENDED:
        return MATTERS_MENDED;
    case POINT_COMPARED:
        break;
    default:
        return MATTERS_NOT;
    }
    if (p->time.verdict == VERDICT_SLOWER) return MATTERS_SLOWER;
    if (p->regression) return MATTERS_WORSE;
    if (p->time.verdict == VERDICT_INCONCLUSIVE)
        return p->time.may_be_slower ? MATTERS_UNSURE : MATTERS_UNSURE_FASTER;
    if (p->time.verdict == VERDICT_FASTER) return MATTERS_FASTER;
    bool changed = plans_differ(c, p, plans);
    for (int q = 0; q < QUANTITIES; q++) changed = changed || p->changes[q] != CHANGE_NONE;
    return changed ? MATTERS_CHANGED : MATTERS_NOT;
}

const char *matters_label(matters_t matters) {
    static const char *const labels[] = {"BROKEN",       "SLOWER",       "WORSE",  "MISSING",
                                         "INCONCLUSIVE", "INCONCLUSIVE", "FASTER", "MENDED",
                                         "CHANGED",      "ADDED",        "SAME"};
    return labels[matters];
}

const char *matters_remark(matters_t matters) {
    static const char *const remarks[] = {" (not right)",
                                          "",
                                          " (more work than in BASE, or another problem)",
                                          " (not in NEW)",
                                          " (may be slower)",
                                          " (not slower)",
                                          "",
                                          " (not right in BASE)",
                                          " (same time)",
                                          " (not in BASE)",
                                          ""};
    return remarks[matters];
}

typedef struct {
    const compared_t *point;
    matters_t matters;
    double change;
} ranked_t;

static int compare_ranked(const void *left, const void *right) {
    const ranked_t *a = left, *b = right;
    if (a->matters != b->matters) return (int)a->matters - (int)b->matters;
    if (a->change != b->change) return a->change < b->change ? 1 : -1;
    return (a->point > b->point) - (a->point < b->point); /* as in the file */
}

const compared_t **points_by_matter(const comparison_t *c) {
    const size_t count = (size_t)c->points_len;
    ranked_t *ranked = malloc((count + 1) * sizeof *ranked);
    const compared_t **points = malloc((count + 1) * sizeof(const void *));
    for (int i = 0; ranked && i < c->points_len; i++) {
        const compared_t *p = &c->points[i];
        ranked[i] = (ranked_t){p, point_matters(c, p), 0};
        const bool timed = p->state == POINT_COMPARED && p->time.ratio > 0;
        if (timed && ranked[i].matters != MATTERS_NOT) ranked[i].change = fabs(log(p->time.ratio));
    }
    if (ranked) qsort(ranked, count, sizeof *ranked, compare_ranked);
    for (int i = 0; ranked && points && i < c->points_len; i++) points[i] = ranked[i].point;
    if (!ranked) {
        free(points);
        points = NULL;
    }
    free(ranked);
    return points;
}

/* ---- words ---- */

void point_name(const comparison_t *c, const compared_t *p, int width, char name[NAME_LEN]) {
    char layer[TEXT_LEN], rest[NAME_LEN - TEXT_LEN], blocks[32] = "", rank[32] = "";
    if (p->blocks > 1) snprintf(blocks, sizeof blocks, " b=%.0f", p->blocks);
    if (!isnan(p->rank)) snprintf(rank, sizeof rank, " r=%.0f", p->rank);
    snprintf(rest, sizeof rest, "%s/%s n=%.0f%s%s%s%s", p->structure, p->variant, p->tokens, blocks,
             rank, c->several_dtypes ? " " : "", c->several_dtypes ? p->dtype : "");
    const int room = width - 1 - text_width(rest);
    text_shorten(p->layer, room > LAYER_MIN ? room : LAYER_MIN, layer, sizeof layer);
    snprintf(name, NAME_LEN, "%s %s", layer, rest);
}

static void status_note(const comparison_t *c, const compared_t *p, char text[WORDS_LEN]) {
    const measured_t *base = point_row(c, p, SIDE_BASE), *new = point_row(c, p, SIDE_NEW);
    const measured_t *told = new ? new : base;
    snprintf(text, WORDS_LEN, "%s -> %s%s%s", base ? base->status : "not there",
             new ? new->status : "not there", told && *told->reason ? ": " : "",
             told ? told->reason : "");
}

void point_notes(const comparison_t *c, const compared_t *p, void (*note)(void *, const char *),
                 void *ctx) {
    char text[WORDS_LEN], plans[2][WORDS_LEN];
    if (p->state != POINT_COMPARED) {
        status_note(c, p, text);
        note(ctx, text);
        return;
    }
    if (*p->time.reason) note(ctx, p->time.reason);
    for (int q = 0; q < QUANTITIES; q++) {
        const double base = point_quantity(c, p, SIDE_BASE, q);
        const double new = point_quantity(c, p, SIDE_NEW, q);
        if (p->changes[q] == CHANGE_NONE) continue;
        snprintf(text, sizeof text, "%s: %.0f -> %.0f (%+.3g %%)", EXACT_QUANTITY[q].text, base,
                 new, 100 * (new / base - 1));
        note(ctx, text);
    }
    if (plans_differ(c, p, plans)) {
        snprintf(text, sizeof text, "plan: %.180s -> %.180s", *plans[0] ? plans[0] : "none",
                 *plans[1] ? plans[1] : "none");
        note(ctx, text);
    }
    const double clock = p->time.ratio > 0 ? p->time.cycles_ratio / p->time.ratio : NAN;
    if (p->time.verdict != VERDICT_SAME && fabs(clock - 1) > 0.01) {
        snprintf(text, sizeof text, "SM clock: x %.3f, so in cycles x %.3f", clock,
                 p->time.cycles_ratio);
        note(ctx, text);
    }
}

/* Appends "3 slower" after `separator`, if there are any. */
static void append_count(char *text, size_t len, int count, const char *what) {
    const size_t used = strlen(text);
    if (count == 0) return;
    snprintf(text + used, len - used, "%s%d %s", used ? ", " : "", count, what);
}

void comparison_summary(const comparison_t *c, char *text, size_t len) {
    char regressions[WORDS_LEN] = "", others[WORDS_LEN] = "";
    const int worse = c->regressions - c->verdicts[VERDICT_SLOWER] - c->states[POINT_BROKEN];
    append_count(regressions, sizeof regressions, c->states[POINT_BROKEN], "broken");
    append_count(regressions, sizeof regressions, c->verdicts[VERDICT_SLOWER], "slower");
    append_count(regressions, sizeof regressions, worse, "with more work or another problem");
    append_count(others, sizeof others, c->states[POINT_MISSING], "missing in NEW");
    append_count(others, sizeof others, c->verdicts[VERDICT_INCONCLUSIVE], "inconclusive");
    append_count(others, sizeof others, c->verdicts[VERDICT_FASTER], "faster");
    append_count(others, sizeof others, c->verdicts[VERDICT_SAME], "same");
    append_count(others, sizeof others, c->states[POINT_MENDED], "mended");
    append_count(others, sizeof others, c->states[POINT_ADDED], "only in NEW");
    append_count(others, sizeof others, c->states[POINT_NOT_OK], "ok on neither side");
    if (c->regressions)
        snprintf(text, len, "%d of %d points regress (%s)%s%s", c->regressions, c->points_len,
                 regressions, *others ? "; " : "", others);
    else
        snprintf(text, len, "of %d points %s", c->points_len, others);
}

void side_words(const side_t *side, char *text, size_t len) {
    const char *git = side_fact(side, "git"), *utc = side_fact(side, "utc");
    const bool dirty = !strcmp(side_fact(side, "git_dirty"), "yes");
    snprintf(text, len, "%d process%s%s%.10s%s%s%.20s", side->len, side->len > 1 ? "es" : "",
             *git ? ", commit " : "", git, dirty ? " with local changes" : "", *utc ? ", " : "",
             utc);
}

void gpus_words(const comparison_t *c, char *text, size_t len) {
    *text = '\0';
    if (c->other_gpus > 0)
        snprintf(text, len, "%d of the points were measured on another GPU in NEW than in BASE",
                 c->other_gpus);
}

void rules_words(const comparison_t *c, char *text, size_t len) {
    const compare_rules_t *r = &c->rules;
    char noise[96] = "";
    if (!isnan(c->noise))
        snprintf(noise, sizeof noise, ", the processes of BASE show %.2g %%", 100 * c->noise);
    snprintf(text, len,
             "SLOWER and FASTER: the 95 %% interval of new/base is beyond %.3g %%, holds among all "
             "points at once, and the change is at least %.3g us. SAME: the interval is within "
             "%.3g %%, or within that time. Noise between processes: stated %.3g %%%s.",
             100 * r->threshold, r->floor_us, 100 * (r->threshold + r->noise), 100 * r->noise,
             noise);
}
