#include "harness/status.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[1024];

status_t fail(status_t status, const char *format, ...) {
    char text[sizeof message]; /* the arguments may point into message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t i = 0;
    for (; text[i] && i + 1 < sizeof message; i++)
        message[i] = iscntrl((unsigned char)text[i]) ? ' ' : text[i]; /* a terminal obeys those */
    message[i] = '\0';
    return status;
}

const char *last_error(void) {
    return message;
}

int exit_code(status_t status) {
    switch (status) {
    case STATUS_OK:
        return 0;
    case STATUS_USAGE:
    case STATUS_IO:
        return 2;
    case STATUS_INTERRUPTED:
        return 130;
    case STATUS_REGRESSION:
        return 1;
    case STATUS_UNDECIDED:
        return 3;
    default:
        return 4;
    }
}
