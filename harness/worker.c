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
typedef struct reply {
    reply_kind_t kind;
    status_t status; /* REPLY_END: what came of the job, and why */
    char why[512];
    union {
        struct {
            device_t device;
            int siblings;
        } opened;
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

static reply_t reply; /* of this process, where it is a worker */

static void remote_facts(device_t *device, fact_t fact, void *ctx);
static status_t remote_state(device_t *device, device_state_t *out);
static status_t remote_ceilings(device_t *device, ceiling_emit_t emit, void *ctx);

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
        char why[WHY_LEN];
        reply.opened.device = *m.device;
        reply.opened.siblings = m.device->ops->count(why, sizeof why);
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
    if (w->pid != 0 && !w->busy) {
        shutdown(w->socket, SHUT_WR);
        reap(w, STOP_LIMIT_S, &status);
    }
    end_at_once(w);
    free(w->reply);
    *w = (worker_t){.device = w->device, .siblings = w->siblings};
}

/* ---- asking ---- */

static void expect(worker_t *w, double limit_s) {
    w->busy = true;
    w->limit_s = limit_s;
    w->end_s = now_s() + limit_s;
    w->heard = STATUS_OK;
    w->got = 0;
    w->reply->kind = REPLY_NONE;
}

/* A process that cannot be told is found dead when it is waited for. */
static void begin(worker_t *w, job_t job, const point_row_t *row, double limit_s) {
    static request_t request;
    request.job = job;
    if (row) request.row = *row;
    expect(w, limit_s);
    send_all(w->socket, &request, sizeof request);
}

static void hear_device(worker_t *w) {
    static device_ops_t remote;
    const device_kind_t kind = w->reply->opened.device.info.kind;
    remote = (device_ops_t){.kind = kind,
                            .fixed_sequence = device_ops(kind)->fixed_sequence,
                            .facts = remote_facts,
                            .state = remote_state,
                            .ceilings = remote_ceilings};
    w->device = w->reply->opened.device;
    w->device.ops = &remote;
    w->siblings = w->reply->opened.siblings;
}

static status_t hear_ceiling(worker_t *w) {
    ceiling_t ceiling = w->reply->ceiling.values;
    ceiling.dtype = w->reply->ceiling.dtype;
    ceiling.method = w->reply->ceiling.method;
    ceiling.unit = w->reply->ceiling.unit;
    return w->emit(w->ctx, &ceiling);
}

/* What comes before the end of a job. */
static void hear(worker_t *w) {
    if (w->reply->kind == REPLY_DEVICE) hear_device(w);
    if (w->reply->kind == REPLY_FACT) w->fact(w->ctx, w->reply->fact.key, w->reply->fact.value);
    if (w->reply->kind == REPLY_CEILING && w->heard == STATUS_OK) w->heard = hear_ceiling(w);
}

static status_t out_of_time(worker_t *w) {
    if (!end_at_once(w))
        return fail(STATUS_DEVICE, "no answer within %.3g s, and its process cannot be ended",
                    w->limit_s);
    return fail(STATUS_DEVICE, "no answer within %.3g s: its process was ended", w->limit_s);
}

/* What came of a job whose end was received. */
static status_t ended(worker_t *w) {
    const reply_t *r = w->reply;
    if (r->status == STATUS_OK) return w->heard;
    if (r->status == STATUS_DEVICE) end_at_once(w);
    return fail(r->status, "%s", r->why);
}

/* Takes what has come, which may be a part of a reply. True once the job has ended. */
static bool receive(worker_t *w, status_t *st) {
    const ssize_t n = recv(w->socket, (char *)w->reply + w->got, sizeof *w->reply - w->got, 0);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return false;
    if (n <= 0) {
        w->reply->kind = REPLY_NONE; /* part of it may have come */
        *st = died(w);
        return true;
    }
    w->got += (size_t)n;
    if (w->got < sizeof *w->reply) return false;
    w->got = 0;
    if (w->reply->kind == REPLY_END) {
        *st = ended(w);
        return true;
    }
    hear(w);
    return false;
}

static status_t end_all(worker_t *workers, int len) {
    for (int i = 0; i < len; i++)
        if (workers[i].busy) {
            workers[i].busy = false;
            end_at_once(&workers[i]);
        }
    return fail(STATUS_INTERRUPTED, "interrupted");
}

/* Which of the workers has something to say, or none in time. */
static void wait_for_any(const worker_t *workers, int len, struct pollfd *ready) {
    double wait_s = 1; /* a signal that came just before poll() is seen a second later */
    for (int i = 0; i < len; i++) {
        const worker_t *w = &workers[i];
        ready[i] = (struct pollfd){.fd = w->busy ? w->socket : -1, .events = POLLIN};
        if (w->busy) wait_s = fmin(wait_s, fmax(w->end_s - now_s(), 0));
    }
    if (poll(ready, (nfds_t)len, (int)ceil(wait_s * 1000)) > 0) return;
    for (int i = 0; i < len; i++) ready[i].revents = 0;
}

status_t worker_await(worker_t *workers, int len, int *which) {
    struct pollfd ready[len];
    status_t st = STATUS_OK;
    *which = -1;
    for (;;) {
        if (interrupted()) return end_all(workers, len);
        wait_for_any(workers, len, ready);
        for (int i = 0; i < len && *which < 0; i++) {
            worker_t *w = &workers[i];
            const bool late = w->busy && now_s() > w->end_s;
            if (!w->busy || !(ready[i].revents ? receive(w, &st) : late)) continue;
            if (!ready[i].revents) st = out_of_time(w);
            w->busy = false;
            *which = i;
        }
        if (*which >= 0) return st;
    }
}

static status_t await_one(worker_t *w) {
    int which;
    return worker_await(w, 1, &which);
}

static void remote_facts(device_t *device, fact_t fact, void *ctx) {
    worker_t *w = (worker_t *)device;
    if (worker_ready(w) != STATUS_OK) return;
    w->fact = fact;
    w->ctx = ctx;
    begin(w, JOB_FACTS, NULL, OPEN_LIMIT_S);
    await_one(w);
}

static status_t remote_state(device_t *device, device_state_t *out) {
    worker_t *w = (worker_t *)device;
    status_t st = worker_ready(w);
    if (st != STATUS_OK) return st;
    begin(w, JOB_STATE, NULL, OPEN_LIMIT_S);
    st = await_one(w);
    if (st == STATUS_OK) *out = w->reply->state;
    return st;
}

void worker_begin_ceilings(worker_t *w, ceiling_emit_t emit, void *ctx) {
    w->emit = emit;
    w->ctx = ctx;
    begin(w, JOB_CEILINGS, NULL, CEILINGS_LIMIT_S);
}

static status_t remote_ceilings(device_t *device, ceiling_emit_t emit, void *ctx) {
    worker_t *w = (worker_t *)device;
    const status_t st = worker_ready(w);
    if (st != STATUS_OK) return st;
    worker_begin_ceilings(w, emit, ctx);
    return await_one(w);
}

status_t worker_begin_start(worker_t *w) {
    int ends[2];
    if (!w->reply) w->reply = malloc(sizeof *w->reply);
    if (!w->reply) return fail(STATUS_OOM, "out of host memory for a worker process");
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
    expect(w, OPEN_LIMIT_S);
    return STATUS_OK;
}

status_t worker_ready(worker_t *w) {
    if (w->pid != 0) return STATUS_OK;
    status_t st = worker_begin_start(w);
    if (st != STATUS_OK) return st;
    st = await_one(w);
    if (st != STATUS_OK) end_at_once(w);
    return st;
}

status_t worker_start(const char *spec, double budget_s, worker_t *w) {
    *w = (worker_t){.spec = spec, .budget_s = budget_s};
    return worker_ready(w);
}

status_t worker_probe(worker_t *w, point_row_t *row) {
    status_t st = worker_ready(w);
    if (st != STATUS_OK) return st;
    begin(w, JOB_PROBE, NULL, OPEN_LIMIT_S);
    st = await_one(w);
    if (st == STATUS_OK) *row = w->reply->point.row;
    return st;
}

void worker_begin_time(worker_t *w, double limit_s, const point_row_t *row) {
    begin(w, JOB_TIME, row, limit_s);
}

void worker_begin_count(worker_t *w, double limit_s, const point_row_t *row) {
    begin(w, JOB_COUNT, row, limit_s);
}

void worker_take_row(const worker_t *w, point_row_t *row) {
    if (w->reply->kind == REPLY_END) *row = w->reply->point.row;
}

int worker_samples(const worker_t *w, const double **samples) {
    *samples = w->reply->point.samples;
    return w->reply->point.samples_len;
}
