/* The pictures of a report: what they show, the data behind them, and drawing them. */
#ifndef BLROOF_REPORT_FIGURES_H
#define BLROOF_REPORT_FIGURES_H

#include <pthread.h>

#include "plots/report_model.h"

/* Pictures that are of no section. */
enum { FIGURE_BESIDE = -1, FIGURE_MODELS = -2 };

/* One picture, drawn by plots/<template>.gp from the files data/...<suffix>.tsv. */
typedef struct {
    int section;
    const char *template;
    const char *what; /* of the template: "time", "speedup", "l2", "excess" or "" */
    char suffix[16];  /* of the data files: "" for the first section, "_2", ... */
    int first, last;  /* panels or rows shown, from 1; roofline: 1 and the number of ceilings */
    char name[64];    /* of the file, without extension */
    char title[4 * TEXT_LEN], subtitle[3 * TEXT_LEN], caption[160];
} figure_t;

typedef struct {
    figure_t *items;
    int len;
} figures_t;

/*
 * The lines of a roofline as TSV, with their header: what a device (NULL: the best of them) does at
 * most in a dtype, and in `other` unless it is NULL; `dram` with the line of its memory too.
 * Returns how many lines there are.
 */
int figures_write_ceilings(FILE *out, const ceiling_row_t *rows, int len, const char *device,
                           const char *dtype, const char *other, bool dram);

/* Writes dir/data/ and lists the pictures that can be drawn from it. `all` are the reports of this
 * call, this one included; NULL for one alone. */
status_t figures_prepare(const report_t *report, const report_t *all, int all_len, const char *dir,
                         figures_t *figures);
/* Draws them as dir/<name>.svg, .png and .pdf. STATUS_ENVIRONMENT if gnuplot is missing or fails.
 */
status_t figures_draw(const figures_t *figures, const char *dir);

/* The same beside other work, which must leave the figures alone. */
typedef struct {
    pthread_t thread;
    bool started;
    const figures_t *figures;
    const char *dir;
    status_t status;
    char why[512];
} drawing_t;
void drawing_begin(const figures_t *figures, const char *dir, drawing_t *out);
status_t drawing_end(drawing_t *drawing); /* what figures_draw() says */
void figures_free(figures_t *figures);

#endif
