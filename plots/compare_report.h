/* A comparison as people and CI read it. Nothing here decides. */
#ifndef BLROOF_COMPARE_REPORT_H
#define BLROOF_COMPARE_REPORT_H

#include <stdio.h>

#include "results/comparison.h"

/* At most 100 columns: the verdict, and the points that matter; colour as in report_console(). */
status_t compare_console(const comparison_t *comparison, FILE *out);

/* Files that appear whole; STATUS_IO if they cannot be written. */
status_t compare_markdown(const comparison_t *comparison, const char *path); /* a pull request */
status_t compare_junit(const comparison_t *comparison, const char *path);    /* JUnit XML */
/* One object: verdict, sides, differences, rules, and every point; null for what is not known. */
status_t compare_json(const comparison_t *comparison, const char *path);

#endif
