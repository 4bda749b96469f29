#include "harness/process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/timing.h"

void process_obey(pid_t parent) {
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1); /* it died before it could be watched */
}

double process_oom_kills(void) {
    char line[128];
    double count = 0;
    FILE *file = fopen("/proc/vmstat", "r");
    if (!file) return 0;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "oom_kill %lf", &count) == 1) break;
    fclose(file);
    return count;
}

status_t process_verdict(int status, double oom_kills_before) {
    if (!WIFSIGNALED(status))
        return fail(STATUS_DEVICE, "its process ended by itself with exit code %d",
                    WEXITSTATUS(status));
    const int number = WTERMSIG(status);
    if (number == SIGKILL && process_oom_kills() > oom_kills_before)
        return fail(STATUS_OOM, "the kernel killed its process for want of host memory");
    /* Who kills a whole job has this process die next: it must not blame the work before. */
    if (number == SIGKILL) usleep(200000);
    return fail(STATUS_DEVICE, "its process crashed: %s (signal %d)", strsignal(number), number);
}

/* Ends what a child writes: without it the child did not come to its end. */
typedef struct {
    status_t status;
    char why[512];
} ending_t;

static _Noreturn void be_child(status_t (*job)(void *, FILE *), void *ctx, int end, pid_t parent) {
    process_obey(parent);
    FILE *out = fdopen(end, "w");
    if (!out) _exit(1);
    ending_t ending = {.status = job(ctx, out)};
    if (ending.status != STATUS_OK) snprintf(ending.why, sizeof ending.why, "%s", last_error());
    const bool told = fwrite(&ending, sizeof ending, 1, out) == 1 && fflush(out) == 0;
    _exit(told ? 0 : 1); /* what the parent has open is not the child's to flush */
}

/* All that comes from a pipe, until its other end is closed. */
static status_t read_all(int from, char **bytes, size_t *len) {
    size_t room = 0;
    for (;;) {
        struct pollfd ready = {.fd = from, .events = POLLIN};
        if (interrupted()) return fail(STATUS_INTERRUPTED, "interrupted");
        /* A signal that came just before poll() is seen a second later. */
        if (poll(&ready, 1, 1000) <= 0) continue;
        if (*len == room) {
            char *grown = realloc(*bytes, room = room ? 2 * room : 65536);
            if (!grown) return fail(STATUS_OOM, "out of host memory");
            *bytes = grown;
        }
        const ssize_t n = read(from, *bytes + *len, room - *len);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return STATUS_OK;
        *len += (size_t)n;
    }
}

static status_t be_parent(pid_t child, int from, double oom_kills, char **bytes, size_t *len) {
    int status = 0;
    ending_t ending;
    status_t st = read_all(from, bytes, len);
    if (st != STATUS_OK) kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    if (st != STATUS_OK) return st;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || *len < sizeof ending)
        return process_verdict(status, oom_kills);
    *len -= sizeof ending;
    memcpy(&ending, *bytes + *len, sizeof ending);
    return ending.status == STATUS_OK ? STATUS_OK : fail(ending.status, "%s", ending.why);
}

status_t process_run(status_t (*job)(void *, FILE *), void *ctx, char **bytes, size_t *len) {
    int ends[2];
    const pid_t parent = getpid();
    const double oom_kills = process_oom_kills();
    *bytes = NULL;
    *len = 0;
    if (pipe(ends) != 0)
        return fail(STATUS_ENVIRONMENT, "no pipe for a process: %s", strerror(errno));
    signal(SIGCHLD, SIG_DFL); /* ignored, as it may be inherited, it would hide how a child ended */
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        be_child(job, ctx, ends[1], parent);
    }
    close(ends[1]);
    const status_t st =
        child < 0 ? fail(STATUS_ENVIRONMENT, "no process can be started: %s", strerror(errno))
                  : be_parent(child, ends[0], oom_kills, bytes, len);
    close(ends[0]);
    return st;
}
