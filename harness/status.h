/*
 * Errors: a status code and one line of text, kept per thread. main.c alone prints and exits.
 *
 *     status_t st = fail(STATUS_DATA, "%s:%d: rank is negative", path, line);
 */
#ifndef BLROOF_STATUS_H
#define BLROOF_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    STATUS_OK,
    STATUS_USAGE,       /* bad flag, bad list, malformed input file: exit 2 */
    STATUS_ENVIRONMENT, /* this machine cannot do it: exit 4 */
    STATUS_UNSUPPORTED, /* this point cannot be computed: a row, not an error */
    STATUS_OOM,         /* device or host memory exhausted: a row */
    STATUS_DEVICE,      /* the device failed and its context is dead: a row, then stop */
    STATUS_IO,          /* cannot read or write: exit 2 */
    STATUS_INTERRUPTED, /* Ctrl-C: stop cleanly with what there is */
    STATUS_REGRESSION,  /* a gate found one: exit 1 */
    STATUS_UNDECIDED,   /* a gate could not tell: exit 3 */
} status_t;

/* Stores the message (control characters become spaces) and returns status. */
status_t fail(status_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *last_error(void); /* the message of this thread's last fail() */
int exit_code(status_t status);

/* For functions with one cleanup label: sets st and jumps there on failure. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        st = (call);                                                                               \
        if (st != STATUS_OK) goto cleanup;                                                         \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
