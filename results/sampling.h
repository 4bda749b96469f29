/* Random numbers, Student's t and medians: what resampling takes. */
#ifndef BLROOF_SAMPLING_H
#define BLROOF_SAMPLING_H

#include <stdint.h>

typedef struct {
    uint64_t state; /* any seed; the same seed gives the same numbers everywhere */
} random_t;
uint64_t random_next(random_t *r);
int random_index(random_t *r, int count); /* 0 .. count - 1 */
double random_normal(random_t *r);

/* The upper `tail` quantile of Student's t with df degrees of freedom; the normal one for df 0. */
double student_quantile(double tail, double df);

/* The k-th smallest, from 0, which comes to values[k] with none larger before it. */
double select_kth(double *values, int count, int k);
/* Reorders the values; NAN for none. */
double median_value(double *values, int count);

#endif
