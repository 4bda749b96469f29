#include "harness/worker.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/measure.h"
#include "harness/process.h"
#include "harness/registry.h"
#include "results/csv_table.h"

/* A large machine takes its time to start its GPUs, and a large one to be measured. */
static const double OPEN_LIMIT_S = 300, CEILINGS_LIMIT_S = 1800, STOP_LIMIT_S = 30;

typedef enum { JOB_PROBE, JOB_FACTS, JOB_STATE, JOB_CEILINGS, JOB_TIME, JOB_COUNT } job_t;

typedef struct {
    job_t job;
    point_row_t row;
} request_t;

typedef enum { REPLY_NONE, REPLY_DEVICE, REPLY_FACT, REPLY_CEILING, REPLY_END } reply_kind_t;

/* All of them have one size: that of the row and its samples. */
typedef struct {
    reply_kind_t kind;
    status_t status; /* REPLY_END: what came of the job, and why */
    char why[512];
    union {
        device_t device;
        run_row_t fact;
        device_state_t state;
        struct {
            ceiling_t values; /* its texts are those below */
            char dtype[32], method[64], unit[32];
        } ceiling;
        struct {
            point_row_t row;
            int samples_len;
            double samples[TIMING_MAX_SAMPLES];
        } point;
    };
} reply_t;

static reply_t reply; /* of the worker in a worker, last received in its parent */

