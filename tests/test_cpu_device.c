/* The CPU device: memory, transfers, recording and replaying, profiles, facts. */
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness/cpu_load.h"
#include "harness/cpu_topology.h"
#include "harness/registry.h"
#include "harness/timing.h"

/* cmocka has a fail() of its own: it comes after ours, and after what it needs itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static device_t *device;

static int open_device(void **state) {
    (void)state;
    if (registry_check() != STATUS_OK) return -1;
    return device_open("cpu", &device) == STATUS_OK ? 0 : -1;
}

static int close_device(void **state) {
    (void)state;
    device->ops->close(device);
    return 0;
}

static void test_info(void **state) {
    (void)state;
    assert_string_equal(device->id, "cpu");
    assert_true(strlen(device->name) > 0);
    assert_int_equal(device->info.kind, DEVICE_CPU);
    assert_true(device->info.cores >= 1);
    assert_true(device->info.private_cache_bytes >= 16 << 10);
    assert_true(device->info.cache_bytes >= device->info.private_cache_bytes);
}

static void test_alloc_aligned_and_transfers(void **state) {
    (void)state;
    static const size_t SIZES[] = {1, 255, 4096, 3000000, 40000001};
    for (size_t s = 0; s < sizeof SIZES / sizeof *SIZES; s++) {
        const size_t bytes = SIZES[s];
        unsigned char *from = malloc(bytes), *back = malloc(bytes);
        void *a, *b;
        assert_non_null(from);
        assert_non_null(back);
        for (size_t i = 0; i < bytes; i++) from[i] = (unsigned char)(i * 31 + 7);
        assert_int_equal(device->ops->alloc(device, bytes, &a), STATUS_OK);
        assert_int_equal(device->ops->alloc(device, bytes, &b), STATUS_OK);
        assert_int_equal((uintptr_t)a % 256, 0);
        assert_int_equal(device->ops->fill(device, b, 0xA5, bytes), STATUS_OK);
        assert_int_equal(((unsigned char *)b)[bytes - 1], 0xA5);
        assert_int_equal(device->ops->upload(device, a, from, bytes), STATUS_OK);
        assert_int_equal(device->ops->copy(device, b, a, bytes), STATUS_OK);
        assert_int_equal(device->ops->download(device, back, b, bytes), STATUS_OK);
        assert_memory_equal(from, back, bytes);
        device->ops->free(device, a);
        device->ops->free(device, b);
        free(from);
        free(back);
    }
}

static void test_alloc_refuses_what_does_not_fit(void **state) {
    (void)state;
    const size_t sizes[] = {SIZE_MAX, SIZE_MAX / 2, (size_t)1 << 50,
                            (size_t)cpu_memory_available() + ((size_t)1 << 30)};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        void *memory = &device;
        assert_int_equal(device->ops->alloc(device, sizes[i], &memory), STATUS_OOM);
        assert_null(memory);
        assert_true(strlen(last_error()) > 0);
    }
}

typedef struct {
    int calls, last, fail_at;
} counter_t;

static status_t sleep_ms(void *arg, int index, stream_t stream) {
    counter_t *c = arg;
    assert_null(stream);
    if (c->calls++ == c->fail_at) return (fail)(STATUS_DEVICE, "as asked");
    c->last = index;
    nanosleep(&(struct timespec){0, 1000000}, NULL);
    return STATUS_OK;
}

static void test_replay_times_and_counts(void **state) {
    (void)state;
    for (int cold = 0; cold < 2; cold++) {
        counter_t c = {.fail_at = -1};
        recording_t *recording;
        double us = 0;
        assert_int_equal(device->ops->record(device, sleep_ms, &c, 5, cold, &recording), STATUS_OK);
        assert_int_equal(c.calls, 0);
        assert_int_equal(device->ops->kernels(recording), 1);
        for (int replay = 1; replay <= 2; replay++) {
            const double start_s = now_s();
            assert_int_equal(device->ops->replay(device, recording, &us), STATUS_OK);
            assert_int_equal(c.calls, 5 * replay);
            assert_int_equal(c.last, 5 * replay - 1); /* indices go on */
            assert_true(us >= 1000 && 5 * us <= 1e6 * (now_s() - start_s));
        }
        device->ops->discard(recording);
    }
}

