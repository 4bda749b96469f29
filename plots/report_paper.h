/* The tables of the paper for any run: layers, models, Table 2, and its claims. */
#ifndef BLROOF_REPORT_PAPER_H
#define BLROOF_REPORT_PAPER_H

#include "plots/report_model.h"

/*
 * dir/paper.md, and each table as dir/paper_<table>[_<section>].csv, with `latex` as .tex too.
 * STATUS_IO, STATUS_OOM.
 */
status_t paper_write(const report_t *report, const char *dir, bool latex);

/* The tables of paper.md. */
status_t paper_print(const report_t *report, FILE *out);

#endif
