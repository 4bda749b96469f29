#include "results/csv_table.h"

#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 65536, MAX_FILE_COLUMNS = 256, BLOCK = 65536 };

void row_clear(const table_t *table, void *row) {
    memset(row, 0, table->row_size);
    for (int i = 0; i < table->count; i++)
        if (table->columns[i].type != CELL_TEXT)
            *(double *)((char *)row + table->columns[i].offset) = NAN;
}

void row_set_text(char cell[TEXT_LEN], const char *format, ...) {
    char text[4 * TEXT_LEN]; /* the arguments may point into the cell */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t len = strlen(text);
    if (len >= TEXT_LEN) {
        len = TEXT_LEN - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80) len--;
    }
    for (size_t i = 0; i < len; i++)
        cell[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    cell[len] = '\0';
}

const char *cell_text(const column_t *column, const void *row, char *buffer, size_t len) {
    const char *cell = (const char *)row + column->offset;
    if (column->type == CELL_TEXT) {
        snprintf(buffer, len, "%s", cell);
        return buffer;
    }
    const double value = *(const double *)(const void *)cell;
    if (isnan(value))
        buffer[0] = '\0';
    else
        snprintf(buffer, len, column->type == CELL_COUNT ? "%.0f" : "%.7g", value);
    return buffer;
}

/* ---- writing ---- */

static status_t flush(FILE *file, const char *path) {
    if (fflush(file) == 0 && !ferror(file)) return STATUS_OK;
    return fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}

status_t table_write_header(const table_t *table, FILE *file, const char *path) {
    for (int i = 0; i < table->count; i++)
        fprintf(file, "%s%s", i ? "," : "", table->columns[i].name);
    fputc('\n', file);
    return flush(file, path);
}

status_t table_write_row(const table_t *table, FILE *file, const char *path, const void *row) {
    char text[TEXT_LEN];
    for (int i = 0; i < table->count; i++) {
        if (i) fputc(',', file);
        cell_text(&table->columns[i], row, text, sizeof text);
        if (strpbrk(text, ",\" "))
            csv_fwrite(file, text, strlen(text));
        else
            fputs(text, file);
    }
    fputc('\n', file);
    return flush(file, path);
}

/* ---- reading ---- */

typedef struct {
    const table_t *table;
    const char *path;
    bool need_all, header_done;
    row_visit_t visit;
    void *ctx;
    status_t st;
    int line, row_line;              /* now, and where the row under way began */
    int field;                       /* of the row under way, from 0 */
    int fields;                      /* in the header */
    int column_of[MAX_FILE_COLUMNS]; /* schema column of each field, or -1 */
    size_t line_bytes;               /* since the last newline */
    void *row;
} reader_t;

static status_t bad_cell(const reader_t *r, const char *what) {
    const int column = r->field < r->fields ? r->column_of[r->field] : -1;
    if (column >= 0)
        return fail(STATUS_USAGE, "%s:%d:%s: %s", r->path, r->row_line,
                    r->table->columns[column].name, what);
    return fail(STATUS_USAGE, "%s:%d:%d: %s", r->path, r->row_line, r->field + 1, what);
}

static status_t read_header_cell(reader_t *r, const char *text, size_t len) {
    if (r->field >= MAX_FILE_COLUMNS) return bad_cell(r, "too many columns");
    r->column_of[r->field] = -1;
    for (int i = 0; i < r->table->count; i++) {
        const char *name = r->table->columns[i].name;
        if (strlen(name) != len || memcmp(name, text, len)) continue;
        for (int f = 0; f < r->field; f++)
            if (r->column_of[f] == i) return bad_cell(r, "this column stands twice in the header");
        r->column_of[r->field] = i;
    }
    return STATUS_OK;
}

static status_t end_header(reader_t *r) {
    r->fields = r->field;
    r->header_done = true;
    int found = 0;
    for (int i = 0; i < r->table->count; i++) {
        bool here = false;
        for (int f = 0; f < r->fields; f++) here |= r->column_of[f] == i;
        found += here;
        if (!here && r->need_all)
            return fail(STATUS_USAGE, "%s:1: column '%s' is missing from the header", r->path,
                        r->table->columns[i].name);
    }
    if (found == 0) return fail(STATUS_USAGE, "%s:1: none of the columns is known", r->path);
    return STATUS_OK;
}

static status_t parse_number(reader_t *r, const column_t *column, const char *text, size_t len) {
    double *value = (double *)(void *)((char *)r->row + column->offset);
    char *end;
    *value = NAN;
    if (len == 0) return STATUS_OK;
    const size_t allowed = strspn(text, "0123456789+-.eE");
    errno = 0;
    const double number = strtod(text, &end);
    if (allowed != len || end != text + len || text[0] == '+')
        return bad_cell(r, "this is not a number");
    if (column->type == CELL_COUNT && number < 0)
        return bad_cell(r, "this number must not be negative");
    if (!isfinite(number) || (column->type == CELL_COUNT && number > 0x1p53))
        return bad_cell(r, "this number is too large");
    if (column->type == CELL_COUNT && number != floor(number))
        return bad_cell(r, "this must be a whole number");
    *value = number;
    return STATUS_OK;
}

