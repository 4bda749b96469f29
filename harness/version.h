/* Which blroof this is: the commit it was built from, and by which compilers. */
#ifndef BLROOF_VERSION_H
#define BLROOF_VERSION_H

extern const char *const VERSION_TEXT;  /* "0.1.0" */
extern const char *const VERSION_GIT;   /* commit, or "unknown" outside a checkout */
extern const char *const VERSION_DIRTY; /* "yes", "no", or "unknown" */
extern const char *const VERSION_COMPILER;
extern const char *const VERSION_NVCC; /* "none" in a build without CUDA */

#endif
