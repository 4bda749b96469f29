/* Measured limits of the host CPU. */
#ifndef BLROOF_CEILINGS_CPU_H
#define BLROOF_CEILINGS_CPU_H

#include "harness/device.h"

/*
 * Takes up to about 15 s. dram and l2 (the last-level cache): read, copy, triad, the best working
 * set of each; l1: read; cuda_core fp32: fma_loop and sgemm; launch: openmp_region. Bandwidths
 * count each byte that a loop names once. A store past the caches is used for DRAM where the CPU
 * has one, so that no line is read only to be overwritten.
 */
status_t ceilings_cpu(device_t *device, ceiling_emit_t emit, void *ctx);

#endif
