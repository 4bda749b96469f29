#include "results/csv_table.h"

#include <csv.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LINE = 65536, MAX_COLUMNS = 1024, IO_BLOCK = 65536, SHOWN_LEN = 48 };

static const double COUNT_LIMIT = 9007199254740992.0; /* 2^53: above it doubles skip integers */

/* Where a scan stands: only quotes at the start of a cell make a newline part of the cell. */
typedef enum { AT_CELL_START, IN_PLAIN, IN_QUOTES, AFTER_QUOTE } scan_t;

static scan_t scan_step(scan_t scan, int c) {
    if (scan == IN_QUOTES) return c == '"' ? AFTER_QUOTE : IN_QUOTES;
    if (c == '"' && scan != IN_PLAIN) return IN_QUOTES;
    return c == ',' || c == '\n' ? AT_CELL_START : IN_PLAIN;
}

/* ---- rows and cells ---- */

void row_clear(const table_t *table, void *row) {
    memset(row, 0, table->row_size);
    for (int i = 0; i < table->count; i++)
        if (table->columns[i].type != CELL_TEXT)
            *(double *)(void *)((char *)row + table->columns[i].offset) = NAN;
}

/* Drops a last UTF-8 character that lost some of its bytes. */
static void trim_utf8(char *text, size_t len) {
    size_t lead = len;
    while (lead > 0 && len - lead < 3 && ((unsigned char)text[lead - 1] & 0xC0) == 0x80) lead--;
    if (lead == 0) return;
    const unsigned char byte = (unsigned char)text[lead - 1];
    const size_t size = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (len - lead + 1 < size) text[lead - 1] = '\0';
}

void row_set_text(char dst[TEXT_LEN], const char *format, ...) {
    char text[TEXT_LEN]; /* the arguments may point into dst */
    va_list args;
    va_start(args, format);
    const int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (len >= TEXT_LEN) trim_utf8(text, TEXT_LEN - 1);
    memcpy(dst, text, strlen(text) + 1);
}

/* Copies text with control characters (C0, DEL and the C1 of UTF-8) replaced by spaces. */
static void copy_printable(char *dst, size_t len, const char *text) {
    size_t n = 0;
    for (; *text && n + 1 < len; text++, n++) {
        const unsigned char c = (unsigned char)*text, next = (unsigned char)text[1];
        const bool c1 = c == 0xC2 && next >= 0x80 && next < 0xA0;
        dst[n] = *text;
        if (c < 0x20 || c == 0x7F || c1) dst[n] = ' ';
        if (c1) text++;
    }
    dst[n] = '\0';
    if (*text) trim_utf8(dst, n);
}

const char *cell_text(const column_t *column, const void *row, char *buffer, size_t len) {
    const char *cell = (const char *)row + column->offset;
    if (column->type == CELL_TEXT) {
        copy_printable(buffer, len, cell);
        return buffer;
    }
    const double value = *(const double *)(const void *)cell;
    if (!isfinite(value))
        snprintf(buffer, len, "%s", "");
    else
        snprintf(buffer, len, column->type == CELL_COUNT ? "%.0f" : "%.7g", value);
    return buffer;
}

/* ---- writing ---- */

static status_t flush(FILE *file, const char *path) {
    errno = 0;
    if (fflush(file) == 0 && !ferror(file)) return STATUS_OK;
    return fail(STATUS_IO, "cannot write %s: %s", path, errno ? strerror(errno) : "write error");
}

status_t table_write_header(const table_t *table, FILE *file, const char *path) {
    for (int i = 0; i < table->count; i++)
        fprintf(file, "%s%s", i ? "," : "", table->columns[i].name);
    putc('\n', file);
    return flush(file, path);
}

/* Outer spaces are quoted for the sake of readers that strip them. */
static bool needs_quotes(const char *text) {
    const size_t len = strlen(text);
    return strpbrk(text, ",\"") || (len > 0 && (text[0] == ' ' || text[len - 1] == ' '));
}

/* A spreadsheet takes a text that begins so for a formula and runs it; an apostrophe in front says
 * that it is text. One that is the text's own gets another, so that reading restores it. */
