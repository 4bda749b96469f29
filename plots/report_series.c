/* The series of a report, few, so that looking through all of them does: their order, colours and
 * markers. */
#include <stdlib.h>
#include <string.h>

#include "plots/report_model.h"

static int series_of(const report_t *r, const point_row_t *row) {
    int s = 0;
    while (s < r->series_len && (strcmp(r->series[s].structure, row->structure) != 0 ||
                                 strcmp(r->series[s].variant, row->variant) != 0))
        s++;
    return s;
}

static status_t add_series(report_t *r, const point_row_t *row) {
    if (series_of(r, row) < r->series_len) return STATUS_OK;
    series_t *grown = realloc(r->series, (size_t)(r->series_len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for the report");
    r->series = grown;
    series_t *series = &grown[r->series_len++];
    *series = (series_t){.structure = row->structure,
                         .variant = row->variant,
                         .peer = row - r->points >= r->own_len};
    snprintf(series->label, sizeof series->label, "%s/%s", row->structure, row->variant);
    return STATUS_OK;
}

/* Okabe and Ito's palette, safe for colour-blind readers; these four keep their order and colour.
 */
static const struct {
    const char *structure;
    unsigned rgb;
} known[] = {
    {"dense", 0x000000}, {"lowrank", 0x0072B2}, {"monarch", 0xE69F00}, {"blast", 0x009E73}};

enum { KNOWN_LEN = sizeof known / sizeof *known };

static int known_index(const char *structure) {
    int i = 0;
    while (i < KNOWN_LEN && strcmp(known[i].structure, structure)) i++;
    return i;
}

static int compare_series(const void *left, const void *right) {
    const series_t *a = left, *b = right;
    const int first = known_index(a->structure) - known_index(b->structure);
    int order = strcmp(a->structure, b->structure);
    if (order == 0) order = (int)a->peer - (int)b->peer;
    return first ? first : order ? order : strcmp(a->variant, b->variant);
}

static void choose_colours(report_t *r) {
    static const unsigned others[] = {0xCC79A7, 0x56B4E9, 0xD55E00, 0xF0E442};
    size_t next = 0;
    for (int i = 0; i < r->series_len; i++) {
        series_t *s = &r->series[i];
        const int k = known_index(s->structure);
        if (i > 0 && !strcmp(s->structure, r->series[i - 1].structure))
            s->rgb = r->series[i - 1].rgb;
        else
            s->rgb =
                k < KNOWN_LEN ? known[k].rgb : others[next++ % (sizeof others / sizeof *others)];
    }
}

/* True if a series before i, of its structure, looks like i with this marker. */
static bool marker_taken(const report_t *r, int i, int marker) {
    for (int j = 0; j < i; j++)
        if (!strcmp(r->series[j].structure, r->series[i].structure) &&
            r->series[j].rgb == r->series[i].rgb && r->series[j].point_type == marker)
            return true;
    return false;
}

/* Half as light. */
static unsigned darker(unsigned rgb) {
    return rgb >> 1 & 0x7F7F7F;
}

/* A variant of one name has one marker whatever its structure, as far as the markers reach; beyond
 * that they come again in a darker tone. All are filled ones: hollow says that a point is modelled,
 * or timed by another tool. */
static void choose_markers(report_t *r) {
    static const int markers[] = {7, 9, 5, 13, 11, 15};
    enum { MARKERS = sizeof markers / sizeof *markers };
    int used = 0, hollow = 0;
    for (int i = 0; i < r->series_len; i++) {
        int j = 0;
        if (r->series[i].peer) {
            r->series[i].point_type = markers[hollow++ % MARKERS] - 1;
            continue;
        }
        while (strcmp(r->series[j].variant, r->series[i].variant)) j++;
        const int of_name = j < i ? r->series[j].point_type : 0;
        int marker = of_name;
        for (int k = 0; k < 2 * MARKERS && (!marker || marker_taken(r, i, marker)); k++) {
            if (k == MARKERS) r->series[i].rgb = darker(r->series[i].rgb);
            marker = k == MARKERS && of_name ? of_name : markers[used++ % MARKERS];
        }
        r->series[i].point_type = marker;
    }
}

status_t report_place_series(report_t *r) {
    for (int i = 0; i < r->points_len; i++) {
        const status_t st = add_series(r, &r->points[i]);
        if (st != STATUS_OK) return st;
    }
    if (r->series_len > 0)
        qsort(r->series, (size_t)r->series_len, sizeof *r->series, compare_series);
    for (int i = 0; i < r->points_len; i++) r->places[i].series = series_of(r, &r->points[i]);
    choose_colours(r);
    choose_markers(r);
    return STATUS_OK;
}
