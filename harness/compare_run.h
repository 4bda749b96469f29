/* Two commands run in turn, each again and again in a process of its own. */
#ifndef BLROOF_COMPARE_RUN_H
#define BLROOF_COMPARE_RUN_H

#include "results/compare.h"

enum { RUN_PATH_LEN = 1024 };

/* A command as execvp() takes it: argv ends with a NULL. */
typedef struct {
    char **argv;
    int argc;
} words_t;

/*
 * Splits a command at blanks. '...' and "..." keep blanks, and outside of '...' a backslash keeps
 * the next character. There is no shell: no variables, patterns, pipes or redirections.
 * STATUS_USAGE for a quote that is never closed, or no word at all.
 */
status_t words_split(const char *text, words_t *out);
void words_free(words_t *words);
/*
 * The same command for one run directory: "{}" in any word becomes the directory; if there is none,
 * "-o DIR" is appended.
 */
status_t words_for_run(const words_t *command, const char *dir, words_t *out);

typedef struct {
    char sides[2][RUN_PATH_LEN]; /* DIR/base and DIR/new */
    words_t commands[2];
    int done; /* processes of each side so far */
    random_t random;
} repeats_t;

/* Makes the directory that is wanted, or for NULL one among the temporary files. */
status_t repeats_dir(const char *wanted, char dir[RUN_PATH_LEN]);
/* Makes the sides in a directory that is there. STATUS_USAGE if it holds a comparison already. */
status_t repeats_open(const char *dir, const char *base, const char *new, repeats_t *out);
void repeats_close(repeats_t *repeats);
/*
 * Runs each command `count` more times, pair by pair, each pair in random order: process K of a
 * side measures into DIR/<side>/K and says what it has to say in DIR/<side>/K.log. The ceilings of
 * a side's first process serve the others. A process that fails, or leaves no points.csv, ends it:
 * STATUS_USAGE if it ended with 2, else STATUS_ENVIRONMENT.
 */
status_t repeats_add(repeats_t *repeats, int count);

#endif
