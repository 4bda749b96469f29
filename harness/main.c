/* blroof: roofline measurements of block low-rank layers. Sub-commands are in cmd_*.c. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/manual.h"
#include "harness/registry.h"
#include "harness/timing.h"
#include "harness/version.h"

static const struct {
    const char *name, *summary;
    command_main_t run;
} COMMANDS[] = {
    {"devices", "the devices that can be measured here", cmd_devices},
    {"doctor", "whether this machine can measure, and what would help", cmd_doctor},
    {"list", "structures, variants, workloads and models this program knows", cmd_list},
    {"ceilings", "measure what a device can do at most", cmd_ceilings},
    {"sweep", "check and time the layers of workloads into a run directory", cmd_sweep},
    {"merge", "join the shards of a sweep into one run directory", cmd_merge},
    {"model", "run whole models and say where their time goes", cmd_model},
    {"predict", "what the layers would take on a device that is not here", cmd_predict},
    {"report", "draw and tabulate a run directory", cmd_report},
    {"compare", "what is faster, slower or wrong in a new run; a gate for CI", cmd_compare},
};
enum { COMMANDS_LEN = sizeof COMMANDS / sizeof *COMMANDS };

static void print_usage(FILE *out) {
    fputs("blroof measures block low-rank layers against the roofline of this very device.\n\n"
          "usage: blroof COMMAND [OPTION...] [ARGUMENT...]\n\ncommands:\n",
          out);
    for (int i = 0; i < COMMANDS_LEN; i++)
        fprintf(out, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    fputs("\nblroof COMMAND --help tells more. Exit: 0 ok, 1 regression (compare --gate), 2 usage "
          "or bad\n"
          "input, 3 inconclusive (compare --gate), 4 the machine is unfit, 130 interrupted.\n",
          out);
}

static status_t print_manual(const char *format) {
    const manual_t *const manual = format ? manual_find(format) : NULL;
    if (!manual)
        return fail(STATUS_USAGE, "--manual is man (a page for man), or bash or zsh (completions)");
    manual->begin(VERSION_TEXT);
    options_help_with(manual->command);
    for (int i = 0; i < COMMANDS_LEN; i++) {
        char name[16], option[] = "--help";
        char *argv[] = {strcpy(name, COMMANDS[i].name), option, NULL};
        COMMANDS[i].run(2, argv);
    }
    manual->end();
    return STATUS_OK;
}

static int end(status_t st) {
    if (st == STATUS_OK && fflush(stdout) != 0)
        st = fail(STATUS_IO, "cannot write to standard output");
    if (st != STATUS_OK) fprintf(stderr, "blroof: %s\n", last_error());
    return exit_code(st);
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a file at its size limit is an error like a full disk */
    status_t st = registry_check();
    if (st != STATUS_OK) return end(st);
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        print_usage(stdout);
        return 0;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("blroof %s (%s%s)\n", VERSION_TEXT, VERSION_GIT,
               strcmp(VERSION_DIRTY, "yes") ? "" : ", with local changes");
        return 0;
    }
    if (!strcmp(argv[1], "--manual")) return end(print_manual(argv[2]));
    interrupt_install();
    for (int i = 0; i < COMMANDS_LEN; i++) {
        if (strcmp(argv[1], COMMANDS[i].name)) continue;
        return end(COMMANDS[i].run(argc - 1, argv + 1));
    }
    fprintf(stderr, "blroof: unknown command '%s': see 'blroof --help'\n", argv[1]);
    return 2;
}
