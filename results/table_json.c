#include "results/table_json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "results/csv_table.h"

typedef struct {
    const table_t *table;
    FILE *out;
} printer_t;

/* Text that is not UTF-8, which JSON cannot hold, loses what is beyond ASCII. */
static json_t *text_value(const char *text) {
    json_t *value = json_string(text);
    if (value) return value;
    char ascii[TEXT_LEN];
    size_t len = 0;
    for (; text[len]; len++) ascii[len] = (char)(text[len] & 0x80 ? '?' : text[len]);
    return json_stringn(ascii, len);
}

static json_t *cell_value(const column_t *column, const void *row) {
    const void *const cell = (const char *)row + column->offset;
    if (column->type == CELL_TEXT) return *(const char *)cell ? text_value(cell) : json_null();
    const double number = *(const double *)cell;
    if (!isfinite(number)) return json_null();
    return column->type == CELL_COUNT ? json_integer((json_int_t)number) : json_real(number);
}

static status_t print_row(void *ctx, const void *row, int line) {
    const printer_t *const p = ctx;
    (void)line;
    json_t *const object = json_object();
    bool complete = object != NULL;
    for (int i = 0; i < p->table->count && complete; i++)
        complete = json_object_set_new(object, p->table->columns[i].name,
                                       cell_value(&p->table->columns[i], row)) == 0;
    status_t st = complete ? STATUS_OK : fail(STATUS_OOM, "out of host memory");
    if (st == STATUS_OK &&
        (json_dumpf(object, p->out, JSON_COMPACT | JSON_REAL_PRECISION(9)) != 0 ||
         fputc('\n', p->out) == EOF))
        st = fail(STATUS_IO, "cannot write to standard output");
    json_decref(object);
    return st;
}

status_t table_print_json(const table_t *table, const char *path, FILE *out) {
    printer_t printer = {table, out};
    return table_read(table, path, true, print_row, &printer);
}
