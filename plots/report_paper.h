/* The tables of the paper for any run: layers, models, Table 2, and its claims. */
#ifndef BLROOF_REPORT_PAPER_H
#define BLROOF_REPORT_PAPER_H

#include "plots/report_model.h"

/*
 * Each table as dir/<table>[_<section>].csv: speedup, table2, models and, for the paper, claims;
 * with `latex` as .tex too. One without rows is not written. STATUS_IO, STATUS_OOM.
 */
status_t tables_write(const report_t *report, const char *dir, bool paper, bool latex);

/* dir/paper.md: all of them in one file. */
status_t paper_write(const report_t *report, const char *dir);
/* The tables of paper.md, and that of the claims alone. */
status_t paper_print(const report_t *report, FILE *out);
status_t paper_print_claims(const report_t *report, FILE *out);

#endif
