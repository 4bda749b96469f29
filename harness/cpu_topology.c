#include "harness/cpu_topology.h"

#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#if defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

enum { TEXT_MAX = 512 };

/* The first line of a file, without its newline. */
static bool read_line(const char *path, char *out, size_t len) {
    FILE *f = fopen(path, "r");
    if (!f) return false;
    const bool ok = fgets(out, (int)len, f) != NULL;
    fclose(f);
    if (ok) out[strcspn(out, "\n")] = '\0';
    return ok;
}

static bool read_int(const char *path, int64_t *out) {
    char text[TEXT_MAX], *end;
    if (!read_line(path, text, sizeof text)) return false;
    *out = strtoll(text, &end, 10);
    return end != text;
}

static int64_t cpu_int(int cpu, const char *file, int64_t otherwise) {
    char path[128];
    int64_t value;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/%s", cpu, file);
    return read_int(path, &value) ? value : otherwise;
}

/* The value of "key<separators>value" in a file of such lines. */
static bool read_key(const char *path, const char *key, char *out, size_t len) {
    char line[TEXT_MAX];
    bool found = false;
    FILE *f = fopen(path, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        const size_t key_len = strlen(key);
        if (strncmp(line, key, key_len) || !strchr(" \t:", line[key_len])) continue;
        const char *value = line + key_len + strspn(line + key_len, " \t:");
        snprintf(out, len, "%.*s", (int)strcspn(value, "\n"), value);
        found = true;
    }
    if (f) fclose(f);
    return found;
}

/* Bytes of a data cache of this level, and the list of CPUs that share it; 0 if there is none. */
static int64_t cache_bytes(int cpu, int level, char *shared, size_t len) {
    for (int index = 0; index < 8; index++) {
        char file[64], path[128], type[32] = "", size[32] = "";
        snprintf(file, sizeof file, "cache/index%d/level", index);
        if (cpu_int(cpu, file, 0) != level) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/type", cpu, index);
        if (!read_line(path, type, sizeof type) || !strcmp(type, "Instruction")) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/size", cpu, index);
        if (!read_line(path, size, sizeof size)) continue;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cache/index%d/shared_cpu_list",
                 cpu, index);
        if (!read_line(path, shared, len)) snprintf(shared, len, "%d", cpu);
        char *unit;
        const int64_t count = strtoll(size, &unit, 10);
        return count * (*unit == 'K' ? 1024 : *unit == 'M' ? 1024 * 1024 : 1);
    }
    return 0;
}

static int64_t cache_or_sysconf(int cpu, int level, int name, int64_t otherwise) {
    char shared[TEXT_MAX];
    int64_t bytes = cache_bytes(cpu, level, shared, sizeof shared);
    if (bytes <= 0) bytes = sysconf(name);
    return bytes > 0 ? bytes : otherwise;
}

int64_t cpu_llc_bytes(const int *cpus, int cpus_len) {
    char(*seen)[TEXT_MAX] = calloc((size_t)cpus_len, sizeof *seen);
    int64_t total = 0;
    int seen_len = 0;
    for (int i = 0; seen && i < cpus_len; i++) {
        char shared[TEXT_MAX] = "";
        int64_t bytes = cache_bytes(cpus[i], 3, shared, sizeof shared);
        if (bytes == 0) bytes = cache_bytes(cpus[i], 2, shared, sizeof shared);
        int j = 0;
        while (j < seen_len && strcmp(seen[j], shared)) j++;
        if (bytes == 0 || j < seen_len) continue;
        memcpy(seen[seen_len++], shared, sizeof shared);
        total += bytes;
    }
    free(seen);
    if (total == 0) total = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return total > 0 ? total : 8 << 20;
}