static void test_errors_of_work_come_back(void **state) {
    (void)state;
    counter_t c = {.fail_at = 2};
    recording_t *recording;
    double us;
    assert_int_equal(device->ops->record(device, sleep_ms, &c, 5, false, &recording), STATUS_OK);
    assert_int_equal(device->ops->replay(device, recording, &us), STATUS_DEVICE);
    assert_int_equal(c.calls, 3);
    device->ops->discard(recording);
    assert_int_equal(device->ops->record(device, sleep_ms, &c, 0, false, &recording), STATUS_USAGE);
    assert_null(recording);
}

static void test_run_and_stream(void **state) {
    (void)state;
    counter_t c = {.fail_at = -1};
    double us = 0;
    assert_int_equal(device->ops->run(device, sleep_ms, &c, 41), STATUS_OK);
    assert_int_equal(c.calls, 1);
    assert_int_equal(c.last, 41);
    const double start_s = now_s();
    assert_int_equal(device->ops->stream_us(device, sleep_ms, &c, 4, &us), STATUS_OK);
    assert_int_equal(c.calls, 5);
    assert_true(us >= 1000 && 4 * us <= 1e6 * (now_s() - start_s));
}

enum { STEPS = 5 }; /* of a pass */

static status_t note_step(void *arg, int index, stream_t stream) {
    (void)stream;
    int *seen = arg;
    seen[++seen[0]] = index;
    return index == 3 && seen[0] > STEPS ? STATUS_DEVICE : STATUS_OK;
}

static void test_profile(void **state) {
    (void)state;
    int seen[2 * STEPS + 2] = {0};
    double us[2 * STEPS];
    for (int i = 0; i < 2 * STEPS; i++) us[i] = -1;
    assert_int_equal(device->ops->profile(device, note_step, seen, STEPS, 1, us), STATUS_OK);
    assert_int_equal(seen[0], STEPS);
    for (int i = 0; i < STEPS; i++) assert_true(seen[1 + i] == i && us[i] >= 0 && us[STEPS] == -1);
    seen[0] = 0;
    assert_int_equal(device->ops->profile(device, note_step, seen, STEPS, 2, us), STATUS_DEVICE);
    assert_int_equal(seen[0], STEPS + 4); /* it ends with the step that fails */
    assert_true(us[STEPS] >= 0 && us[2 * STEPS - 1] == -1);
}

typedef struct {
    double *values;
    int64_t len;
} array_t;

static status_t sum_array(void *arg, int index, stream_t stream) {
    (void)index, (void)stream;
    const array_t *a = arg;
    double sum = 0;
    for (int64_t i = 0; i < a->len; i += 8) sum += a->values[i];
    a->values[0] = sum > 0 ? 1 : 0;
    return STATUS_OK;
}

static double least_us(array_t *a, bool cold) {
    recording_t *recording;
    double least = INFINITY, us;
    assert_int_equal(device->ops->record(device, sum_array, a, 8, cold, &recording), STATUS_OK);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(device->ops->replay(device, recording, &us), STATUS_OK);
        least = fmin(least, us);
    }
    device->ops->discard(recording);
    return least;
}

/* Data that fits in L2 takes longer to read when it was flushed; unless others on the core use the
 * cache too, so it has a while to show. */
static void test_cold_flushes(void **state) {
    (void)state;
    void *memory;
    array_t a = {.len = device->info.private_cache_bytes / 2 / (int64_t)sizeof(double)};
    assert_int_equal(device->ops->alloc(device, (size_t)a.len * sizeof(double), &memory),
                     STATUS_OK);
    a.values = memory;
    bool slower = false;
    for (int attempt = 0; attempt < 50 && !slower; attempt++)
        slower = least_us(&a, true) > 1.2 * least_us(&a, false);
    assert_true(slower);
    device->ops->free(device, memory);
}

static void test_state(void **state) {
    (void)state;
    device_state_t s = {0, 0, 0, "x"};
    assert_int_equal(device->ops->state(device, &s), STATUS_OK);
    assert_true(isnan(s.sm_clock_mhz) || (s.sm_clock_mhz > 100 && s.sm_clock_mhz < 10000));
    assert_true(isnan(s.power_w));
    assert_true(isnan(s.temperature_c) || (s.temperature_c > -50 && s.temperature_c < 150));
    assert_true(!strcmp(s.throttle, "") || !strcmp(s.throttle, "none") ||
                !strcmp(s.throttle, "other_load"));
}

