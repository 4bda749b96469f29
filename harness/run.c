/* A run directory opened and closed, and run.csv, which says whose rows may stand in it. Each kind
 * of table has a file of its own: run_ceilings.c, run_plan.c, run_points.c, run_models.c. */
#include "harness/run.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "harness/cpu_topology.h"
#include "harness/version.h"

typedef struct {
    run_t *run; /* learns its run_id, and whether points are of one device each */
    whole_table_t file;
    status_t st;
} fact_writer_t;

static void write_fact(void *ctx, const char *key, const char *value) {
    fact_writer_t *w = ctx;
    run_row_t row;
    row_clear(&RUN_TABLE, &row);
    row_set_text(row.key, "%s", key);
    row_set_text(row.value, "%s", value);
    if (!strcmp(key, "run_id")) row_set_text(w->run->run_id, "%s", value);
    if (!strcmp(key, "pin_point")) w->run->by_device = !strcmp(value, "yes");
    if (w->st == STATUS_OK)
        w->st = table_write_row(&RUN_TABLE, w->file.file, w->file.temporary, &row);
}

static void host_facts(fact_t fact, void *ctx) {
    struct utsname name;
    if (uname(&name) == 0) {
        fact(ctx, "host", name.nodename);
        char kernel[TEXT_LEN];
        row_set_text(kernel, "%s %s", name.sysname, name.release);
        fact(ctx, "kernel", kernel);
    }
    char cpu[TEXT_LEN];
    cpu_model_name(cpu, sizeof cpu);
    fact(ctx, "cpu", cpu);
    fact(ctx, "blroof", VERSION_TEXT);
    fact(ctx, "git", VERSION_GIT);
    fact(ctx, "git_dirty", VERSION_DIRTY);
    fact(ctx, "compiler", VERSION_COMPILER);
    fact(ctx, "nvcc", VERSION_NVCC);
}

static void identity_facts(device_t *device, fact_t fact, void *ctx) {
    host_facts(fact, ctx);
    fact(ctx, "device", device->id);
    fact(ctx, "device_name", device->name);
    device->ops->facts(device, fact, ctx);
}

/* The command line as the kernel keeps it, its arguments parted by spaces. */
static void argv_fact(fact_t fact, void *ctx) {
    char command[TEXT_LEN];
    FILE *file = fopen("/proc/self/cmdline", "r");
    if (!file) return;
    const size_t len = fread(command, 1, sizeof command - 1, file);
    fclose(file);
    for (size_t i = 0; i < len; i++)
        if (command[i] == '\0') command[i] = ' ';
    command[len > 0 && command[len - 1] == ' ' ? len - 1 : len] = '\0';
    fact(ctx, "argv", command);
}