static bool needs_apostrophe(const char *text) {
    return *text && strchr("=+-@'", *text);
}

/* What reading takes off again. */
static bool has_apostrophe(const char *text) {
    return *text == '\'' && needs_apostrophe(text + 1);
}

status_t table_write_row(const table_t *table, FILE *file, const char *path, const void *row) {
    char cell[1 + TEXT_LEN] = "'";
    for (int i = 0; i < table->count; i++) {
        const char *text = cell_text(&table->columns[i], row, cell + 1, TEXT_LEN);
        if (table->columns[i].type == CELL_TEXT && needs_apostrophe(text)) text = cell;
        if (i) putc(',', file);
        if (needs_quotes(text))
            csv_fwrite2(file, text, strlen(text), '"');
        else
            fputs(text, file);
    }
    putc('\n', file);
    return flush(file, path);
}

/* ---- reading ---- */

typedef struct {
    const table_t *table;
    const char *path;
    FILE *file;
    int line;                /* of the next byte, from 1 */
    char *bytes;             /* the current row as it stands in the file */
    size_t len;              /* its length, line end excluded */
    int row_line, cell_line; /* where the current row and the current cell start */
    char (*names)[TEXT_LEN]; /* the header */
    int columns;             /* cells in the header; 0 while it is being read */
    int field[MAX_COLUMNS];  /* index into table->columns, or -1 */
    int cells;               /* cells of the current row so far */
    void *row;
    status_t st; /* of the cells of the current row */
} reader_t;

__attribute__((format(printf, 4, 5))) static status_t
reader_fail(const reader_t *r, int line, int column, const char *format, ...) {
    char text[512], label[32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(label, sizeof label, "%d", column + 1);
    const bool known = column < r->columns && r->field[column] >= 0;
    return fail(STATUS_USAGE, "%s:%d:%s: %s", r->path, line,
                known ? r->table->columns[r->field[column]].name : label, text);
}

static status_t parse_number(const reader_t *r, int column, const char *text, double *value) {
    const column_t *c = &r->table->columns[r->field[column]];
    const bool count = c->type == CELL_COUNT;
    char shown[SHOWN_LEN], *end = NULL;
    copy_printable(shown, sizeof shown, text);
    errno = 0;
    *value = strtod(text, &end);
    /* strspn keeps out what strtod also takes: spaces, hexadecimals, inf and nan. */
    if (*end || text[strspn(text, count ? "0123456789" : "0123456789+-.eE")])
        return reader_fail(r, r->cell_line, column, "\"%s\" is not %s", shown,
                           count ? "a whole number of 0 or more, such as 4096"
                                 : "a number, such as 12.5 or 3e-4");
    if (count ? *value > COUNT_LIMIT : fabs(*value) == HUGE_VAL)
        return reader_fail(r, r->cell_line, column, "\"%s\" is too large: at most %s", shown,
                           count ? "2^53 = 9007199254740992" : "1.7e308 in magnitude");
    return STATUS_OK;
}

static status_t header_cell(reader_t *r, const char *text) {
    if (r->cells == MAX_COLUMNS)
        return reader_fail(r, r->cell_line, r->cells, "more than %d columns", MAX_COLUMNS);
    if (!*text) return reader_fail(r, r->cell_line, r->cells, "empty column name in the header");
    char shown[SHOWN_LEN];
    copy_printable(shown, sizeof shown, text);
    for (int i = 0; i < r->cells; i++)
        if (!strcmp(r->names[i], text))
            return reader_fail(r, r->cell_line, r->cells,
                               "column \"%s\" is there twice (first as column %d)", shown, i + 1);
    snprintf(r->names[r->cells], TEXT_LEN, "%s", text);
    r->field[r->cells] = -1;
    for (int i = 0; i < r->table->count; i++)
        if (!strcmp(r->table->columns[i].name, text)) r->field[r->cells] = i;
    return STATUS_OK;
}

static status_t data_cell(reader_t *r, const char *text) {
    if (r->cells >= r->columns)
        return reader_fail(r, r->cell_line, r->cells, "more cells than the header's %d columns",
                           r->columns);
    if (r->field[r->cells] < 0) return STATUS_OK;
    const column_t *column = &r->table->columns[r->field[r->cells]];
    char *cell = (char *)r->row + column->offset;
    if (column->type == CELL_TEXT) {
        text += has_apostrophe(text);
        memcpy(cell, text, strlen(text) + 1);
    } else if (*text)
        return parse_number(r, r->cells, text, (double *)(void *)cell);
    return STATUS_OK;
}

static void on_cell(void *text, size_t len, void *ctx) {
    reader_t *r = ctx;
    if (r->st != STATUS_OK) return;
    if (len >= TEXT_LEN + (size_t)(r->columns && has_apostrophe(text)))
        r->st = reader_fail(r, r->cell_line, r->cells,
                            "a cell of %zu bytes: at most %d are allowed", len, TEXT_LEN - 1);
    else
        r->st = r->columns ? data_cell(r, text) : header_cell(r, text);
    r->cells++;
    for (const char *c = text; (c = memchr(c, '\n', len - (size_t)(c - (char *)text))); c++)
        r->cell_line++;
}

static int no_space(unsigned char c) {
    (void)c;
    return 0;
}

/* Splits the current row into its cells. */
static status_t split_row(reader_t *r) {
    struct csv_parser parser;
    if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_APPEND_NULL) != 0)
        return fail(STATUS_OOM, "out of memory while reading %s", r->path);
    csv_set_space_func(&parser, no_space); /* spaces belong to the cell */
    r->cells = 0;
    r->cell_line = r->row_line;
    r->st = STATUS_OK;
    const size_t parsed = csv_parse(&parser, r->bytes, r->len, on_cell, NULL, r);
    if (parsed == r->len) csv_fini(&parser, on_cell, NULL, r);
    const int error = csv_error(&parser);
    csv_free(&parser);
    if (r->st != STATUS_OK) return r->st;
    if (error == CSV_ENOMEM) return fail(STATUS_OOM, "out of memory while reading %s", r->path);
    if (error != CSV_SUCCESS || parsed != r->len)
        return reader_fail(r, r->cell_line, r->cells,
                           "stray quote: a cell with quotes is written \"like \"\"this\"\"\"");
    return STATUS_OK;
}

