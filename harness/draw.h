/* Random numbers drawn on a GPU: the memory of a model is filled there and not sent to it. */
#ifndef BLROOF_DRAW_H
#define BLROOF_DRAW_H

#include "harness/values.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Enqueues; dst gets what draw_values() would write, bit by bit. */
status_t draw_cuda(const draw_t *draw, void *dst, stream_t stream);

#ifdef __cplusplus
}
#endif
#endif
