/* CUDA libraries that are opened at run time, so that the program starts without them. */
#ifndef BLROOF_CUDA_LIBRARY_H
#define BLROOF_CUDA_LIBRARY_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * dlopen()s release 13, 12 or the unversioned one of `stem` ("libcupti"): by the loader's own
 * search first, then in $CUDA_HOME, $CUDA_PATH and /usr/local/cuda. NULL if it is in none of them.
 */
void *cuda_library_open(const char *stem);

#ifdef __cplusplus
}
#endif
#endif
