#include "plots/svg.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plots/report_text.h"

/* NULL where it cannot, and the error says why: STATUS_IO. */
static char *read_whole(const char *path) {
    FILE *file = fopen(path, "r");
    char *text = NULL;
    size_t size = 0;
    if (!file) {
        fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        return NULL;
    }
    const bool empty = getdelim(&text, &size, '\0', file) < 0;
    fclose(file);
    if (!empty) return text;
    fail(STATUS_IO, "cannot read %s: it is empty", path);
    free(text);
    return NULL;
}

static bool starts(const char *text, const char *with) {
    return !strncmp(text, with, strlen(with));
}

/* Behind the next `end`; the end of the text if there is none. */
static const char *behind(const char *text, const char *end) {
    const char *at = strstr(text, end);
    return at ? at + strlen(end) : text + strlen(text);
}

/* <g onmousemove="gnuplot_svg.showHypertext(evt,'TEXT')" onmouseout="..."><title>...</title> */
static const char *copy_hypertext(const char *at, FILE *out) {
    const char *text = behind(at, "(evt,'"), *end = strstr(text, "')\"");
    if (!end) return at + strlen(at);
    fprintf(out, "<g><title>%.*s</title>", (int)(end - text), text);
    at = behind(end, ">");
    return starts(at, "<title>") ? behind(at, "</title>") : at;
}

static void tidy(const char *at, FILE *out) {
    while (*at) {
        if (starts(at, "<g onmousemove=\"gnuplot_svg.showHypertext("))
            at = copy_hypertext(at, out);
        else if (starts(at, "<title>"))
            at = behind(at, "</title>");
        else if (starts(at, "<desc>"))
            at = behind(at, "</desc>");
        else
            putc(*at++, out);
    }
}

status_t svg_tidy(const char *path) {
    const char *slash = strrchr(path, '/');
    char dir[1280];
    whole_file_t w;
    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    char *const text = read_whole(path);
    if (!text) return STATUS_IO;
    status_t st = whole_open(dir, slash ? slash + 1 : path, &w);
    if (st == STATUS_OK) {
        tidy(text, w.file);
        st = whole_close(&w, STATUS_OK);
    }
    free(text);
    return st;
}

status_t svg_inline(const char *path, const char *prefix, FILE *out) {
    static const char *const before_id[] = {" id='", " id=\"", "href='#", "href=\"#", "url(#"};
    char *const text = read_whole(path);
    if (!text) return STATUS_IO;
    const char *at = strstr(text, "<svg");
    for (bool background = true; at && *at;) {
        size_t i = 0;
        while (i < sizeof before_id / sizeof *before_id && !starts(at, before_id[i])) i++;
        if (i < sizeof before_id / sizeof *before_id) {
            fprintf(out, "%s%s", before_id[i], prefix);
            at += strlen(before_id[i]);
        } else if (background && starts(at, "<rect ")) {
            background = false;
            at = behind(at, "/>");
        } else {
            putc(*at++, out);
        }
    }
    putc('\n', out);
    free(text);
    return STATUS_OK;
}
