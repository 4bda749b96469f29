#include "plots/report_index.h"

#include "plots/model_passes.h"
#include "plots/page.h"
#include "plots/report_beside.h"
#include "plots/report_counters.h"
#include "plots/report_diagnosis.h"
#include "plots/report_machine.h"
#include "plots/report_paper.h"
#include "plots/report_spread.h"
#include "plots/report_tables.h"
#include "plots/report_text.h"

/* Of a table of points: a page is to be read. */
enum { MAX_ROWS = 200, MAX_SPREADS = 20 };

static void write_points_line(FILE *out, const report_t *r) {
    fprintf(out, "%d points, %d of them ok. ", r->own_len, report_count_ok(r));
    fputs("Tables: [speedup over dense](speedup.md), [cost model against counters](table2.md), the "
          "same as\nCSV ([speedup](speedup.csv), [Table 2](table2.csv)). ",
          out);
}

static void write_heading(FILE *out, const report_t *r) {
    fputs("# blroof report\n\n", out);
    const char *const keys[] = {"run_id", "utc", "argv", "git"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *value = report_fact(r, keys[k]);
        if (!*value) continue;
        fprintf(out, "%s%s: ", k ? "; " : "", keys[k]);
        text_markdown(out, value);
    }
    fputs("\n\n", out);
    if (r->own_len > 0) write_points_line(out, r);
    if (r->models_len > 0) fprintf(out, "%d passes of whole models. ", r->models_len);
    fputs("Numbers behind the pictures: [data](data/).\n", out);
    if (*r->peer_file) {
        fprintf(out, "\n%d timings of another tool come from ", r->points_len - r->own_len);
        text_markdown(out, r->peer_file);
        fputs(" and carry its name; they are held against the dense of this run.\n", out);
    }
    if (r->own_len > 0 && report_count_ok(r) == 0)
        fputs("\n**No point is ok, so there is nothing to draw: reasons below.**\n", out);
}

static void write_figures(page_t *page, const figures_t *figures, int section) {
    for (int f = 0; f < figures->len; f++)
        if (figures->items[f].section == section) page_figure(page, &figures->items[f]);
}

static void write_section(page_t *page, const report_t *r, const figures_t *figures, int section) {
    write_section_title(page->md, r, section);
    write_summary(page->md, r, section);
    write_figures(page, figures, section);
    if (page->st != STATUS_OK) return;
    fputs(SPEEDUP_LEGEND, page->md);
    page->st = write_speedups(page->md, r, section, MAX_ROWS);
    if (page->st == STATUS_OK) page->st = write_crossings(page->md, r, section);
    write_traffic(page->md, r, section);
    write_slow_points(page->md, r, section);
}

static void write_all(page_t *page, const report_t *r, const index_t *index) {
    write_heading(page->md, r);
    if (*index->notice) {
        fputs("\n**", page->md);
        text_markdown(page->md, index->notice);
        fputs("**\n", page->md);
    }
    putc('\n', page->md);
    write_machine(page->md, r);
    write_fitness(page->md, r);
    write_ceilings(page->md, r);
    if (index->others_len > 1) {
        write_beside(page->md, r, index->others, index->others_len);
        write_figures(page, index->figures, FIGURE_BESIDE);
    }
    page->st = write_spread(page->md, r, MAX_SPREADS);
    for (int s = 0; s < r->sections_len && page->st == STATUS_OK; s++)
        write_section(page, r, index->figures, s);
    if (page->st != STATUS_OK) return;
    if (index->others_len > 1) write_points_beside(page->md, r, index->others, index->others_len);
    page->st = write_passes(page, r, index->figures);
    if (page->st != STATUS_OK) return;
    if (index->paper) page->st = paper_print_claims(r, page->md);
    write_remarks(page->md, r, true);
    write_disturbed(page->md, r);
    write_remarks(page->md, r, false);
    write_facts(page->md, r);
}

status_t write_index_md(const report_t *r, const char *dir, const index_t *index) {
    whole_file_t w;
    page_t page;
    status_t st = whole_open(dir, "index.md", &w);
    if (st != STATUS_OK) return st;
    page_markdown(&page, w.file);
    write_all(&page, r, index);
    return whole_close(&w, page_end(&page));
}

status_t write_index_html(const report_t *r, const char *dir, const index_t *index) {
    whole_file_t w;
    page_t page;
    char device[2 * TEXT_LEN], title[3 * TEXT_LEN];
    status_t st = whole_open(dir, "index.html", &w);
    if (st != STATUS_OK) return st;
    report_device(r, r->sections_len > 0 ? r->sections[0].device : r->models[0].device, device,
                  sizeof device);
    snprintf(title, sizeof title, "blroof: %s", device);
    st = page_html(&page, w.file, dir, title);
    if (st == STATUS_OK) {
        write_all(&page, r, index);
        st = page_end(&page);
    }
    return whole_close(&w, st);
}