/* Appends a byte to the current row. */
static status_t take_byte(reader_t *r, int c, scan_t scan, int column) {
    if (c == '\0') return reader_fail(r, r->line, column, "NUL byte: expected CSV text in UTF-8");
    if (scan != IN_QUOTES && r->len > 0 && r->bytes[r->len - 1] == '\r')
        return reader_fail(r, r->line, column,
                           "carriage return inside a line: expected lines to end in \\n or \\r\\n");
    if (r->len == MAX_LINE)
        return reader_fail(r, r->row_line, column, "the line is longer than %d bytes%s", MAX_LINE,
                           scan == IN_QUOTES ? ": is a closing quote missing?" : "");
    r->bytes[r->len++] = (char)c;
    return STATUS_OK;
}

static bool is_bom(const reader_t *r) {
    return r->line == 1 && r->len == 3 && !memcmp(r->bytes, "\xEF\xBB\xBF", 3);
}

/* Fetches the next line that is not blank; quoted newlines are part of it. */
static status_t next_row(reader_t *r, bool *found) {
    scan_t scan = AT_CELL_START;
    int c, column = 0, quote_line = 0;
    r->len = 0;
    r->row_line = r->line;
    *found = false;
    while ((c = getc_unlocked(r->file)) != EOF) {
        if (c == '\n' && scan != IN_QUOTES) {
            r->line++;
            if (r->len > 0 && r->bytes[r->len - 1] == '\r') r->len--;
            if (r->len > 0) break;
            r->row_line = r->line;
            scan = AT_CELL_START;
            continue;
        }
        const status_t st = take_byte(r, c, scan, column);
        if (st != STATUS_OK) return st;
        if (c == ',' && scan != IN_QUOTES) column++;
        if (c == '"' && scan == AT_CELL_START) quote_line = r->line;
        scan = scan_step(scan, c);
        if (is_bom(r) && !r->columns) r->len = 0, scan = AT_CELL_START;
        if (c == '\n') r->line++;
    }
    if (ferror(r->file)) return fail(STATUS_IO, "cannot read %s: %s", r->path, strerror(errno));
    if (c == EOF && scan == IN_QUOTES)
        return reader_fail(r, quote_line, column,
                           "the quote opened here is never closed: expected \" before the end of "
                           "the file");
    if (c == EOF && r->len > 0 && r->bytes[r->len - 1] == '\r') r->len--;
    *found = r->len > 0;
    return STATUS_OK;
}

