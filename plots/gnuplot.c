#include "plots/gnuplot.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 9, COMPLAINT_LEN = 2048 };

extern char **environ;

/* Starts it with no input and no output; what it complains about goes to `complaints`. */
static int start(char *const *argv, int complaints, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return error;
    error = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    if (!error) error = posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
    if (!error) error = posix_spawnp(pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* Keeps the beginning, and reads on so that the other side never blocks. */
static void read_all(int fd, char text[COMPLAINT_LEN]) {
    size_t len = 0;
    char block[512];
    for (;;) {
        const ssize_t n = read(fd, block, sizeof block);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        const size_t room = COMPLAINT_LEN - 1 - len;
        const size_t kept = (size_t)n < room ? (size_t)n : room;
        memcpy(text + len, block, kept);
        len += kept;
    }
    text[len] = '\0';
}

/* gnuplot shows the command and a caret before it says what is wrong: drops both. */
static const char *essence(const char *text) {
    const char *line = strstr(text, "line ");
    while (*text == '\n' || *text == ' ') text++;
    return line ? line : text;
}

static status_t wait_for(pid_t pid, const char *script, const char *complaints) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return fail(STATUS_ENVIRONMENT, "cannot wait for gnuplot: %s", strerror(errno));
    if (WIFSIGNALED(status))
        return fail(STATUS_ENVIRONMENT, "gnuplot was killed by signal %d on %s", WTERMSIG(status),
                    script);
    if (WEXITSTATUS(status) != 0)
        return fail(STATUS_ENVIRONMENT, "gnuplot failed on %s (exit %d): %s", script,
                    WEXITSTATUS(status), essence(complaints));
    return STATUS_OK;
}

status_t gnuplot_start(const char *script, const char *const *arguments, gnuplot_t *out) {
    char *argv[MAX_ARGUMENTS + 5] = {"gnuplot", "-d", "-c", (char *)script};
    int ends[2];
    for (int i = 0; i < MAX_ARGUMENTS && arguments[i]; i++) argv[4 + i] = (char *)arguments[i];
    if (access(script, R_OK) != 0)
        return fail(STATUS_ENVIRONMENT,
                    "cannot read %s: set BLROOF_ROOT to the directory of blroof", script);
    if (pipe2(ends, O_CLOEXEC) != 0)
        return fail(STATUS_ENVIRONMENT, "cannot make a pipe for gnuplot: %s", strerror(errno));
    snprintf(out->script, sizeof out->script, "%s", script);
    out->complaints = ends[0];
    const int error = start(argv, ends[1], &out->pid);
    close(ends[1]);
    if (!error) return STATUS_OK;
    close(ends[0]);
    if (error == ENOENT)
        return fail(STATUS_ENVIRONMENT, "gnuplot is not installed: apt-get install gnuplot-nox");
    return fail(STATUS_ENVIRONMENT, "cannot start gnuplot: %s", strerror(error));
}

status_t gnuplot_wait(const gnuplot_t *gnuplot) {
    char complaints[COMPLAINT_LEN];
    read_all(gnuplot->complaints, complaints);
    close(gnuplot->complaints);
    return wait_for(gnuplot->pid, gnuplot->script, complaints);
}
