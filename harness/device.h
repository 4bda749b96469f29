/* A device that runs, times and describes kernels: harness/device_cpu.c, harness/device_cuda.cu. */
#ifndef BLROOF_DEVICE_H
#define BLROOF_DEVICE_H

#include "harness/values.h"
#include "kernels/operator.h"
#include "roofline/ceilings.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct device device_t;

/* Readings that change; NAN where the device does not tell. */
typedef struct {
    double sm_clock_mhz, power_w, temperature_c;
    /* Reasons as the driver names them, other_process; on a CPU other_load; "none"; "": unknown. */
    char throttle[96];
} device_state_t;

/* Work to be timed: one call enqueues launch number `index` on `stream`. */
typedef status_t (*work_t)(void *arg, int index, stream_t stream);

/* A recorded sequence of launches that can be replayed (a CUDA graph; a loop on the CPU). */
typedef struct recording recording_t;

/* Receives one key,value fact about the device (rows of run.csv). */
typedef void (*fact_t)(void *ctx, const char *key, const char *value);

/*
 * Everything the harness asks of a device. Functions return STATUS_OK or fail(...).
 *  count      how many there are now; 0, and a one-line reason, if none can be used
 *  open       number `index`; fills info, id and name, device_open() sets ops
 *  alloc      STATUS_OOM when it does not fit; memory is 256-byte aligned
 *  fill       bytes set to `byte` (0xFF is NaN in every dtype)
 *  draw       the numbers of draw_values(), bit by bit, drawn where dst is
 *  record     prepares `launches` consecutive launches of `work`; cold flushes before each, untimed
 *  replay     runs them once and waits; *us is microseconds a launch. Indices start at 0 and go on
 * from one replay to the next, unless fixed_sequence: then every replay has 0 to launches - 1
 *  kernels    kernels that one launch of the recorded work starts (0 if unknown)
 *  run        enqueues launch `index` directly and waits; errors of the kernel surface here
 *  stream_us  microseconds a launch when `launches` are enqueued one by one, gaps included
 *  profile    runs steps 0 to steps - 1 of `work` `passes` times, in the way that replays run them,
 *             and gives the microseconds of each inside each pass: us[passes][steps]. Nothing is to
 *             be timed in this process afterwards. STATUS_ENVIRONMENT where it cannot be told here
 *  used       bytes of its memory that are taken, by whomever (NULL where the device cannot tell)
 */
typedef struct {
    device_kind_t kind;
    bool fixed_sequence;
    int (*count)(char *why, size_t why_len);
    status_t (*open)(int index, device_t **out);
    void (*close)(device_t *);
    void (*facts)(device_t *, fact_t fact, void *ctx);
    status_t (*state)(device_t *, device_state_t *);
    status_t (*alloc)(device_t *, size_t bytes, void **out);
    void (*free)(device_t *, void *);
    status_t (*upload)(device_t *, void *dst, const void *src, size_t bytes);
    status_t (*download)(device_t *, void *dst, const void *src, size_t bytes);
    status_t (*copy)(device_t *, void *dst, const void *src, size_t bytes);
    status_t (*fill)(device_t *, void *dst, int byte, size_t bytes);
    status_t (*draw)(device_t *, const draw_t *draw, void *dst);
    status_t (*run)(device_t *, work_t work, void *arg, int index);
    status_t (*record)(device_t *, work_t work, void *arg, int launches, bool cold,
                       recording_t **out);
    status_t (*replay)(device_t *, recording_t *, double *us);
    int (*kernels)(const recording_t *);
    void (*discard)(recording_t *);
    status_t (*stream_us)(device_t *, work_t work, void *arg, int launches, double *us);
    status_t (*profile)(device_t *, work_t work, void *arg, int steps, int passes, double *us);
    status_t (*used)(device_t *, double *bytes);
    status_t (*ceilings)(device_t *, ceiling_emit_t emit, void *ctx);
} device_ops_t;

struct device {
    const device_ops_t *ops;
    device_info_t info;
    char id[32];    /* "cpu", "cuda:0" */
    char name[128]; /* model name */
    char uuid[48];  /* of a GPU; "" on a CPU */
};

void device_register(const device_ops_t *ops);
#define REGISTER_DEVICE(object) BLROOF_REGISTER(device, object)

/* Opens "cpu", "cuda", "cuda:1"; NULL or "auto" is the best there is: a GPU, else the CPU. */
status_t device_open(const char *spec, device_t **out);

#ifdef __cplusplus
}
#endif
#endif
