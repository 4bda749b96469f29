#include "harness/list.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 4096, SHOWN = 80 };
static const int64_t MAX_VALUE = (int64_t)1 << 40;

typedef struct {
    const char *text, *at;
    int_list_t *list;
} parser_t;

static status_t list_fail(const parser_t *p, const char *expected) {
    return fail(STATUS_USAGE, "list \"%.*s\", character %d: expected %s", SHOWN, p->text,
                (int)(p->at - p->text) + 1, expected);
}

static status_t parse_value(parser_t *p, int64_t *value) {
    const char *start = p->at;
    *value = 0;
    for (; *p->at >= '0' && *p->at <= '9' && *value <= MAX_VALUE; p->at++)
        *value = *value * 10 + (*p->at - '0');
    if (p->at > start && *value >= 1 && *value <= MAX_VALUE) return STATUS_OK;
    p->at = start;
    return list_fail(p, "a whole number from 1 to 2^40");
}

static status_t append(parser_t *p, int64_t value) {
    int_list_t *list = p->list;
    for (int i = 0; i < list->count; i++)
        if (list->values[i] == value) return STATUS_OK;
    if (list->count == MAX_ITEMS) return list_fail(p, "at most 4096 values in all");
    list->values[list->count++] = value;
    return STATUS_OK;
}

/* One item: a value, FIRST..LASTxFACTOR or FIRST..LAST+STEP. */
static status_t parse_item(parser_t *p) {
    int64_t first, last, step;
    const char *start = p->at;
    status_t st = parse_value(p, &first);
    if (st != STATUS_OK) return st;
    if (strncmp(p->at, "..", 2) != 0) return append(p, first);
    p->at += 2;
    st = parse_value(p, &last);
    if (st != STATUS_OK) return st;
    const char kind = *p->at;
    if (kind != 'x' && kind != '+') return list_fail(p, "x and a factor, or + and a step");
    p->at++;
    const char *step_at = p->at;
    st = parse_value(p, &step);
    if (st != STATUS_OK) return st;
    const char *end = p->at;
    p->at = kind == 'x' && step < 2 ? step_at : start; /* where an error would be */
    if (p->at == step_at) return list_fail(p, "a factor of at least 2");
    if (first > last) return list_fail(p, "a range that rises");
    for (int64_t value = first; value <= last;) {
        st = append(p, value);
        if (st != STATUS_OK) return st;
        if (kind == 'x' && value > last / step) break; /* the product would pass last */
        value = kind == 'x' ? value * step : value + step;
    }
    p->at = end;
    return STATUS_OK;
}

status_t int_list_parse(const char *text, int_list_t *out) {
    status_t st;
    *out = (int_list_t){calloc(MAX_ITEMS, sizeof *out->values), 0};
    parser_t p = {text, text, out};
    if (!out->values) return fail(STATUS_OOM, "out of memory for a list");
    for (;;) {
        TRY(parse_item(&p));
        if (!*p.at) break;
        if (*p.at != ',') TRY(list_fail(&p, "a comma, \"..\" or the end"));
        p.at++;
    }
cleanup:
    if (st != STATUS_OK) int_list_free(out);
    return st;
}

void int_list_free(int_list_t *list) {
    free(list->values);
    *list = (int_list_t){0};
}

bool name_list_has(const char *list, const char *name) {
    if (!list) return true;
    const size_t len = strlen(name);
    for (;;) {
        const size_t item = strcspn(list, ",");
        if (item == len && item > 0 && !strncmp(list, name, len)) return true;
        if (!list[item]) return false;
        list += item + 1;
    }
}
