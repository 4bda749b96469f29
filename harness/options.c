#include "harness/options.h"

#include <stdio.h>
#include <string.h>

static void print_help(const command_t *command) {
    printf("usage: blroof %s %s\n\n%s\n", command->name, command->usage, command->summary);
    if (command->options && command->options->name) puts("\noptions:");
    for (const option_t *o = command->options; o && o->name; o++) {
        char left[64], letter[8] = "";
        if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s%s%s", letter, o->name, o->argument ? " " : "",
                 o->argument ? o->argument : "");
        printf("  %-26s %s\n", left, o->help);
    }
}

static void (*help)(const command_t *command) = print_help;

void options_help_with(void (*print)(const command_t *command)) {
    help = print;
}

static const option_t *find(const command_t *command, const char *text, size_t len) {
    for (const option_t *o = command->options; o && o->name; o++) {
        if (text[0] == '-' && text[1] == '-' && strlen(o->name) == len - 2 &&
            !strncmp(text + 2, o->name, len - 2))
            return o;
        if (len == 2 && o->letter && text[1] == o->letter) return o;
    }
    return NULL;
}

status_t options_parse(const command_t *command, int argc, char **argv, const char **rest,
                       int *rest_len, bool *helped) {
    *rest_len = 0;
    *helped = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (!strcmp(text, "--help") || !strcmp(text, "-h")) {
            help(command);
            *helped = true;
            return STATUS_OK;
        }
        if (text[0] != '-' || !text[1]) {
            rest[(*rest_len)++] = text;
            continue;
        }
        const char *equals = strchr(text, '=');
        const size_t len = equals ? (size_t)(equals - text) : strlen(text);
        const option_t *o = find(command, text, len);
        if (!o)
            return fail(STATUS_USAGE, "unknown option '%s': see 'blroof %s --help'", text,
                        command->name);
        if (o->flag) {
            if (equals) return fail(STATUS_USAGE, "option --%s takes no value", o->name);
            *o->flag = true;
        } else if (equals) {
            *o->value = equals + 1;
        } else if (i + 1 < argc) {
            *o->value = argv[++i];
        } else {
            return fail(STATUS_USAGE, "option --%s needs a value: %s", o->name, o->argument);
        }
    }
    return STATUS_OK;
}
