/* Which plan of a variant runs a problem: found once by timing, and remembered on disk. */
#ifndef BLROOF_TUNING_H
#define BLROOF_TUNING_H

#include "harness/case.h"
#include "harness/timing.h"

/*
 * Choices that were made, by this program or by one of the same commit before it, in
 * $XDG_CACHE_HOME/blroof/plans.csv (~/.cache without it). Builds of a changed checkout neither read
 * nor write it, for their kernels may differ.
 */
typedef struct {
    char path[1024]; /* "" if choices are not kept on disk */
    const char *device_name, *build;
    void *known; /* a tsearch tree */
} tuning_t;

/* `build` names what the choices hold for; NULL keeps nothing on disk. Never fails: a file that
 * cannot be read is reported on stderr and begun anew. */
void tuning_open(tuning_t *tuning, const device_t *device, const char *build);
void tuning_close(tuning_t *tuning);
const char *tuning_build(void); /* the commit; NULL in a build of a changed checkout */

/*
 * Puts the fastest of plans[0] to plans[count - 1] into *out, as timed in this cache state, and the
 * seconds that took into *seconds: NAN with a single plan, 0 if the choice was known. Each gets a
 * short look, those within 25 % of the fastest a longer one; of plans within 1 % the first is
 * taken. It stops at about 2 s: plans are tried in their order. A plan whose memory cannot be had
 * is passed over.
 */
status_t tuning_choose(tuning_t *tuning, const case_t *c, const variant_t *variant,
                       device_t *device, cache_t cache, const variant_t *const *plans, int count,
                       const variant_t **out, double *seconds);

#endif
