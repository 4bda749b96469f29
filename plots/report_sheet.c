#include "plots/report_sheet.h"

#include <stdlib.h>
#include <string.h>

status_t sheet_open_data(const sheet_t *sheet, const char *stem, const char *header,
                         whole_file_t *w) {
    char name[96];
    snprintf(name, sizeof name, "%s%s.tsv", stem, sheet->suffix);
    status_t st = whole_open(sheet->data_dir, name, w);
    if (st == STATUS_OK) fprintf(w->file, "%s\n", header);
    return st;
}

void sheet_tsv_name(FILE *out, const char *name, int width) {
    char fitting[LABEL_LEN];
    text_shorten(name, width, fitting, sizeof fitting);
    text_tsv(out, fitting);
}

status_t sheet_add_figure(const sheet_t *sheet, figure_t figure) {
    figures_t *figures = sheet->figures;
    figure_t *items = realloc(figures->items, (size_t)(figures->len + 1) * sizeof *items);
    if (!items) return fail(STATUS_OOM, "out of host memory for the report");
    text_clean(figure.title);
    text_clean(figure.subtitle);
    figure.section = sheet->section;
    memcpy(figure.suffix, sheet->suffix, sizeof figure.suffix);
    figures->items = items;
    items[figures->len++] = figure;
    return STATUS_OK;
}

/* "Speedup over dense: NVIDIA H200 (cuda:0)" */
void sheet_title(const sheet_t *sheet, const char *what, figure_t *figure) {
    char device[2 * TEXT_LEN];
    const section_t *s = &sheet->r->sections[sheet->section];
    report_device(sheet->r, s->device, device, sizeof device);
    snprintf(figure->title, sizeof figure->title, "%s: %s", what, device);
}

status_t sheet_add_pages(const sheet_t *sheet, const figure_t *first, const char *remark,
                         const char *stem, int count, int per_page) {
    const section_t *s = &sheet->r->sections[sheet->section];
    const int pages = (count + per_page - 1) / per_page;
    for (int page = 0; page < pages; page++) {
        figure_t figure = *first;
        figure.first = page * per_page + 1;
        figure.last = page + 1 < pages ? figure.first + per_page - 1 : count;
        snprintf(figure.subtitle, sizeof figure.subtitle, "%s, cache %s; %s", s->dtype,
                 *s->cache ? s->cache : "unknown", remark);
        if (page == 0)
            snprintf(figure.name, sizeof figure.name, "%s%s", stem, sheet->suffix);
        else
            snprintf(figure.name, sizeof figure.name, "%s%s_page%d", stem, sheet->suffix, page + 1);
        status_t st = sheet_add_figure(sheet, figure);
        if (st != STATUS_OK) return st;
    }
    return STATUS_OK;
}