/* True if `name` is one of the comma-separated names. */
static bool has_name(const char *names, const char *name) {
    const size_t len = strlen(name);
    for (const char *at = names; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (!strncmp(at, name, len) && (at[len] == ',' || at[len] == '\0')) return true;
    return false;
}

/* Path of a control file of this process's cgroup: version 2, or the named controller of 1. */
static bool cgroup_file(const char *controller, const char *v1_file, const char *v2_file, char *out,
                        size_t len) {
    char line[TEXT_MAX];
    bool found = false;
    FILE *f = fopen("/proc/self/cgroup", "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;
        if (!path) continue;
        *names++ = *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        if (!*names)
            snprintf(out, len, "/sys/fs/cgroup%s/%s", path, v2_file);
        else if (has_name(names, controller))
            snprintf(out, len, "/sys/fs/cgroup/%s%s/%s", controller, path, v1_file);
        else
            continue;
        found = access(out, R_OK) == 0;
        /* Inside a container the path of the host is not there, but the group is the root. */
        if (!found) {
            snprintf(out, len, "/sys/fs/cgroup/%s/%s", *names ? controller : "",
                     *names ? v1_file : v2_file);
            found = access(out, R_OK) == 0;
        }
    }
    if (f) fclose(f);
    return found;
}

static int cpu_quota(void) {
    char path[TEXT_MAX], text[TEXT_MAX];
    double quota = 0, period = 0;
    if (!cgroup_file("cpu", "cpu.cfs_quota_us", "cpu.max", path, sizeof path) ||
        !read_line(path, text, sizeof text))
        return 0;
    if (sscanf(text, "%lf %lf", &quota, &period) == 1) {
        int64_t us;
        memcpy(strrchr(path, '/'), "/cpu.cfs_period_us", sizeof "/cpu.cfs_period_us");
        period = read_int(path, &us) ? (double)us : 0;
    }
    return quota > 0 && period > 0 ? (int)fmax(1, floor(quota / period)) : 0;
}

typedef struct {
    int64_t package, die, core;
} core_id_t;

static bool same_core(const core_id_t *a, const core_id_t *b) {
    return a->package == b->package && a->die == b->die && a->core == b->core;
}

/* OpenMP shuts the main thread into the first of its places: then the places are what is allowed.
 */
static void allowed_cpus(cpu_set_t *mask) {
    CPU_ZERO(mask);
    for (int place = 0; place < omp_get_num_places(); place++) {
        const int len = omp_get_place_num_procs(place);
        int ids[len > 0 ? len : 1];
        omp_get_place_proc_ids(place, ids);
        for (int i = 0; i < len; i++) CPU_SET(ids[i], mask);
    }
    if (CPU_COUNT(mask) == 0 && sched_getaffinity(0, sizeof *mask, mask) != 0) CPU_SET(0, mask);
}

void cpu_topology_read(cpu_topology_t *out) {
    cpu_set_t mask;
    core_id_t ids[MAX_CPUS] = {{0}};
    int siblings[MAX_CPUS], siblings_len = 0;
    *out = (cpu_topology_t){.quota = cpu_quota()};
    allowed_cpus(&mask);
    for (int cpu = 0; cpu < MAX_CPUS && cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &mask)) continue;
        const core_id_t id = {cpu_int(cpu, "topology/physical_package_id", 0),
                              cpu_int(cpu, "topology/die_id", 0),
                              cpu_int(cpu, "topology/core_id", cpu)};
        int i = 0, package = 0;
        while (i < out->cores && !same_core(&ids[i], &id)) i++;
        while (package < out->cores && ids[package].package != id.package) package++;
        if (package == out->cores) out->sockets++;
        if (i < out->cores) {
            siblings[siblings_len++] = cpu;
        } else {
            ids[out->cores] = id;
            out->cpus[out->cores++] = cpu;
        }
    }
    memcpy(out->cpus + out->cores, siblings, (size_t)siblings_len * sizeof *siblings);
    out->cpus_len = out->cores + siblings_len;
    out->l1d_bytes = cache_or_sysconf(out->cpus[0], 1, _SC_LEVEL1_DCACHE_SIZE, 32 << 10);
    out->private_bytes = cache_or_sysconf(out->cpus[0], 2, _SC_LEVEL2_CACHE_SIZE, 256 << 10);
}

void cpu_model_name(char *out, size_t len) {
    char part[64];
    if (read_key("/proc/cpuinfo", "model name", out, len)) return;
    if (read_key("/proc/cpuinfo", "CPU implementer", out, len) &&
        read_key("/proc/cpuinfo", "CPU part", part, sizeof part)) {
        char implementer[64];
        snprintf(implementer, sizeof implementer, "%.60s", out);
        snprintf(out, len, "implementer %s part %s", implementer, part);
        return;
    }
    snprintf(out, len, "unknown CPU");
}

