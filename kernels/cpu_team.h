/* The cores and caches that CPU kernels share out between them; set once by the CPU device. */
#ifndef BLROOF_CPU_TEAM_H
#define BLROOF_CPU_TEAM_H

#include "kernels/operator.h"

typedef struct {
    int threads;           /* of the OpenMP team */
    int64_t private_bytes; /* L2 of one core */
    int64_t shared_bytes;  /* last-level cache of all of them */
} cpu_team_t;

void cpu_team_set(const device_info_t *info);
/* Before any cpu_team_set(): what OpenMP and the C library say. */
cpu_team_t cpu_team(void);

/* a / b rounded up, and a rounded up to a multiple of b; for positive numbers. */
static inline int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t round_up(int64_t a, int64_t b) {
    return ceil_div(a, b) * b;
}
static inline int64_t min_of(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Tokens that a fused kernel works on at once: enough to make up for reading the weights again. */
enum { TILE_TOKENS = 72 };

/* True if `items` equal pieces of work keep the team at least 80 % busy. */
bool cpu_team_balanced(int64_t items);

#endif
