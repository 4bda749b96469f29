/*
 * One text of Markdown and figures, as a Markdown file or as a page of HTML that needs nothing
 * else: no network, no script, pictures inside, light and dark.
 */
#ifndef BLROOF_PAGE_H
#define BLROOF_PAGE_H

#include "plots/report_figures.h"

typedef struct {
    FILE *md;        /* where Markdown is written to */
    FILE *html;      /* NULL: the page is Markdown */
    const char *dir; /* of the pictures */
    char *text;      /* Markdown that waits to become HTML */
    size_t text_len;
    int figures;
    status_t st;
} page_t;

void page_markdown(page_t *page, FILE *out);
/* STATUS_OOM. `title` is of the window. */
status_t page_html(page_t *page, FILE *out, const char *dir, const char *title);
/* The picture with its caption and links to its other forms. */
void page_figure(page_t *page, const figure_t *figure);
/* STATUS_IO if a picture could not be read, STATUS_OOM. The files stay open. */
status_t page_end(page_t *page);

#endif
