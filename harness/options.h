/* Command-line options: one table a command feeds the parser and --help. */
#ifndef BLROOF_OPTIONS_H
#define BLROOF_OPTIONS_H

#include <stdbool.h>

#include "harness/status.h"

/* Sets *flag, or *value to the text that follows; the other is NULL. */
typedef struct {
    const char *name; /* without dashes */
    char letter;      /* 0 if there is no short form */
    const char *argument, *help;
    const char **value;
    bool *flag;
} option_t;

typedef struct {
    const char *name, *usage, *summary;
    const option_t *options; /* ends with a NULL name */
} command_t;

/*
 * Reads argv[1..]: options may stand anywhere; "--name VALUE", "--name=VALUE", "-n VALUE". What is
 * left goes to rest[] (as long as argv) and *rest_len. --help prints the table to stdout and sets
 * *helped.
 */
status_t options_parse(const command_t *command, int argc, char **argv, const char **rest,
                       int *rest_len, bool *helped);

/* What --help prints a command with from now on. */
void options_help_with(void (*print)(const command_t *command));

#endif
