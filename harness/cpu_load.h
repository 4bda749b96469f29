/* How much of the CPU others take while we measure: the usual reason why CPU timings mislead. */
#ifndef BLROOF_CPU_LOAD_H
#define BLROOF_CPU_LOAD_H

/* Clock ticks of a set of CPUs: all, busy (with steal), those of this process; the last answer. */
typedef struct {
    double all, busy, own, others;
} cpu_load_t;

/*
 * Share (0 to 1) of the CPUs' time since *last that went to other processes or was stolen by the
 * hypervisor; then *last is now. Less than 10 ticks later (0.1 s on most systems) the last answer
 * stands. NAN on the first call, when *last must be zero, and where /proc/stat cannot be read.
 */
double cpu_load_others(const int *cpus, int cpus_len, cpu_load_t *last);

#endif
