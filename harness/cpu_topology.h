/* The host CPU as this process may use it: affinity mask, cgroup limits, caches (Linux). */
#ifndef BLROOF_CPU_TOPOLOGY_H
#define BLROOF_CPU_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_CPUS = 1024 };

typedef struct {
    int cpus_len;          /* one a physical core first, then their SMT siblings */
    int cpus[MAX_CPUS];    /* logical CPU numbers that the affinity mask allows */
    int cores;             /* physical cores among them */
    int quota;             /* whole CPUs that the cgroup's quota pays for; 0 if unlimited */
    int sockets;           /* packages that those CPUs are in */
    int64_t l1d_bytes;     /* of the first CPU */
    int64_t private_bytes; /* L2 of the first CPU */
} cpu_topology_t;

/* Reads OpenMP's places or else the affinity mask of the calling thread, /sys and the cgroup. */
void cpu_topology_read(cpu_topology_t *out);

/* Bytes of last-level cache that these CPUs reach: each L3 (or else L2) counted once. */
int64_t cpu_llc_bytes(const int *cpus, int cpus_len);

/* "AMD EPYC 7763", or implementer and part where the kernel gives no name. */
void cpu_model_name(char *out, size_t len);
/* Widest of sve, neon, avx512f, avx2+fma, sse4.2 that this CPU runs; "scalar" if none. */
const char *cpu_isa_name(void);
int cpu_numa_nodes(void);

int64_t cpu_memory_bytes(void); /* installed */
/* What can still be allocated without swapping or being killed: the least of MemAvailable and the
 * room left under the cgroup's limit. INT64_MAX if neither is readable. */
int64_t cpu_memory_available(void);

/* cpufreq's mean over the CPUs, or else measured on the calling thread in tens of microseconds. */
double cpu_clock_mhz(const int *cpus, int cpus_len);
double cpu_clock_max_mhz(int cpu); /* NAN where it cannot be read */
double cpu_temperature_c(void);    /* hottest of the CPU's zones; NAN if there is none */
/* cpufreq's governor of a CPU; "" if not readable. */
void cpu_governor(int cpu, char *out, size_t len);

#endif
