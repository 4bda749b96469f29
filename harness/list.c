#include "harness/list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_VALUES = 4096 };
static const int64_t MAX_VALUE = (int64_t)1 << 40;

static status_t bad(const char *text, const char *at, const char *what) {
    return fail(STATUS_USAGE, "list '%.60s': %s at character %d", text, what, (int)(at - text) + 1);
}

static status_t parse_value(const char *text, const char **at, int64_t *value) {
    if (**at < '0' || **at > '9') return bad(text, *at, "a number was expected");
    char *end;
    errno = 0;
    const long long number = strtoll(*at, &end, 10);
    if (errno || number > MAX_VALUE) return bad(text, *at, "the number is too large");
    if (number < 1) return bad(text, *at, "the number must be at least 1");
    *at = end;
    *value = number;
    return STATUS_OK;
}

static status_t append(const char *text, const char *at, int64_t value, int_list_t *list) {
    for (int i = 0; i < list->count; i++)
        if (list->values[i] == value) return STATUS_OK;
    if (list->count == MAX_VALUES) return bad(text, at, "there are more than 4096 values");
    list->values[list->count++] = value;
    return STATUS_OK;
}

/* FIRST, FIRST..LASTxFACTOR or FIRST..LAST+STEP */
static status_t parse_item(const char *text, const char **at, int_list_t *list) {
    const char *start = *at;
    int64_t first, last, step;
    status_t st = parse_value(text, at, &first);
    if (st != STATUS_OK) return st;
    if (strncmp(*at, "..", 2)) return append(text, start, first, list);
    *at += 2;
    st = parse_value(text, at, &last);
    if (st != STATUS_OK) return st;
    const char kind = **at;
    if (kind != 'x' && kind != '+') return bad(text, *at, "xFACTOR or +STEP was expected");
    const char *step_at = ++*at;
    st = parse_value(text, at, &step);
    if (st != STATUS_OK) return st;
    if (last < first) return bad(text, start, "the range runs backwards");
    if (kind == 'x' && step < 2) return bad(text, step_at, "the factor must be at least 2");
    for (int64_t v = first; v <= last && st == STATUS_OK; v = kind == 'x' ? v * step : v + step)
        st = append(text, start, v, list);
    return st;
}

status_t int_list_parse(const char *text, int_list_t *out) {
    *out = (int_list_t){.values = malloc(MAX_VALUES * sizeof(int64_t))};
    if (!out->values) return fail(STATUS_OOM, "out of host memory");
    const char *at = text;
    status_t st = parse_item(text, &at, out);
    while (st == STATUS_OK && *at == ',') {
        at++;
        st = parse_item(text, &at, out);
    }
    if (st == STATUS_OK && *at) st = bad(text, at, "a comma was expected");
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
    for (const char *at = list; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, name, len) && (at[len] == ',' || !at[len])) return true;
    }
    return false;
}
