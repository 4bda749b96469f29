/* Facts of several devices or runs as one list: values that differ stand side by side. */
#ifndef BLROOF_FACTS_H
#define BLROOF_FACTS_H

#include <stdbool.h>

#include "harness/status.h"

#define FACTS_PARTED " | " /* between the values of one key */

typedef struct {
    char *key, *value;
} joined_fact_t;

/* In the order in which the keys first came; starts as {0}. */
typedef struct {
    joined_fact_t *items;
    int len, capacity;
} joined_facts_t;

/* STATUS_OOM. */
status_t facts_join(joined_facts_t *facts, const char *key, const char *value);
/* NULL for a key that is not there. */
const char *facts_value(const joined_facts_t *facts, const char *key);
/* True if one of the values side by side is this one. */
bool facts_hold(const char *values, const char *value);
void facts_free(joined_facts_t *facts);

#endif
