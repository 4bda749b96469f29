/* The LIST grammar of the command line and of workload files. */
#ifndef BLROOF_LIST_H
#define BLROOF_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "harness/status.h"

typedef struct {
    int64_t *values;
    int count;
} int_list_t;

/*
 * Parses "1,16,64..4096x2" (geometric) or "8..64+8" (arithmetic): items in the order given,
 * duplicates dropped. Values are 1 to 2^40; at most 4096 of them. STATUS_USAGE says what is wrong
 * at which character.
 */
status_t int_list_parse(const char *text, int_list_t *out);
void int_list_free(int_list_t *list);

/* True if `name` is one of the comma-separated names in `list`; a NULL list holds every name. */
bool name_list_has(const char *list, const char *name);

#endif
