/* The inner loops of the CPU's ceilings, for one core, in the widest instruction set it has. */
#ifndef BLROOF_CPU_LOOPS_H
#define BLROOF_CPU_LOOPS_H

#include <stdbool.h>
#include <stdint.h>

/* len is in floats and a multiple of LOOP_FLOATS; arrays are 64-byte aligned. stream is
 * for data in memory: reads several streams, stores past the caches. What read and fma return only
 * keeps them from being optimised away. */
enum { LOOP_FLOATS = 128 };

typedef struct {
    double fma_flops; /* of one round of fma() */
    float (*fma)(int64_t rounds);
    float (*read)(const float *a, int64_t len, bool stream);
    void (*copy)(float *to, const float *a, int64_t len, bool stream); /* to = a */
    /* to = a + b / 2 */
    void (*triad)(float *to, const float *a, const float *b, int64_t len, bool stream);
} cpu_loops_t;

const cpu_loops_t *cpu_loops(void);

#endif