static status_t read_cell(reader_t *r, const char *text, size_t len) {
    if (r->field >= r->fields) return bad_cell(r, "the row has more columns than the header");
    const int index = r->column_of[r->field];
    if (len >= TEXT_LEN) return bad_cell(r, "the cell is too long (191 bytes at most)");
    if (index < 0) return STATUS_OK;
    const column_t *column = &r->table->columns[index];
    if (column->type != CELL_TEXT) return parse_number(r, column, text, len);
    memcpy((char *)r->row + column->offset, text, len + 1);
    return STATUS_OK;
}

static void on_cell(void *text, size_t len, void *ctx) {
    reader_t *r = ctx;
    if (r->st != STATUS_OK) return;
    r->st = r->header_done ? read_cell(r, text, len) : read_header_cell(r, text, len);
    r->field++;
}

static void on_row(int terminator, void *ctx) {
    (void)terminator;
    reader_t *r = ctx;
    if (r->st != STATUS_OK) return;
    if (!r->header_done) {
        r->st = end_header(r);
    } else if (r->field < r->fields) {
        r->st = bad_cell(r, "the row ends here: it has fewer columns than the header");
    } else {
        r->st = r->visit(r->ctx, r->row, r->row_line);
        row_clear(r->table, r->row);
    }
    r->field = 0;
    r->row_line = r->line;
}

/* One byte at a time, so that an error knows its line. */
static status_t feed(reader_t *r, struct csv_parser *parser, unsigned char byte) {
    if (byte == 0) return bad_cell(r, "there is a NUL byte: this is not a CSV file");
    if (++r->line_bytes > MAX_LINE) return bad_cell(r, "the line is longer than 65536 bytes");
    if (byte == '\n') {
        r->line++;
        r->line_bytes = 0;
    }
    if (csv_parse(parser, &byte, 1, on_cell, on_row, r) != 1)
        return csv_error(parser) == CSV_EPARSE ? bad_cell(r, "a quote stands where none may")
                                               : fail(STATUS_OOM, "out of host memory");
    if (byte == '\n' && r->field == 0 && !parser->quoted && parser->entry_pos == 0)
        r->row_line = r->line; /* a blank line, or the \n of \r\n */
    return r->st;
}

static status_t feed_file(reader_t *r, struct csv_parser *parser, FILE *file) {
    unsigned char *block = malloc(BLOCK);
    if (!block) return fail(STATUS_OOM, "out of host memory");
    status_t st = STATUS_OK;
    size_t len;
    bool first = true;
    while (st == STATUS_OK && (len = fread(block, 1, BLOCK, file)) > 0) {
        const size_t bom = first && len >= 3 && !memcmp(block, "\xef\xbb\xbf", 3) ? 3 : 0;
        first = false;
        for (size_t i = bom; st == STATUS_OK && i < len; i++) st = feed(r, parser, block[i]);
    }
    free(block);
    if (st == STATUS_OK && ferror(file))
        st = fail(STATUS_IO, "cannot read %s: %s", r->path, strerror(errno));
    return st;
}

status_t table_read(const table_t *table, const char *path, bool need_all, row_visit_t visit,
                    void *ctx) {
    reader_t *r = calloc(1, sizeof *r);
    struct csv_parser parser;
    FILE *file = NULL;
    status_t st = STATUS_OK;
    if (!r || csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0) {
        free(r);
        return fail(STATUS_OOM, "out of host memory");
    }
    *r = (reader_t){.table = table,
                    .path = path,
                    .need_all = need_all,
                    .visit = visit,
                    .ctx = ctx,
                    .line = 1,
                    .row_line = 1,
                    .row = malloc(table->row_size)};
    file = fopen(path, "r");
    if (!file) {
        st = fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    if (!r->row) {
        st = fail(STATUS_OOM, "out of host memory");
        goto cleanup;
    }
    row_clear(table, r->row);
    TRY(feed_file(r, &parser, file));
    if (csv_fini(&parser, on_cell, on_row, r) != 0)
        st = bad_cell(r, "a quote that opens in this row is not closed");
    else
        st = r->st;
    if (st == STATUS_OK && !r->header_done)
        st = fail(STATUS_USAGE, "%s:1: the file is empty: a header was expected", path);
cleanup:
    csv_free(&parser);
    if (file) fclose(file);
    free(r->row);
    free(r);
    return st;
}

status_t table_complete_bytes(const char *path, long *bytes) {
    FILE *file = fopen(path, "r");
    if (!file) return fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    bool quoted = false;
    long at = 0;
    *bytes = 0;
    for (int c; (c = getc_unlocked(file)) != EOF;) {
        at++;
        if (c == '"') quoted = !quoted;
        if (c == '\n' && !quoted) *bytes = at;
    }
    const bool failed = ferror(file);
    fclose(file);
    return failed ? fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno)) : STATUS_OK;
}
