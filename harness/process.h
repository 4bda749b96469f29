/* Processes that are forked to do what may go wrong, or may not touch what is measured later. */
#ifndef BLROOF_PROCESS_H
#define BLROOF_PROCESS_H

#include <stdio.h>
#include <sys/types.h>

#include "harness/status.h"

/*
 * Runs job() in a process of its own and reads what it wrote to `out`, for which the caller frees
 * *bytes (NULL where there is nothing). Returns what job() returned, with its last_error();
 * STATUS_DEVICE when the process crashed, STATUS_OOM when the kernel ended it for want of memory,
 * STATUS_INTERRUPTED on Ctrl-C. Nothing that job() changes in memory is seen here.
 */
status_t process_run(status_t (*job)(void *ctx, FILE *out), void *ctx, char **bytes, size_t *len);

/* ---- for those that fork by themselves ---- */

/* First thing in a child: Ctrl-C reaches the whole group, and what to do about it is the parent's
 * decision; the child ends with it. */
void process_obey(pid_t parent);
/* The kernel's count of processes it ended for want of memory; 0 if it does not count them. */
double process_oom_kills(void);
/* How a child ended by itself, from waitpid() and the count before it started. Never STATUS_OK. */
status_t process_verdict(int status, double oom_kills_before);

#endif
