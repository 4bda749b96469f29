/* Reasons why a device was slower than it can be: names joined by '+', "none", or "" for unknown.
 */
#ifndef BLROOF_THROTTLE_H
#define BLROOF_THROTTLE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Adds the reasons of `more` that are not yet in `reasons`; a name that does not fit is left out.
 */
void throttle_join(char *reasons, size_t len, const char *more);
/* Anything at all: the device's own power cap too. */
bool throttle_any(const char *reasons);
/* What does not belong to the work itself: other work, heat, the brakes of the board. A power cap
 * is how a GPU works under load. */
bool throttle_disturbs(const char *reasons);
/* Others had a part of the device. */
bool throttle_shared(const char *reasons);

#ifdef __cplusplus
}
#endif
#endif
