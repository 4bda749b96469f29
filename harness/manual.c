#include "harness/manual.h"

#include <stdio.h>
#include <string.h>

/* ---- man ---- */

static void print_roff(const char *text) {
    if (*text == '.' || *text == '\'') fputs("\\&", stdout);
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        if (*text == '\n' && (text[1] == '.' || text[1] == '\'')) fputs("\\&", stdout);
    }
}

static void roff_begin(const char *version) {
    printf(".TH BLROOF 1 \"\" \"blroof %s\" \"User commands\"\n"
           ".SH NAME\nblroof \\- roofline measurements of block low\\-rank layers\n"
           ".SH SYNOPSIS\n.B blroof\n.I COMMAND\n[\\fIOPTION\\fR...] [\\fIARGUMENT\\fR...]\n"
           ".SH DESCRIPTION\n"
           "Measures block low\\-rank neural\\-network layers against the roofline of this very\n"
           "device, a GPU or the CPU.\n"
           ".SH COMMANDS\n",
           version);
}

static void roff_command(const command_t *command) {
    printf(".SS blroof %s ", command->name);
    print_roff(command->usage);
    putchar('\n');
    print_roff(command->summary);
    putchar('\n');
    for (const option_t *o = command->options; o && o->name; o++) {
        fputs(".TP\n", stdout);
        if (o->letter) printf("\\fB\\-%c\\fR, ", o->letter);
        fputs("\\fB\\-\\-", stdout);
        print_roff(o->name);
        fputs("\\fR", stdout);
        if (o->argument) printf(" \\fI%s\\fR", o->argument);
        putchar('\n');
        print_roff(o->help);
        putchar('\n');
    }
}

static void roff_end(void) {
    fputs(".SH EXIT STATUS\n"
          "0 ok, 1 regression (compare \\-\\-gate), 2 usage or bad input, 3 inconclusive\n"
          "(compare \\-\\-gate), 4 the machine is unfit, 130 interrupted.\n"
          ".SH ENVIRONMENT\n.TP\nBLROOF_ROOT\n"
          "Where the workloads, models, profiles and plots are, if not above the program.\n",
          stdout);
}

/* ---- shells ---- */

/* The words that a command takes, as a shell substitution between two texts. Nothing where they are
 * files alone. */
static void print_words(const command_t *command, const char *before, const char *after) {
    static const struct {
        const char *word, *list;
    } KINDS[] = {{"PROFILE", "profiles"}, {"WORKLOAD", "workloads"}, {"MODEL", "models"}};
    int count = 0;
    if (!strcmp(command->name, "list")) { /* "[structures|variants|...]" */
        printf("%s$(echo ", before);
        for (const char *c = command->usage; *c; c++)
            if (!strchr("[]", *c)) putchar(*c == '|' ? ' ' : *c);
        count++;
    }
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (!strstr(command->usage, KINDS[i].word)) continue;
        if (count++ == 0)
            printf("%s$(", before);
        else
            fputs("; ", stdout);
        printf("blroof list %s 2>/dev/null | cut -d\" \" -f1", KINDS[i].list);
    }
    if (count) printf(")%s", after);
}

static bool takes_files(const command_t *command) {
    return strcmp(command->name, "list") != 0;
}

static void bash_begin(const char *version) {
    (void)version;
    fputs("# bash completion for blroof\n"
          "_blroof() {\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} options= words= files=yes\n"
          "    case ${COMP_WORDS[1]} in\n",
          stdout);
}

static void bash_command(const command_t *command) {
    printf("    %s)\n        options='--help", command->name);
    for (const option_t *o = command->options; o && o->name; o++) printf(" --%s", o->name);
    fputs("'\n", stdout);
    print_words(command, "        [[ $word == -* ]] || words=", "\n");
    if (!takes_files(command)) fputs("        files=\n", stdout);
    fputs("        ;;\n", stdout);
}

static void bash_end(void) {
    fputs("    esac\n"
          "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
          "        words=$(blroof --help | sed -n 's/^  \\([a-z]*\\) .*/\\1/p') options='--help "
          "--version'\n"
          "        files=\n"
          "    fi\n"
          "    if [[ $word == -* ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "    else\n"
          "        COMPREPLY=($(compgen -W \"$words\" -- \"$word\") ${files:+$(compgen -f -- "
          "\"$word\")})\n"
          "    fi\n"
          "}\n"
          "complete -o filenames -F _blroof blroof\n",
          stdout);
}

static void zsh_begin(const char *version) {
    (void)version;
    fputs("#compdef blroof\n"
          "_blroof() {\n"
          "    if (( CURRENT == 2 )); then\n"
          "        local -a commands\n"
          "        commands=(${(f)\"$(blroof --help | sed -n 's/^  \\([a-z]*\\) "
          "*\\(.*\\)/\\1:\\2/p')\"})\n"
          "        _describe command commands\n"
          "        return\n"
          "    fi\n"
          "    local verb=$words[2]\n"
          "    shift words\n"
          "    (( CURRENT-- ))\n"
          "    case $verb in\n",
          stdout);
}

static void zsh_command(const command_t *command) {
    printf("    %s)\n        _arguments", command->name);
    for (const option_t *o = command->options; o && o->name; o++) {
        if (o->letter)
            printf(" \\\n            '(-%c --%s)'{-%c,--%s}'[", o->letter, o->name, o->letter,
                   o->name);
        else
            printf(" \\\n            '--%s[", o->name);
        for (const char *c = o->help; *c; c++) {
            if (strchr("[]:\\", *c)) putchar('\\');
            if (*c == '\'') fputs("'\\'", stdout); /* ends the quotes; the next one opens them */
            putchar(*c);
        }
        putchar(']');
        if (o->argument) printf(":%s:_files", o->argument);
        putchar('\'');
    }
    fputs(" \\\n            '*: :{ ", stdout);
    print_words(command, "compadd -- ", "; ");
    printf("%s}'\n        ;;\n", takes_files(command) ? "_files " : "");
}

static void zsh_end(void) {
    fputs("    esac\n}\n_blroof \"$@\"\n", stdout);
}

const manual_t *manual_find(const char *name) {
    static const manual_t FORMATS[] = {
        {"man", roff_begin, roff_command, roff_end},
        {"bash", bash_begin, bash_command, bash_end},
        {"zsh", zsh_begin, zsh_command, zsh_end},
    };
    for (size_t i = 0; i < sizeof FORMATS / sizeof *FORMATS; i++)
        if (!strcmp(name, FORMATS[i].name)) return &FORMATS[i];
    return NULL;
}
