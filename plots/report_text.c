#include "plots/report_text.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *number_text(double value, char buffer[NUMBER_LEN]) {
    buffer[0] = '\0';
    if (!isfinite(value)) return buffer;
    snprintf(buffer, NUMBER_LEN, "%.2e", value); /* rounds: 99.96 has the exponent 2 */
    const double rounded = strtod(buffer, NULL);
    const int exponent = atoi(strchr(buffer, 'e') + 1);
    if (value == 0)
        snprintf(buffer, NUMBER_LEN, "0");
    else if (exponent >= -3 && exponent < 7)
        snprintf(buffer, NUMBER_LEN, "%.*f", exponent < 2 ? 2 - exponent : 0, rounded);
    return buffer;
}

/* ---- characters ---- */

static bool continues(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

int text_width(const char *text) {
    int width = 0;
    for (; *text; text++) width += !continues(*text);
    return width;
}

size_t text_bytes(const char *text, int width) {
    size_t i = 0;
    for (; text[i]; i++)
        if (!continues(text[i]) && width-- == 0) break;
    return i;
}

int text_break(const char *text, int width) {
    if (text_width(text) <= width) return text_width(text);
    size_t i = text_bytes(text, width);
    while (i > 0 && text[i] != ' ') i--;
    int taken = 0;
    for (size_t j = 0; j < i; j++) taken += !continues(text[j]);
    return taken > 0 ? taken : width;
}

void text_shorten(const char *text, int width, char *buffer, size_t len) {
    const int full = text_width(text);
    if (full <= width) {
        snprintf(buffer, len, "%s", text);
        return;
    }
    const int tail = (width - 1) / 2, head = width - 1 - tail;
    snprintf(buffer, len, "%.*s~%s", (int)text_bytes(text, head), text,
             text + text_bytes(text, full - tail));
}

static bool is_control(const char *c) {
    const unsigned char byte = (unsigned char)c[0], next = (unsigned char)c[1];
    return byte < 0x20 || byte == 0x7F || (byte == 0xC2 && next >= 0x80 && next < 0xA0);
}

void text_pad(FILE *out, const char *text, int width) {
    const size_t end = text_bytes(text, width);
    for (size_t i = 0; i < end; i++) {
        if (is_control(text + i)) {
            putc('?', out);
            if ((unsigned char)text[i] == 0xC2) i++;
        } else {
            putc(text[i], out);
        }
    }
    for (int i = text_width(text); i < width; i++) putc(' ', out);
}

void text_clean(char *text) {
    for (; *text; text++) {
        if (!is_control(text)) continue;
        if ((unsigned char)*text == 0xC2) *text++ = ' ';
        *text = ' ';
    }
}

void text_markdown(FILE *out, const char *text) {
    for (; *text; text++) {
        if (is_control(text)) {
            if ((unsigned char)*text == 0xC2) text++;
            putc(' ', out);
            continue;
        }
        if (*text == '<' || *text == '>') {
            fputs(*text == '<' ? "&lt;" : "&gt;", out);
            continue;
        }
        if (strchr("\\`*[]|~", *text)) putc('\\', out);
        putc(*text, out);
    }
}

void text_tsv(FILE *out, const char *text) {
    for (; *text; text++) {
        const bool blank = is_control(text) || *text == '"' || *text == '\'';
        if (blank && (unsigned char)*text == 0xC2) text++;
        putc(blank ? ' ' : *text, out);
    }
}

void number_tsv(FILE *out, double value) {
    if (isfinite(value)) fprintf(out, "%.9g", value);
}

/* Bytes of the character at text[0]; 0 if it is not UTF-8. */
static int sequence_len(const char *text) {
    const unsigned char *t = (const unsigned char *)text;
    const int len = t[0] < 0x80 ? 1 : t[0] < 0xC2 ? 0 : t[0] < 0xE0 ? 2 : t[0] < 0xF0 ? 3 : 4;
    if (t[0] > 0xF4) return 0;
    for (int i = 1; i < len; i++)
        if (!continues(text[i])) return 0;
    const bool overlong = (t[0] == 0xE0 && t[1] < 0xA0) || (t[0] == 0xF0 && t[1] < 0x90);
    const bool surrogate = t[0] == 0xED && t[1] >= 0xA0, beyond = t[0] == 0xF4 && t[1] >= 0x90;
    return overlong || surrogate || beyond ? 0 : len;
}

void text_json(FILE *out, const char *text) {
    putc('"', out);
    while (*text) {
        const int len = sequence_len(text);
        if (len == 0)
            putc('?', out);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\u%04x", (unsigned)*text);
        else
            fwrite(text, 1, (size_t)len, out);
        text += len > 0 ? len : 1;
    }
    putc('"', out);
}

void number_json(FILE *out, double value) {
    if (isfinite(value))
        fprintf(out, "%.15g", value);
    else
        fputs("null", out);
}

void text_xml(FILE *out, const char *text) {
    static const struct {
        char character;
        const char *entity;
    } entities[] = {
        {'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&apos;"}};
    while (*text) {
        const int len = sequence_len(text);
        const bool forbidden = len == 0 || is_control(text) || !strncmp(text, "\xEF\xBF\xBE", 3) ||
                               !strncmp(text, "\xEF\xBF\xBF", 3);
        const char *entity = NULL;
        for (size_t i = 0; i < sizeof entities / sizeof *entities; i++)
            if (*text == entities[i].character) entity = entities[i].entity;
        if (forbidden)
            putc('?', out);
        else if (entity)
            fputs(entity, out);
        else
            fwrite(text, 1, (size_t)len, out);
        text += len > 0 ? len : 1;
    }
}

/* ---- files ---- */

status_t make_directory(const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST) return STATUS_OK;
    return fail(STATUS_IO, "cannot make the directory %s: %s", path, strerror(errno));
}

status_t whole_open(const char *dir, const char *name, whole_file_t *w) {
    *w = (whole_file_t){0};
    const int len = snprintf(w->path, sizeof w->path, "%s/%s", dir, name);
    if (len >= (int)sizeof w->path) return fail(STATUS_USAGE, "the path %s/... is too long", dir);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", w->path);
    w->file = fopen(w->temporary, "w");
    if (!w->file) return fail(STATUS_IO, "cannot write %s: %s", w->temporary, strerror(errno));
    return STATUS_OK;
}

status_t whole_open_path(const char *path, whole_file_t *w) {
    char dir[sizeof w->path];
    const char *slash = strrchr(path, '/');
    if (!slash) return whole_open(".", path, w);
    if (slash - path >= (int)sizeof dir) return fail(STATUS_USAGE, "the path %s is too long", path);
    snprintf(dir, sizeof dir, "%.*s", (int)(slash - path), path);
    return whole_open(dir, slash + 1, w); /* "" for the root: "/name" */
}

status_t whole_close(whole_file_t *w, status_t st) {
    if (!w->file) return st;
    const bool failed = ferror(w->file);
    errno = 0;
    if ((fclose(w->file) != 0 || failed) && st == STATUS_OK)
        st = fail(STATUS_IO, "cannot write %s: %s", w->temporary,
                  errno ? strerror(errno) : "write error");
    if (st == STATUS_OK && rename(w->temporary, w->path) != 0)
        st = fail(STATUS_IO, "cannot rename %s: %s", w->temporary, strerror(errno));
    if (st != STATUS_OK) unlink(w->temporary);
    w->file = NULL;
    return st;
}