/* A child that spins on every CPU for `seconds`. */
static pid_t spin(const cpu_topology_t *topology, double seconds) {
    const pid_t child = fork();
    if (child != 0) return child;
    for (int i = 1; i < topology->cpus_len; i++)
        if (fork() == 0) break;
    const double end = now_s() + seconds;
    while (now_s() < end) continue;
    _exit(0);
}

static void test_load_of_others(void **state) {
    (void)state;
    cpu_topology_t topology;
    cpu_load_t load = {0};
    cpu_topology_read(&topology);
    if (topology.quota > 0) skip(); /* the children would be held back by the same quota */
    assert_true(isnan(cpu_load_others(topology.cpus, topology.cpus_len, &load)));
    const pid_t child = spin(&topology, 0.6);
    assert_true(child > 0);
    usleep(500000);
    double others, again, start_s;
    do { /* at once after a reading, which a busy machine may prevent, comes the same again */
        others = cpu_load_others(topology.cpus, topology.cpus_len, &load);
        assert_true(others > 0.3 && others <= 1);
        start_s = now_s();
        again = cpu_load_others(topology.cpus, topology.cpus_len, &load);
    } while (now_s() - start_s > 0.05);
    assert_float_equal(again, others, 0);
    waitpid(child, NULL, 0);
    usleep(150000);

    /* what this process itself uses is not of others, however long it takes to get it */
    cpu_load_others(topology.cpus, topology.cpus_len, &load);
    const cpu_load_t before = load;
    for (const clock_t end = clock() + CLOCKS_PER_SEC / 2; clock() < end;) continue;
    cpu_load_others(topology.cpus, topology.cpus_len, &load);
    assert_true(load.own - before.own >= 0.4 * (double)sysconf(_SC_CLK_TCK));
}

typedef struct {
    int count, threads;
    bool cpu, openblas;
} seen_t;

static void see(void *ctx, const char *key, const char *value) {
    seen_t *seen = ctx;
    seen->count++;
    assert_true(strlen(value) > 0);
    if (!strcmp(key, "cpu_cores")) seen->cpu = true;
    if (!strcmp(key, "openblas")) seen->openblas = strstr(value, "OpenBLAS") != NULL;
    if (!strcmp(key, "cpu_threads")) seen->threads = atoi(value);
}

static void test_facts(void **state) {
    (void)state;
    seen_t seen = {0};
    device->ops->facts(device, see, &seen);
    assert_true(seen.count >= 10);
    assert_true(seen.cpu && seen.openblas);
    assert_int_equal(seen.threads, device->info.cores);
}

static void test_close_restores_affinity(void **state) {
    (void)state;
    cpu_set_t before, after;
    device_t *other;
    CPU_ZERO(&before);
    CPU_ZERO(&after);
    /* The group's device stays open: what a second one finds is what it must leave. */
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    assert_int_equal(device_open("cpu", &other), STATUS_OK);
    other->ops->close(other);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
    assert_int_equal(device_open("cpu:1", &other), STATUS_USAGE);
}

static void test_topology(void **state) {
    (void)state;
    cpu_topology_t t;
    cpu_topology_read(&t);
    assert_true(t.cores >= 1 && t.cores <= t.cpus_len && t.sockets >= 1);
    for (int i = 0; i < t.cpus_len; i++)
        for (int j = 0; j < i; j++) assert_int_not_equal(t.cpus[i], t.cpus[j]);
    assert_true(cpu_llc_bytes(t.cpus, 1) <= cpu_llc_bytes(t.cpus, t.cpus_len));
    assert_true(cpu_memory_available() > 0 && cpu_memory_available() <= cpu_memory_bytes());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info),
        cmocka_unit_test(test_alloc_aligned_and_transfers),
        cmocka_unit_test(test_alloc_refuses_what_does_not_fit),
        cmocka_unit_test(test_replay_times_and_counts),
        cmocka_unit_test(test_errors_of_work_come_back),
        cmocka_unit_test(test_run_and_stream),
        cmocka_unit_test(test_profile),
        cmocka_unit_test(test_cold_flushes),
        cmocka_unit_test(test_state),
        cmocka_unit_test(test_facts),
        cmocka_unit_test(test_close_restores_affinity),
        cmocka_unit_test(test_load_of_others),
        cmocka_unit_test(test_topology),
    };
    return cmocka_run_group_tests(tests, open_device, close_device);
}
