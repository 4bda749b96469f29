/*
 * Profiles of devices that are not here: one text file each in profiles/devices/, every figure with
 * its source. A line is empty, a comment (#), or one of
 *
 *     name NVIDIA A40
 *     KEY VALUE SOURCE
 *
 * where SOURCE is the rest of the line and must be there. KEY is one of DEVICE_FIGURES below, each
 * once; l2_gbs alone may be missing, which leaves the cache's rate out.
 */
#ifndef BLROOF_DEVICES_H
#define BLROOF_DEVICES_H

#include "harness/status.h"
#include "kernels/operator.h"
#include "roofline/ceilings.h"

/* A COUNT is a whole number from 1 to 2^31 - 1, a RATE lies from 1e-6 to 1e9, and a FRACTION, what
 * is reached of the peak beside it, from 1e-6 to 1. kernel_us is what one kernel of a chain adds.
 */
#define DEVICE_FIGURES(F)                                                                          \
    F(compute_capability, COUNT)                                                                   \
    F(sms, COUNT)                                                                                  \
    F(l2_bytes, COUNT)                                                                             \
    F(smem_bytes, COUNT)                                                                           \
    F(tensor_tflops, RATE)                                                                         \
    F(tensor_fraction, FRACTION)                                                                   \
    F(cuda_core_tflops, RATE)                                                                      \
    F(cuda_core_fraction, FRACTION)                                                                \
    F(dram_gbs, RATE) F(dram_fraction, FRACTION) F(l2_gbs, RATE) F(kernel_us, RATE)

typedef struct {
    double value; /* NAN if missing */
    char source[192];
} figure_source_t;

typedef struct {
    char id[32], path[512]; /* "a40", of a40.txt */
    char name[96];
#define DEVICE_MEMBER(key, range) figure_source_t key;
    DEVICE_FIGURES(DEVICE_MEMBER)
#undef DEVICE_MEMBER
} device_profile_t;

/* By name, or by path (it has a / or ends in .txt). STATUS_USAGE: no such profile (the message
 * lists them), or "PATH:LINE: ..." if the file is malformed. */
status_t device_profile_read(const char *name_or_path, device_profile_t *out);

/* Visits the profiles that come with the program, in alphabetical order. */
status_t device_profiles(status_t (*visit)(void *ctx, const device_profile_t *), void *ctx);

device_info_t device_profile_info(const device_profile_t *profile);
/* The rates that the device reaches, as ceilings of method "profile"; tensor ones of bf16. */
status_t device_profile_ceilings(const device_profile_t *profile, ceiling_emit_t emit, void *ctx);

#endif
