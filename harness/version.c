#include "harness/version.h"

#include "build_version.h" /* written by the Makefile: BUILD_GIT, BUILD_DIRTY, BUILD_NVCC */

const char *const VERSION_TEXT = BLROOF_VERSION;
const char *const VERSION_GIT = BUILD_GIT;
const char *const VERSION_DIRTY = BUILD_DIRTY;
const char *const VERSION_COMPILER = "gcc-compatible " __VERSION__;
const char *const VERSION_NVCC = BUILD_NVCC;
