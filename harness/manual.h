/* What describes the program to others than a reader of --help, made from the same tables. */
#ifndef BLROOF_MANUAL_H
#define BLROOF_MANUAL_H

#include "harness/options.h"

/* Prints to stdout: begin(), command() for each of them, end(). */
typedef struct {
    const char *name;
    void (*begin)(const char *version);
    void (*command)(const command_t *command);
    void (*end)(void);
} manual_t;

/* "man" (a page for man), "bash" or "zsh" (completions); NULL for other names. */
const manual_t *manual_find(const char *name);

#endif
