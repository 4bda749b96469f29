/* What the pictures of one section share: their data files, their list, their titles. */
#ifndef BLROOF_REPORT_SHEET_H
#define BLROOF_REPORT_SHEET_H

#include "plots/report_figures.h"
#include "plots/report_text.h"

typedef struct {
    const report_t *r;
    const char *data_dir;
    figures_t *figures;
    int section;
    char suffix[16]; /* of its files */
} sheet_t;

/* Begins data/<stem><suffix>.tsv with its header line. */
status_t sheet_open_data(const sheet_t *sheet, const char *stem, const char *header,
                         whole_file_t *w);
/* A name of at most `width` characters as a field. */
void sheet_tsv_name(FILE *out, const char *name, int width);

/* "WHAT: NVIDIA H200 (cuda:0)" */
void sheet_title(const sheet_t *sheet, const char *what, figure_t *figure);
status_t sheet_add_figure(const sheet_t *sheet, figure_t figure);
/* `count` panels or rows in figures like *first, each of up to `per_page`. */
status_t sheet_add_pages(const sheet_t *sheet, const figure_t *first, const char *remark,
                         const char *stem, int count, int per_page);

#endif
