/* libFuzzer's entry: FUZZ_TARGET names what to fuzz. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/targets.h"

static const fuzz_target_t *target;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    const char *name = getenv("FUZZ_TARGET");
    target = fuzz_target_find(name ? name : "");
    if (target) return 0;
    fprintf(stderr, "FUZZ_TARGET must be one of:");
    for (const fuzz_target_t *t = FUZZ_TARGETS; t->name; t++) fprintf(stderr, " %s", t->name);
    fputc('\n', stderr);
    exit(2);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    target->read(bytes, len);
    return 0;
}
