/*
 * What reads bytes that somebody else may have written. Each target feeds one reader and aborts
 * when the reader accepts what it promises not to; tests/fuzz/corpus/<name>/ holds its seeds.
 * `make fuzz` runs them under libFuzzer, tests/test_corpus.c replays the corpus.
 */
#ifndef BLROOF_FUZZ_TARGETS_H
#define BLROOF_FUZZ_TARGETS_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;
    void (*read)(const uint8_t *bytes, size_t len);
} fuzz_target_t;

extern const fuzz_target_t FUZZ_TARGETS[]; /* ends with a NULL name */

const fuzz_target_t *fuzz_target_find(const char *name); /* NULL if there is none */

#endif
