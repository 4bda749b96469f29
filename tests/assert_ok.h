/* cmocka, and a status that must be STATUS_OK. */
#ifndef BLROOF_TESTS_ASSERT_OK_H
#define BLROOF_TESTS_ASSERT_OK_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include "harness/status.h"

#include <cmocka.h> /* last: its fail() is a macro */

#define ASSERT_OK(call)                                                                            \
    do {                                                                                           \
        if ((call) != STATUS_OK) fail_msg("%s", last_error());                                     \
    } while (0)

#endif
