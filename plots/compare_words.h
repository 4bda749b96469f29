/* What a comparison says, in words: shared by console, Markdown, JUnit XML and JSON. */
#ifndef BLROOF_COMPARE_WORDS_H
#define BLROOF_COMPARE_WORDS_H

#include "results/comparison.h"

enum { WORDS_LEN = 2 * TEXT_LEN + 64, NAME_LEN = 4 * TEXT_LEN };

/* In the order in which they matter. */
typedef enum {
    MATTERS_BROKEN,
    MATTERS_SLOWER,
    MATTERS_WORSE, /* more work, or another problem */
    MATTERS_MISSING,
    MATTERS_UNSURE,        /* may be slower */
    MATTERS_UNSURE_FASTER, /* not slower, and no more is known */
    MATTERS_FASTER,
    MATTERS_MENDED,
    MATTERS_CHANGED, /* same time by another plan, or with less work */
    MATTERS_ADDED,
    MATTERS_NOT, /* the same, or not ok on either side */
} matters_t;

matters_t point_matters(const comparison_t *comparison, const compared_t *point);
const char *matters_label(matters_t matters);  /* "BROKEN", ... */
const char *matters_remark(matters_t matters); /* what to add to it, " (not in NEW)", or "" */

/* "llama7b/qkvo_proj monarch/chained n=1024 b=16 r=1024", with the dtype where there are several;
 * the layer is shortened for `width` characters in all. */
void point_name(const comparison_t *comparison, const compared_t *point, int width,
                char name[NAME_LEN]);

/* What is to be said of a point beside its time, a line a call: why it is inconclusive, what else
 * changed. */
void point_notes(const comparison_t *comparison, const compared_t *point,
                 void (*note)(void *ctx, const char *text), void *ctx);

/* "2 of 143 points regress (1 slower, 1 broken); 1 inconclusive, 4 faster, 136 same" */
void comparison_summary(const comparison_t *comparison, char *text, size_t len);
/* "7 processes, commit 0123abc, 2026-01-01T00:00:00Z" */
void side_words(const side_t *side, char *text, size_t len);
/* That points were measured on other GPUs; "" if none was. */
void gpus_words(const comparison_t *comparison, char *text, size_t len);
/* How the verdicts come about, in a sentence or two. */
void rules_words(const comparison_t *comparison, char *text, size_t len);

/* The points in the order in which they matter, the greatest change first; the caller frees it.
 * NULL without memory. */
const compared_t **points_by_matter(const comparison_t *comparison);

#endif