static status_t read_header(reader_t *r, bool need_all) {
    bool found, known = false;
    status_t st = next_row(r, &found);
    if (st != STATUS_OK) return st;
    if (!found)
        return reader_fail(r, 1, 0, "the file is empty: expected a header with the columns %s, ...",
                           r->table->columns[0].name);
    st = split_row(r);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < r->table->count; i++) {
        bool present = false;
        for (int j = 0; j < r->cells; j++) present |= r->field[j] == i;
        known |= present;
        if (need_all && !present && i < r->table->count - r->table->optional)
            return fail(STATUS_USAGE, "%s:%d:%s: this column is missing from the header", r->path,
                        r->row_line, r->table->columns[i].name);
    }
    if (!known)
        return reader_fail(r, r->row_line, 0,
                           "no column of this header is known: expected names such as %s",
                           r->table->columns[0].name);
    r->columns = r->cells;
    return STATUS_OK;
}

static status_t read_rows(reader_t *r, row_visit_t visit, void *ctx) {
    for (;;) {
        bool found;
        status_t st = next_row(r, &found);
        if (st != STATUS_OK || !found) return st;
        row_clear(r->table, r->row);
        st = split_row(r);
        if (st != STATUS_OK) return st;
        if (r->cells < r->columns)
            return reader_fail(r, r->cell_line, r->cells,
                               "the row ends here with %d cells: expected %d, as in the header",
                               r->cells, r->columns);
        st = visit(ctx, r->row, r->row_line);
        if (st != STATUS_OK) return st;
    }
}

static status_t open_table(const char *path, FILE **file) {
    *file = fopen(path, "rb");
    if (!*file) return fail(STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    setvbuf(*file, NULL, _IOFBF, IO_BLOCK);
    return STATUS_OK;
}

static status_t read_table(const table_t *table, const char *path, bool need_all, long offset,
                           row_visit_t visit, void *ctx) {
    status_t st;
    reader_t r = {.table = table, .path = path, .line = 1};
    TRY(open_table(path, &r.file));
    r.bytes = malloc(MAX_LINE);
    r.names = malloc(MAX_COLUMNS * sizeof *r.names);
    r.row = malloc(table->row_size);
    if (!r.bytes || !r.names || !r.row) {
        st = fail(STATUS_OOM, "out of memory while reading %s", path);
        goto cleanup;
    }
    TRY(read_header(&r, need_all));
    if (offset > 0 && fseek(r.file, offset, SEEK_SET) != 0) {
        st = fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    TRY(read_rows(&r, visit, ctx));
cleanup:
    if (r.file) fclose(r.file);
    free(r.bytes);
    free(r.names);
    free(r.row);
    return st;
}

status_t table_read(const table_t *table, const char *path, bool need_all, row_visit_t visit,
                    void *ctx) {
    return read_table(table, path, need_all, 0, visit, ctx);
}

status_t table_read_from(const table_t *table, const char *path, long offset, row_visit_t visit,
                         void *ctx) {
    return read_table(table, path, true, offset, visit, ctx);
}

status_t table_complete_bytes(const char *path, long *bytes) {
    char block[4096];
    FILE *file;
    status_t st = open_table(path, &file);
    *bytes = 0;
    if (st != STATUS_OK) return st;
    fseek(file, 0, SEEK_END);
    for (long end = ftell(file); end > 0 && *bytes == 0;) {
        const size_t len = end < (long)sizeof block ? (size_t)end : sizeof block;
        end -= (long)len;
        if (fseek(file, end, SEEK_SET) != 0 || fread(block, 1, len, file) != len) {
            st = fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
            break;
        }
        const char *newline = memrchr(block, '\n', len);
        if (newline) *bytes = end + (newline - block) + 1;
    }
    fclose(file);
    return st;
}
