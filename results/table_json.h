/* Tables of results/schema.h as JSON. */
#ifndef BLROOF_TABLE_JSON_H
#define BLROOF_TABLE_JSON_H

#include <stdio.h>

#include "harness/status.h"
#include "results/schema.h"

/*
 * Prints the table at `path` to `out`, one object a row and a line, keys in the schema's order;
 * what is missing is null. STATUS_IO when it cannot be written, else as table_read() fails.
 */
status_t table_print_json(const table_t *table, const char *path, FILE *out);

#endif