static bool send_all(int socket, const void *bytes, size_t len) {
    for (size_t sent = 0; sent < len;) {
        const ssize_t n = send(socket, (const char *)bytes + sent, len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        sent += (size_t)n;
    }
    return true;
}

/* ---- in the worker ---- */

/* The parent is gone when it cannot be told: nobody is left to work for. */
static void tell(int socket, reply_kind_t kind) {
    reply.kind = kind;
    if (!send_all(socket, &reply, sizeof reply)) _exit(1);
}

static void end_job(int socket, status_t st) {
    reply.status = st;
    snprintf(reply.why, sizeof reply.why, "%s", st == STATUS_OK ? "" : last_error());
    tell(socket, REPLY_END);
}

static void tell_fact(void *ctx, const char *key, const char *value) {
    row_set_text(reply.fact.key, "%s", key);
    row_set_text(reply.fact.value, "%s", value);
    tell(*(const int *)ctx, REPLY_FACT);
}

static status_t tell_ceiling(void *ctx, const ceiling_t *ceiling) {
    reply.ceiling.values = *ceiling;
    snprintf(reply.ceiling.dtype, sizeof reply.ceiling.dtype, "%s", ceiling->dtype);
    snprintf(reply.ceiling.method, sizeof reply.ceiling.method, "%s", ceiling->method);
    snprintf(reply.ceiling.unit, sizeof reply.ceiling.unit, "%s", ceiling->unit);
    tell(*(const int *)ctx, REPLY_CEILING);
    return STATUS_OK;
}

static status_t time_point(measure_t *m, const point_row_t *asked) {
    timing_t timing = {0};
    reply.point.row = *asked;
    const status_t st = measure_time(m, &reply.point.row, &timing);
    reply.point.samples_len = timing.samples_len;
    if (timing.samples_len > 0)
        memcpy(reply.point.samples, timing.samples,
               (size_t)timing.samples_len * sizeof *timing.samples);
    timing_free(&timing);
    return st;
}

static void do_job(measure_t *m, int socket, const request_t *request) {
    status_t st = STATUS_OK;
    switch (request->job) {
    case JOB_PROBE:
        measure_probe(m, &reply.point.row);
        break;
    case JOB_FACTS:
        m->device->ops->facts(m->device, tell_fact, &socket);
        break;
    case JOB_STATE:
        st = m->device->ops->state(m->device, &reply.state);
        break;
    case JOB_CEILINGS:
        st = m->device->ops->ceilings(m->device, tell_ceiling, &socket);
        break;
    case JOB_TIME:
        st = time_point(m, &request->row);
        break;
    case JOB_COUNT:
        reply.point.row = request->row;
        st = measure_count(m, &reply.point.row);
        break;
    }
    end_job(socket, st);
}

static _Noreturn void serve(const worker_t *w, int socket, pid_t parent) {
    static request_t request;
    measure_t m;
    process_obey(parent);
    status_t st = measure_open(w->spec, w->budget_s, &m);
    if (st == STATUS_OK) {
        reply.device = *m.device;
        tell(socket, REPLY_DEVICE);
    }
    end_job(socket, st);
    while (recv(socket, &request, sizeof request, MSG_WAITALL) == sizeof request)
        do_job(&m, socket, &request);
    measure_close(&m);
    _exit(0); /* what the parent has open is not the child's to flush */
}

/* ---- how a worker ends ---- */

/* Waits for the end of the process, for which a driver may need a while. */
static bool reap(worker_t *w, double limit_s, int *status) {
    const double end_s = now_s() + limit_s;
    pid_t ended;
    while ((ended = waitpid(w->pid, status, WNOHANG)) == 0 && now_s() < end_s) usleep(1000);
    if (ended == 0) return false;
    close(w->socket);
    w->pid = 0;
    return true;
}

/* A process that even SIGKILL does not end is stuck in the driver; it is left behind. */
static bool end_at_once(worker_t *w) {
    int status;
    if (w->pid == 0) return true;
    kill(w->pid, SIGKILL);
    if (reap(w, STOP_LIMIT_S, &status)) return true;
    close(w->socket);
    w->pid = 0;
    return false;
}

/* The other end of the socket is closed: says what became of the process. */
static status_t died(worker_t *w) {
    int status = 0;
    if (!reap(w, STOP_LIMIT_S, &status)) {
        end_at_once(w);
        return fail(STATUS_DEVICE, "its process stopped answering");
    }
    return process_verdict(status, w->oom_kills);
}

void worker_stop(worker_t *w) {
    int status;
    if (w->pid == 0) return;
    shutdown(w->socket, SHUT_WR);
    if (!reap(w, STOP_LIMIT_S, &status)) end_at_once(w);
}

/* ---- asking ---- */

static status_t out_of_time(worker_t *w, double limit_s) {
    if (!end_at_once(w))
        return fail(STATUS_DEVICE, "no answer within %.3g s, and its process cannot be ended",
                    limit_s);
    return fail(STATUS_DEVICE, "no answer within %.3g s: its process was ended", limit_s);
}

/* Fills `reply`. */
static status_t receive(worker_t *w, double end_s, double limit_s) {
    for (size_t got = 0; got < sizeof reply;) {
        const double left_s = end_s - now_s();
        struct pollfd ready = {.fd = w->socket, .events = POLLIN};
        if (interrupted()) {
            end_at_once(w);
            return fail(STATUS_INTERRUPTED, "interrupted");
        }
        if (left_s <= 0) return out_of_time(w, limit_s);
        /* A signal that came just before poll() is seen a second later. */
        if (poll(&ready, 1, (int)ceil(fmin(left_s, 1) * 1000)) <= 0) continue;
        const ssize_t n = recv(w->socket, (char *)&reply + got, sizeof reply - got, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return died(w);
        got += (size_t)n;
    }
    return STATUS_OK;
}

typedef status_t (*visit_t)(worker_t *w, void *ctx);

/* Passes what comes before the end of the job to visit(). */
static status_t await_end(worker_t *w, double limit_s, visit_t visit, void *ctx) {
    const double end_s = now_s() + limit_s;
    status_t visited = STATUS_OK;
    for (;;) {
        const status_t st = receive(w, end_s, limit_s);
        if (st != STATUS_OK) reply.kind = REPLY_NONE; /* part of it may have come */
        if (st != STATUS_OK) return st;
        if (reply.kind == REPLY_END) break;
        if (visit && visited == STATUS_OK) visited = visit(w, ctx);
    }
    if (reply.status == STATUS_OK) return visited;
    if (reply.status == STATUS_DEVICE) end_at_once(w);
    return fail(reply.status, "%s", reply.why);
}

static status_t ask(worker_t *w, job_t job, const point_row_t *row, double limit_s, visit_t visit,
                    void *ctx) {
    static request_t request;
    status_t st = worker_ready(w);
    if (st != STATUS_OK) return st;
    request.job = job;
    if (row) request.row = *row;
    if (!send_all(w->socket, &request, sizeof request)) return died(w);
    return await_end(w, limit_s, visit, ctx);
}

typedef struct {
    fact_t fact;
    ceiling_emit_t emit;
    void *ctx;
} listener_t;

static status_t hear_fact(worker_t *w, void *ctx) {
    (void)w;
    const listener_t *l = ctx;
    l->fact(l->ctx, reply.fact.key, reply.fact.value);
    return STATUS_OK;
}

static status_t hear_ceiling(worker_t *w, void *ctx) {
    (void)w;
    const listener_t *l = ctx;
    ceiling_t ceiling = reply.ceiling.values;
    ceiling.dtype = reply.ceiling.dtype;
    ceiling.method = reply.ceiling.method;
    ceiling.unit = reply.ceiling.unit;
    return l->emit(l->ctx, &ceiling);
}

static void remote_facts(device_t *device, fact_t fact, void *ctx) {
    listener_t listener = {.fact = fact, .ctx = ctx};
    ask((worker_t *)device, JOB_FACTS, NULL, OPEN_LIMIT_S, hear_fact, &listener);
}

static status_t remote_state(device_t *device, device_state_t *out) {
    const status_t st = ask((worker_t *)device, JOB_STATE, NULL, OPEN_LIMIT_S, NULL, NULL);
    if (st == STATUS_OK) *out = reply.state;
    return st;
}

static status_t remote_ceilings(device_t *device, ceiling_emit_t emit, void *ctx) {
    listener_t listener = {.emit = emit, .ctx = ctx};
    return ask((worker_t *)device, JOB_CEILINGS, NULL, CEILINGS_LIMIT_S, hear_ceiling, &listener);
}

static status_t hear_device(worker_t *w, void *ctx) {
    (void)ctx;
    static device_ops_t remote;
    remote = (device_ops_t){.kind = reply.device.info.kind,
                            .fixed_sequence = device_ops(reply.device.info.kind)->fixed_sequence,
                            .facts = remote_facts,
                            .state = remote_state,
                            .ceilings = remote_ceilings};
    w->device = reply.device;
    w->device.ops = &remote;
    return STATUS_OK;
}

status_t worker_ready(worker_t *w) {
    int ends[2];
    if (w->pid != 0) return STATUS_OK;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return fail(STATUS_ENVIRONMENT, "no socket for a worker process: %s", strerror(errno));
    const pid_t parent = getpid();
    signal(SIGCHLD, SIG_DFL); /* ignored, as it may be inherited, it would hide how a child ended */
    fflush(NULL);
    w->oom_kills = process_oom_kills();
    w->pid = fork();
    if (w->pid == 0) {
        close(ends[0]);
        serve(w, ends[1], parent);
    }
    close(ends[1]);
    if (w->pid < 0) {
        close(ends[0]);
        w->pid = 0;
        return fail(STATUS_ENVIRONMENT, "no worker process can be started: %s", strerror(errno));
    }
    w->socket = ends[0];
    const status_t st = await_end(w, OPEN_LIMIT_S, hear_device, NULL);
    if (st != STATUS_OK) end_at_once(w);
    return st;
}

status_t worker_start(const char *spec, double budget_s, worker_t *w) {
    *w = (worker_t){.spec = spec, .budget_s = budget_s};
    return worker_ready(w);
}

status_t worker_probe(worker_t *w, point_row_t *row) {
    const status_t st = ask(w, JOB_PROBE, NULL, OPEN_LIMIT_S, NULL, NULL);
    if (st == STATUS_OK) *row = reply.point.row;
    return st;
}

/* A job that failed still tells what it found out; a process that died told nothing. */
static status_t ask_point(worker_t *w, job_t job, double limit_s, point_row_t *row) {
    reply.kind = REPLY_NONE;
    const status_t st = ask(w, job, row, limit_s, NULL, NULL);
    if (reply.kind == REPLY_END) *row = reply.point.row;
    return st;
}

status_t worker_time(worker_t *w, double limit_s, point_row_t *row, const double **samples,
                     int *samples_len) {
    *samples = reply.point.samples;
    *samples_len = 0;
    const status_t st = ask_point(w, JOB_TIME, limit_s, row);
    if (st == STATUS_OK) *samples_len = reply.point.samples_len;
    return st;
}

status_t worker_count(worker_t *w, double limit_s, point_row_t *row) {
    return ask_point(w, JOB_COUNT, limit_s, row);
}