void run_new_facts(fact_t fact, void *ctx) {
    const time_t now = time(NULL);
    struct tm tm;
    char stamp[32], run_id[TEXT_LEN], utc[32];
    unsigned salt = (unsigned)getpid();
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
    strftime(utc, sizeof utc, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (getrandom(&salt, sizeof salt, 0) < 0) salt = (unsigned)getpid();
    row_set_text(run_id, "%s-%04x", stamp, salt & 0xffff);
    fact(ctx, "run_id", run_id);
    fact(ctx, "utc", utc);
    argv_fact(fact, ctx);
}

static void counter_facts(const counters_t *counters, fact_t fact, void *ctx) {
    fact(ctx, "counter_source", counters->source);
    fact(ctx, "counter_status", counter_status_name(counters->status));
    if (counters->reason[0]) fact(ctx, "counter_reason", counters->reason);
}

static status_t write_run_csv(run_t *run, device_t *device, const counters_t *counters) {
    fact_writer_t w = {.run = run};
    w.st = whole_table_open(run->path, &RUN_TABLE, &w.file);
    if (w.st == STATUS_OK) {
        run_new_facts(write_fact, &w);
        identity_facts(device, write_fact, &w);
        if (counters) counter_facts(counters, write_fact, &w);
    }
    return whole_table_close(&w.file, w.st);
}

/* What must be the same for rows to stand in one file. A GPU is known by its uuid on any host. */
static const struct {
    const char *key, *what;
} SAME[] = {{"blroof", "by blroof"},
            {"git", "by the blroof of commit"},
            {"device", "on"},
            {"device_name", "on"},
            {"gpu_uuid", "on the GPU"},
            {"host", "on host"},
            {"devices", "on devices numbering"},
            {"pin_point", "with --pin-point:"}};
enum { SAME_LEN = sizeof SAME / sizeof *SAME, SAME_UUID = 4, SAME_HOST };

typedef struct {
    char values[SAME_LEN][TEXT_LEN]; /* "": not known */
    char run_id[TEXT_LEN];
    bool by_device;
} facts_t;

static void take_fact(void *ctx, const char *key, const char *value) {
    facts_t *facts = ctx;
    if (!strcmp(key, "run_id")) row_set_text(facts->run_id, "%s", value);
    if (!strcmp(key, "pin_point")) facts->by_device = !strcmp(value, "yes");
    for (int i = 0; i < SAME_LEN; i++)
        if (!strcmp(key, SAME[i].key)) row_set_text(facts->values[i], "%s", value);
}

static status_t read_fact(void *ctx, const void *data, int line) {
    (void)line;
    const run_row_t *row = data;
    take_fact(ctx, row->key, row->value);
    return STATUS_OK;
}

static status_t adopt_run_csv(run_t *run, device_t *device) {
    char path[PATH_LEN];
    facts_t then = {0}, now = {0};
    path_in(run->path, RUN_TABLE.file, path);
    status_t st = table_read(&RUN_TABLE, path, true, read_fact, &then);
    if (st != STATUS_OK) return st;
    identity_facts(device, take_fact, &now);
    for (int i = 0; i < SAME_LEN; i++) {
        const char *was = then.values[i], *is = now.values[i];
        if (!*was || !*is || !strcmp(was, is) || (i == SAME_HOST && *now.values[SAME_UUID]))
            continue;
        return fail(STATUS_USAGE, "%s was measured %s %s, not %s: use another -o", run->path,
                    SAME[i].what, was, is);
    }
    memcpy(run->run_id, then.run_id, TEXT_LEN);
    run->by_device = then.by_device;
    return STATUS_OK;
}

status_t run_open(const char *path, device_t *device, const counters_t *counters, bool resume,
                  run_t *run) {
    *run = (run_t){0};
    if (strlen(path) >= sizeof run->path)
        return fail(STATUS_USAGE, "the path of the run directory is too long");
    snprintf(run->path, sizeof run->path, "%s", path);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fail(STATUS_IO, "cannot make the run directory %s: %s", path, strerror(errno));
    const status_t st = lock_take(path, &run->lock);
    if (st != STATUS_OK) return st;
    if (exists_in(run->path, POINTS_TABLE.file) && !resume)
        return fail(STATUS_USAGE, "%s already holds a sweep: add --resume or use another -o", path);
    if (exists_in(run->path, RUN_TABLE.file)) return adopt_run_csv(run, device);
    return write_run_csv(run, device, counters);
}

static status_t copy_fact(void *ctx, const void *data, int line) {
    (void)line;
    const run_row_t *row = data;
    fact_writer_t *w = ctx;
    if (strcmp(row->key, "points") != 0) write_fact(w, row->key, row->value);
    return w->st;
}

status_t run_note_points(run_t *run, int points) {
    char path[PATH_LEN], text[16];
    fact_writer_t w = {.run = run};
    path_in(run->path, RUN_TABLE.file, path);
    w.st = whole_table_open(run->path, &RUN_TABLE, &w.file);
    if (w.st == STATUS_OK) w.st = table_read(&RUN_TABLE, path, true, copy_fact, &w);
    snprintf(text, sizeof text, "%d", points);
    write_fact(&w, "points", text);
    return whole_table_close(&w.file, w.st);
}

void run_close(run_t *run) {
    if (run->points) fclose(run->points);
    if (run->samples) fclose(run->samples);
    if (run->models) fclose(run->models);
    if (run->model_layers) fclose(run->model_layers);
    tdestroy(run->done, free);
    lock_release(&run->lock);
    *run = (run_t){0};
}
