#include "results/sampling.h"

#include <math.h>

/* ---- random numbers ---- */

/* splitmix64 (Steele, Lea & Flood, "Fast Splittable Pseudorandom Number Generators", 2014). */
uint64_t random_next(random_t *r) {
    uint64_t z = (r->state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

int random_index(random_t *r, int count) {
    return (int)(((random_next(r) >> 32) * (uint64_t)count) >> 32);
}

double random_normal(random_t *r) {
    const double u = ((double)(random_next(r) >> 11) + 0.5) * 0x1p-53;
    const double v = (double)(random_next(r) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

/* ---- Student's t ---- */

/* P(T > t): with t = sqrt(df) tan(phi) the density is c cos(phi)^(df - 1), smooth up to pi/2. */
static double student_tail(double t, double df) {
    if (df <= 0) return 0.5 * erfc(t / M_SQRT2);
    enum { STEPS = 400 };
    const double from = atan(t / sqrt(df)), step = (M_PI_2 - from) / STEPS;
    const double scale = exp(lgamma((df + 1) / 2) - lgamma(df / 2)) / sqrt(M_PI);
    double sum = 0; /* Simpson */
    for (int i = 0; i <= STEPS; i++)
        sum += pow(fmax(cos(from + i * step), 0), df - 1) * (i == 0 || i == STEPS ? 1
                                                             : i % 2              ? 4
                                                                                  : 2);
    return scale * sum * step / 3;
}

double student_quantile(double tail, double df) {
    double low = 0, high = 1;
    while (student_tail(high, df) > tail && high < 1e9) high *= 2;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        *(student_tail(middle, df) > tail ? &low : &high) = middle;
    }
    return high;
}

/* ---- order statistics, in place ---- */

/* Hoare's quickselect. */
double select_kth(double *v, int count, int k) {
    int low = 0, high = count - 1;
    while (low < high) {
        const double pivot = v[low + (high - low) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (v[i] < pivot) i++;
            while (v[j] > pivot) j--;
            if (i > j) break;
            const double swap = v[i];
            v[i++] = v[j];
            v[j--] = swap;
        }
        if (k <= j)
            high = j;
        else if (k >= i)
            low = i;
        else
            break;
    }
    return v[k];
}

double median_value(double *v, int count) {
    if (count == 0) return NAN;
    const double upper = select_kth(v, count, count / 2);
    if (count % 2) return upper;
    double lower = v[0];
    for (int i = 1; i < count / 2; i++) lower = fmax(lower, v[i]);
    return (lower + upper) / 2;
}
