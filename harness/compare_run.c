#include "harness/compare_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/progress.h"
#include "harness/timing.h"
#include "results/schema.h"

enum { FILE_LEN = RUN_PATH_LEN + 64 };
static const char *const SIDE_NAMES[] = {"base", "new"};
static const char BLANKS[] = " \t\n";

/* ---- words ---- */

static status_t no_memory(void) {
    return fail(STATUS_OOM, "out of host memory for a command");
}

static bool add_word(words_t *w, const char *text) {
    char **grown = realloc(w->argv, ((size_t)w->argc + 2) * sizeof *grown);
    if (!grown) return false;
    w->argv = grown;
    w->argv[w->argc] = strdup(text);
    if (!w->argv[w->argc]) return false;
    w->argv[++w->argc] = NULL;
    return true;
}

void words_free(words_t *w) {
    for (int i = 0; w->argv && i < w->argc; i++) free(w->argv[i]);
    free(w->argv);
    *w = (words_t){0};
}

/* Copies the word at text to out, without its quotes; NULL if one is never closed. */
static const char *read_word(const char *text, char *out) {
    char quote = '\0';
    for (; *text && (quote || !strchr(BLANKS, *text)); text++) {
        if (quote ? *text == quote : *text == '\'' || *text == '"')
            quote = quote ? '\0' : *text;
        else if (*text == '\\' && quote != '\'' && text[1])
            *out++ = *++text;
        else
            *out++ = *text;
    }
    *out = '\0';
    return quote ? NULL : text;
}

status_t words_split(const char *text, words_t *w) {
    status_t st = STATUS_OK;
    *w = (words_t){0};
    char *word = malloc(strlen(text) + 1);
    if (!word) return no_memory();
    const char *at = text + strspn(text, BLANKS);
    while (st == STATUS_OK && *at) {
        const char *end = read_word(at, word);
        if (!end)
            st = fail(STATUS_USAGE, "a quote is never closed in the command: %s", text);
        else if (!add_word(w, word))
            st = no_memory();
        else
            at = end + strspn(end, BLANKS);
    }
    free(word);
    if (st == STATUS_OK && w->argc == 0) st = fail(STATUS_USAGE, "the command to run is empty");
    if (st != STATUS_OK) words_free(w);
    return st;
}

/* The word with every "{}" replaced. */
static bool add_replaced(words_t *w, const char *word, const char *dir) {
    size_t places = 0;
    for (const char *at = word; (at = strstr(at, "{}")); at += 2) places++;
    char *text = malloc(strlen(word) + places * strlen(dir) + 1);
    if (!text) return false;
    char *end = text;
    for (const char *at = word; *at;) {
        const bool place = !strncmp(at, "{}", 2);
        if (place)
            end = stpcpy(end, dir);
        else
            *end++ = *at;
        at += place ? 2 : 1;
    }
    *end = '\0';
    const bool added = add_word(w, text);
    free(text);
    return added;
}

status_t words_for_run(const words_t *command, const char *dir, words_t *out) {
    bool complete = true, placed = false;
    *out = (words_t){0};
    for (int i = 0; i < command->argc; i++) {
        placed = placed || strstr(command->argv[i], "{}");
        complete = complete && add_replaced(out, command->argv[i], dir);
    }
    if (!placed) complete = complete && add_word(out, "-o") && add_word(out, dir);
    if (complete) return STATUS_OK;
    words_free(out);
    return no_memory();
}

/* ---- one process ---- */

/* Waits for it; an interruption is passed on. */
static int wait_for(pid_t pid) {
    int status = 0;
    bool told = false;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (interrupted() && !told) {
            kill(pid, SIGTERM);
            told = true;
        }
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    }
    return status;
}

/* Starts argv with its output in the log. */
static status_t start(char *const *argv, const char *log, pid_t *pid) {
    extern char **environ;
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return no_memory();
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log, O_WRONLY | O_CREAT | O_TRUNC,
                                     0666);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    const int error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error)
        return fail(STATUS_USAGE, "cannot run '%s': %s (there is no shell between)", argv[0],
                    strerror(error));
    return STATUS_OK;
}

/* The last line that is not empty. */
static void last_line(const char *path, char *line, size_t len) {
    char text[512];
    FILE *file = fopen(path, "r");
    line[0] = '\0';
    if (!file) return;
    while (fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = '\0';
        if (*text) snprintf(line, len, "%s", text);
    }
    fclose(file);
}

static status_t judge_end(int status, const char *name, const char *dir, const char *log) {
    char said[512], points[FILE_LEN + 16];
    last_line(log, said, sizeof said);
    if (interrupted()) return fail(STATUS_INTERRUPTED, "interrupted: what was measured is kept");
    if (WIFSIGNALED(status))
        return fail(STATUS_ENVIRONMENT, "%s was killed by signal %d: see %s", name,
                    WTERMSIG(status), log);
    if (WEXITSTATUS(status) != 0)
        return fail(WEXITSTATUS(status) == 2 ? STATUS_USAGE : STATUS_ENVIRONMENT,
                    "%s ended with exit code %d: %s (all of it in %s)", name, WEXITSTATUS(status),
                    said, log);
    snprintf(points, sizeof points, "%s/%s", dir, POINTS_TABLE.file);
    if (access(points, F_OK) == 0) return STATUS_OK;
    return fail(STATUS_USAGE,
                "%s left no %s: say where in the command its run directory goes, with {} (see %s)",
                name, points, log);
}

