/*
 * What a launch would take on a device that is not here: pure arithmetic, SI units.
 *
 * The roof (roofline.h) is a lower bound; this is an estimate. It is the same for every layer, and
 * nothing in it is fitted to one:
 *
 *   seconds = max(matrix FLOPs, compulsory bytes)   a kernel computes while it reads and writes
 *           + intermediates, written and read back  no kernel starts before the one ahead has ended
 *           + FLOPs on CUDA cores                   between products, which wait for them
 *           + what a tile forced small costs        idle multiprocessors, operands read again, from
 *                                                   the cache and by each warp from shared memory
 *           + a start of each kernel
 *
 * An intermediate of B bytes shares a cache of C bytes with whatever streams through it meanwhile:
 * the part min(1, B / C) of it goes to DRAM and comes back, the rest moves at the cache's rate.
 */
#ifndef BLROOF_PREDICT_H
#define BLROOF_PREDICT_H

#include "roofline/roofline.h"

enum { WORK_INTERMEDIATES = 8 };

/* One launch of a variant. */
typedef struct {
    double matrix_flops, cuda_core_flops;
    double bytes_min; /* each input, weight and output once */
    int intermediates_len;
    double intermediates[WORK_INTERMEDIATES]; /* bytes of each; one kernel more than these runs */
    /* The kernel whose tile is not free to choose: its thread blocks, its matrix FLOPs, the bytes
     * it reads again from the cache and those its warps read from shared memory. All 0 without one.
     */
    double tile_blocks, tile_flops, reread_bytes, shared_bytes;
} load_t;

/* What the device reaches; a cache or shared-memory rate that is NAN costs nothing. */
typedef struct {
    roof_ceilings_t rates;
    double shared_bytes; /* bytes/s, of all multiprocessors */
    double cache_bytes;
    int multiprocessors;
} machine_t;

typedef struct {
    double seconds;            /* the sum of the terms; NAN without compute and DRAM rates */
    double terms[BOUND_COUNT]; /* compute or dram has what the other one hides */
    bound_t bound;             /* the largest term */
    double dram_bytes;
} prediction_t;

prediction_t predict(const load_t *load, const machine_t *machine);

#endif
