/* A table of texts that is written as Markdown, CSV or LaTeX. */
#ifndef BLROOF_TEXT_TABLE_H
#define BLROOF_TEXT_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "harness/status.h"

enum { TABLE_COLUMNS = 64 };

/* Rows are filled cell by cell, the heads first. What did not fit into memory is told when the
 * table is written. */
typedef struct {
    char title[512];
    int columns, texts; /* left-aligned columns; the rest are numbers */
    char **cells;
    int cells_len;
    bool failed;
} text_table_t;

/* The first `texts` of the columns hold names. */
void table_begin(text_table_t *table, int columns, int texts);
void table_cell(text_table_t *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Three significant digits and a unit behind them; an empty cell for NAN. */
void table_number(text_table_t *table, double value, const char *unit);
void table_free(text_table_t *table);

int table_rows(const text_table_t *table); /* without the heads */
/* STATUS_OOM if a cell was lost. */
status_t table_markdown(const text_table_t *table, FILE *out);
status_t table_csv(const text_table_t *table, FILE *out);
/* A longtable with the rules of booktabs; nothing in a cell is taken for a command. Of many columns
 * the heads stand upright. */
status_t table_latex(const text_table_t *table, FILE *out);

#endif