/* A failing copy only means that the ceilings are measured again. */
static void copy_file(const char *from, const char *to) {
    char bytes[4096];
    size_t len;
    FILE *in = fopen(from, "r"), *out = in ? fopen(to, "w") : NULL;
    while (out && (len = fread(bytes, 1, sizeof bytes, in)) > 0) fwrite(bytes, 1, len, out);
    if (in) fclose(in);
    if (out && fclose(out) != 0) unlink(to);
}

static status_t run_process(const repeats_t *r, int side, int number) {
    char dir[FILE_LEN], log[FILE_LEN + 8], name[32], from[FILE_LEN], to[FILE_LEN + 32];
    words_t command = {0};
    pid_t pid = 0;
    snprintf(dir, sizeof dir, "%s/%d", r->sides[side], number);
    snprintf(log, sizeof log, "%s.log", dir);
    snprintf(name, sizeof name, "%s %d", side ? "NEW" : "BASE", number);
    if (mkdir(dir, 0777) != 0)
        return fail(STATUS_IO, "cannot make the run directory %s: %s", dir, strerror(errno));
    if (number > 1) {
        snprintf(from, sizeof from, "%s/1/%s", r->sides[side], CEILINGS_TABLE.file);
        snprintf(to, sizeof to, "%s/%s", dir, CEILINGS_TABLE.file);
        copy_file(from, to);
    }
    status_t st = words_for_run(&r->commands[side], dir, &command);
    if (st != STATUS_OK || !command.argv) return st;
    st = start(command.argv, log, &pid);
    words_free(&command);
    return st == STATUS_OK ? judge_end(wait_for(pid), name, dir, log) : st;
}

/* ---- all of them ---- */

status_t repeats_dir(const char *wanted, char dir[RUN_PATH_LEN]) {
    const char *temporary = getenv("TMPDIR");
    if (wanted && strlen(wanted) >= RUN_PATH_LEN)
        return fail(STATUS_USAGE, "the path of the directory is too long");
    if (!temporary || !*temporary) temporary = "/tmp";
    if (wanted)
        snprintf(dir, RUN_PATH_LEN, "%s", wanted);
    else
        snprintf(dir, RUN_PATH_LEN, "%.900s/blroof-compare-XXXXXX", temporary);
    const bool made = wanted ? mkdir(dir, 0777) == 0 || errno == EEXIST : mkdtemp(dir) != NULL;
    if (made) return STATUS_OK;
    return fail(STATUS_IO, "cannot make the directory %s: %s", dir, strerror(errno));
}

static status_t make_sides(const char *dir, repeats_t *r) {
    for (int side = 0; side < 2; side++) {
        char *path = r->sides[side];
        if (snprintf(path, RUN_PATH_LEN, "%s/%s", dir, SIDE_NAMES[side]) >= RUN_PATH_LEN)
            return fail(STATUS_USAGE, "the path of the directory is too long");
        if (mkdir(path, 0777) == 0) continue;
        if (errno == EEXIST)
            return fail(STATUS_USAGE, "%s already holds a comparison: use another -o", dir);
        return fail(STATUS_IO, "cannot make the directory %s: %s", path, strerror(errno));
    }
    return STATUS_OK;
}

status_t repeats_open(const char *dir, const char *base, const char *new, repeats_t *r) {
    *r = (repeats_t){.random = {1}};
    status_t st = words_split(base, &r->commands[SIDE_BASE]);
    if (st == STATUS_OK) st = words_split(new, &r->commands[SIDE_NEW]);
    if (st == STATUS_OK) st = make_sides(dir, r);
    if (st != STATUS_OK) repeats_close(r);
    return st;
}

void repeats_close(repeats_t *r) {
    words_free(&r->commands[SIDE_BASE]);
    words_free(&r->commands[SIDE_NEW]);
}

status_t repeats_add(repeats_t *r, int count) {
    static const char *const titles[] = {"a process of BASE", "a process of NEW"};
    progress_t progress = progress_begin(2 * count);
    status_t st = STATUS_OK;
    for (int pair = 0; pair < count && st == STATUS_OK; pair++) {
        const int first = random_index(&r->random, 2);
        for (int i = 0; i < 2 && st == STATUS_OK; i++) {
            const int side = i ? !first : first;
            progress_show(&progress, titles[side]);
            st = run_process(r, side, r->done + 1);
            progress.done++;
        }
        r->done++;
    }
    progress_clear(&progress);
    return st;
}
