/* Reading and writing tables of results/schema.h as CSV, over libcsv. */
#ifndef BLROOF_CSV_TABLE_H
#define BLROOF_CSV_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/status.h"
#include "results/schema.h"

/* Clears a row: texts empty, numbers NAN. */
void row_clear(const table_t *table, void *row);

/* Fills a text cell; what does not fit is cut off at a UTF-8 character boundary. */
void row_set_text(char dst[TEXT_LEN], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Both flush; STATUS_IO (disk full, ...) with the path when the bytes did not reach the file. */
status_t table_write_header(const table_t *table, FILE *file, const char *path);
status_t table_write_row(const table_t *table, FILE *file, const char *path, const void *row);

/* Called for each data row, in order; line is where the row starts, from 1. */
typedef status_t (*row_visit_t)(void *ctx, const void *row, int line);

/*
 * Reads a whole table. Columns are found by name in any order; columns not in the schema are
 * ignored, and with `need_all` a missing one that is not optional is an error. STATUS_USAGE names
 * file, line and column
 * ("PATH:LINE:COLUMN: ...") for: wrong columns, a row of another length, bad quotes, NUL bytes, a
 * cell (TEXT_LEN - 1 bytes) or line (64 KB) that is too long, a number that is malformed, negative
 * (COUNT) or overflows. STATUS_IO if the file cannot be read. A failing visit ends the reading with
 * its status.
 */
status_t table_read(const table_t *table, const char *path, bool need_all, row_visit_t visit,
                    void *ctx);

/*
 * Length of the file up to and including its last complete line (one that ends in a newline outside
 * quotes): what to truncate a file to whose last row was torn. 0 if it has none.
 */
status_t table_complete_bytes(const char *path, long *bytes);

/* The cell as text, as written to CSV but for its quotes: "" when missing, control characters
 * replaced by spaces. Returns buffer. */
const char *cell_text(const column_t *column, const void *row, char *buffer, size_t len);

#endif
