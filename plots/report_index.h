/* The report on one page, from the machine to the origin of its numbers. */
#ifndef BLROOF_REPORT_INDEX_H
#define BLROOF_REPORT_INDEX_H

#include "plots/report_figures.h"

typedef struct {
    const figures_t *figures;
    const char *notice;     /* what is missing from the pictures; "" if nothing is */
    bool paper;             /* with the claims of the paper */
    const report_t *others; /* all reports of this call, this one included; NULL for one alone */
    int others_len;
} index_t;

status_t write_index_md(const report_t *report, const char *dir, const index_t *index);
/* Self-contained; the SVG files must be in dir. STATUS_IO, STATUS_OOM. */
status_t write_index_html(const report_t *report, const char *dir, const index_t *index);

#endif