const char *cpu_isa_name(void) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return "avx512f";
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return "avx2+fma";
    if (__builtin_cpu_supports("sse4.2")) return "sse4.2";
    return "scalar";
#elif defined(__aarch64__)
    return getauxval(AT_HWCAP) & HWCAP_SVE ? "sve" : "neon";
#else
    return "scalar";
#endif
}

int cpu_numa_nodes(void) {
    int nodes = 0;
    for (int node = 0; node < 256; node++) {
        char path[64];
        snprintf(path, sizeof path, "/sys/devices/system/node/node%d", node);
        nodes += access(path, F_OK) == 0;
    }
    return nodes > 0 ? nodes : 1;
}

static int64_t meminfo_bytes(const char *key) {
    char text[64];
    return read_key("/proc/meminfo", key, text, sizeof text) ? strtoll(text, NULL, 10) * 1024 : -1;
}

int64_t cpu_memory_bytes(void) {
    return meminfo_bytes("MemTotal");
}

int64_t cpu_memory_available(void) {
    char path[TEXT_MAX];
    int64_t available = meminfo_bytes("MemAvailable"), limit, used;
    if (available < 0) available = INT64_MAX;
    if (cgroup_file("memory", "memory.limit_in_bytes", "memory.max", path, sizeof path) &&
        read_int(path, &limit) &&
        cgroup_file("memory", "memory.usage_in_bytes", "memory.current", path, sizeof path) &&
        read_int(path, &used)) {
        /* The page cache counts as used, but gives way. */
        char text[64];
        if (cgroup_file("memory", "memory.stat", "memory.stat", path, sizeof path) &&
            read_key(path, "inactive_file", text, sizeof text))
            used -= strtoll(text, NULL, 10);
        const int64_t room = limit > used ? limit - used : 0;
        if (room < available) available = room;
    }
    return available;
}

static double monotonic_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Additions that wait for one another take a cycle each on every CPU in use today. /proc/cpuinfo
 * is no substitute: in a virtual machine it tells a constant. */
static double measured_mhz(void) {
#if defined(__x86_64__) || defined(__aarch64__)
    enum { ROUNDS = 2000, ADDITIONS = 16 };
    double best = 0;
    for (int attempt = 0; attempt < 3; attempt++) {
        uint64_t sum = 1, step = 3;
        const double start = monotonic_s();
        for (int i = 0; i < ROUNDS; i++)
#if defined(__x86_64__)
            __asm__ volatile(".rept 16\n\tadd %1, %0\n\t.endr" : "+r"(sum) : "r"(step) : "cc");
#else
            __asm__ volatile(".rept 16\n\tadd %0, %0, %1\n\t.endr" : "+r"(sum) : "r"(step));
#endif
        const double seconds = monotonic_s() - start;
        if (seconds > 0) best = fmax(best, ROUNDS * ADDITIONS / seconds / 1e6);
    }
    return best > 0 ? best : NAN;
#else
    return NAN;
#endif
}

double cpu_clock_mhz(const int *cpus, int cpus_len) {
    double sum = 0;
    for (int i = 0; i < cpus_len; i++) {
        const int64_t khz = cpu_int(cpus[i], "cpufreq/scaling_cur_freq", 0);
        if (khz <= 0) return measured_mhz();
        sum += (double)khz / 1e3;
    }
    return cpus_len > 0 ? sum / cpus_len : NAN;
}

double cpu_clock_max_mhz(int cpu) {
    const int64_t khz = cpu_int(cpu, "cpufreq/cpuinfo_max_freq", 0);
    return khz > 0 ? (double)khz / 1e3 : NAN;
}

double cpu_temperature_c(void) {
    double hottest = NAN;
    for (int zone = 0; zone < 64; zone++) {
        char path[64], type[64];
        int64_t millidegrees;
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/type", zone);
        if (!read_line(path, type, sizeof type)) break;
        if (!strstr(type, "cpu") && !strstr(type, "CPU") && !strstr(type, "pkg")) continue;
        snprintf(path, sizeof path, "/sys/class/thermal/thermal_zone%d/temp", zone);
        if (read_int(path, &millidegrees)) hottest = fmax(hottest, (double)millidegrees / 1e3);
    }
    return hottest;
}

void cpu_governor(int cpu, char *out, size_t len) {
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor", cpu);
    if (!read_line(path, out, len)) out[0] = '\0';
}
