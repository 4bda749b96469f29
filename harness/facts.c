#include "harness/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static status_t no_memory(void) {
    return fail(STATUS_OOM, "out of host memory for facts of the machine");
}

bool facts_hold(const char *values, const char *value) {
    const size_t len = strlen(value), gap = strlen(FACTS_PARTED);
    for (const char *at = values; at; at = strstr(at, FACTS_PARTED)) {
        if (at != values) at += gap;
        if (!strncmp(at, value, len) && (!at[len] || !strncmp(at + len, FACTS_PARTED, gap)))
            return true;
    }
    return false;
}

static joined_fact_t *find(const joined_facts_t *facts, const char *key) {
    for (int i = 0; i < facts->len; i++)
        if (!strcmp(facts->items[i].key, key)) return &facts->items[i];
    return NULL;
}

const char *facts_value(const joined_facts_t *facts, const char *key) {
    const joined_fact_t *fact = find(facts, key);
    return fact ? fact->value : NULL;
}

static status_t add(joined_facts_t *facts, const char *key, const char *value) {
    if (facts->len == facts->capacity) {
        const int wanted = facts->capacity ? 2 * facts->capacity : 64;
        joined_fact_t *moved = realloc(facts->items, (size_t)wanted * sizeof *moved);
        if (!moved) return no_memory();
        facts->items = moved;
        facts->capacity = wanted;
    }
    const joined_fact_t fact = {strdup(key), strdup(value)};
    facts->items[facts->len++] = fact;
    return fact.key && fact.value ? STATUS_OK : no_memory();
}

status_t facts_join(joined_facts_t *facts, const char *key, const char *value) {
    joined_fact_t *fact = find(facts, key);
    char *joined;
    if (!fact) return add(facts, key, value);
    if (facts_hold(fact->value, value)) return STATUS_OK;
    if (asprintf(&joined, "%s%s%s", fact->value, FACTS_PARTED, value) < 0) return no_memory();
    free(fact->value);
    fact->value = joined;
    return STATUS_OK;
}

void facts_free(joined_facts_t *facts) {
    for (int i = 0; i < facts->len; i++) {
        free(facts->items[i].key);
        free(facts->items[i].value);
    }
    free(facts->items);
    *facts = (joined_facts_t){0};
}
