#include "harness/cpu_load.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/times.h>

static bool listed(const int *cpus, int cpus_len, int cpu) {
    for (int i = 0; i < cpus_len; i++)
        if (cpus[i] == cpu) return true;
    return false;
}

static bool read_load(const int *cpus, int cpus_len, cpu_load_t *now) {
    *now = (cpu_load_t){0};
    FILE *file = fopen("/proc/stat", "r");
    if (!file) return false;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        int cpu;
        double user, nice, system, idle, iowait, irq, softirq, steal;
        if (sscanf(line, "cpu%d %lf %lf %lf %lf %lf %lf %lf %lf", &cpu, &user, &nice, &system,
                   &idle, &iowait, &irq, &softirq, &steal) != 9 ||
            !listed(cpus, cpus_len, cpu))
            continue;
        const double busy = user + nice + system + irq + softirq + steal;
        now->busy += busy;
        now->all += busy + idle + iowait;
    }
    fclose(file);
    struct tms own;
    times(&own);
    now->own = (double)(own.tms_utime + own.tms_stime);
    return now->all > 0;
}

double cpu_load_others(const int *cpus, int cpus_len, cpu_load_t *last) {
    cpu_load_t now;
    if (!read_load(cpus, cpus_len, &now)) return NAN;
    const double all = now.all - last->all;
    const double others = (now.busy - last->busy) - (now.own - last->own);
    const bool first = last->all == 0;
    if (!first && all < 10.0 * cpus_len) return last->others;
    *last = now;
    last->others = first ? NAN : fmax(0, fmin(1, others / all));
    return last->others;
}
