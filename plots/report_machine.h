/* The machine of a run, in Markdown: what it is, whether it could measure, what it can do. */
#ifndef BLROOF_REPORT_MACHINE_H
#define BLROOF_REPORT_MACHINE_H

#include "plots/report_model.h"

void write_machine(FILE *out, const report_t *report);
/* What speaks for and against the numbers. */
void write_fitness(FILE *out, const report_t *report);
void write_ceilings(FILE *out, const report_t *report);
/* Rows with something to say: all without a time, or (flags) those flagged as too fast. */
void write_remarks(FILE *out, const report_t *report, bool flags);
/* Rows that were measured while others, heat or a brake slowed the device. */
void write_disturbed(FILE *out, const report_t *report);
/* Where every number comes from: all facts of run.csv. */
void write_facts(FILE *out, const report_t *report);

#endif
