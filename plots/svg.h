/* What gnuplot draws as SVG, made to be read without scripts and to stand inside a page. */
#ifndef BLROOF_SVG_H
#define BLROOF_SVG_H

#include <stdio.h>

#include "harness/status.h"

/*
 * Rewrites the file: the texts of hypertext points, which gnuplot shows by a script, become
 * <title>s, that any browser shows on hovering; gnuplot's own titles go.
 */
status_t svg_tidy(const char *path);

/* Writes the <svg> element alone, without a background, `prefix` before each of its ids so that
 * several can stand in one page. */
status_t svg_inline(const char *path, const char *prefix, FILE *out);

#endif
