/*
 * What the driver's management library (NVML) says about a GPU. It is loaded at run time, so that
 * the program needs neither its header nor the library; without it everything reads as unknown.
 */
#ifndef BLROOF_NVML_H
#define BLROOF_NVML_H

#include "harness/device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct nvml_gpu nvml_gpu_t;

/* By PCI bus id ("0000:1b:00.0"), else by UUID ("GPU-..."): indices differ from CUDA's when
 * CUDA_VISIBLE_DEVICES is set. NULL if NVML is absent or knows neither; NULL arguments match none.
 */
const nvml_gpu_t *nvml_find(const char *pci, const char *uuid);

/* Clock, power, temperature and throttle reasons now, another process on the GPU among them; all
 * unknown for a NULL gpu. */
device_state_t nvml_state(const nvml_gpu_t *gpu);

/* MIG, power limits, clocks, other processes: one fact for each that is known. This and
 * nvml_state() count the caller as one process, so it must hold a context on the GPU. */
void nvml_facts(const nvml_gpu_t *gpu, fact_t fact, void *ctx);

/* Release of the installed driver ("580.65.06"); false if it cannot be told. */
bool nvml_driver(char *out, size_t out_len);

/* A mask of nvmlClocksEventReason* bits as names joined by '+'; "none" if no bit slows the GPU. */
void nvml_throttle_names(unsigned long long reasons, char *out, size_t out_len);

#ifdef __cplusplus
}
#endif
#endif
