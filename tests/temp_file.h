/* Scratch files for tests: one name a process, removed by the caller. */
#ifndef BLROOF_TESTS_TEMP_FILE_H
#define BLROOF_TESTS_TEMP_FILE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

static char temp_path[64];

static inline void temp_write(const void *bytes, size_t len) {
    snprintf(temp_path, sizeof temp_path, "/tmp/blroof-test-%d.csv", (int)getpid());
    FILE *file = fopen(temp_path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static inline void temp_text(const char *text) {
    temp_write(text, strlen(text));
}

/* For the end of a group of tests. */
static inline int temp_remove(void **state) {
    (void)state;
    return unlink(temp_path);
}

/* The message of the last failure is "<temp_path>:<where>: ..." and holds `what`. */
static inline void assert_message(const char *message, const char *where, const char *what) {
    char start[160];
    snprintf(start, sizeof start, "%s:%s: ", temp_path, where);
    if (strncmp(message, start, strlen(start)) != 0 || !strstr(message + strlen(start), what))
        fail_msg("message \"%s\" should start with \"%s\" and hold \"%s\"", message, start, what);
}

#endif
