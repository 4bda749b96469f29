#include "plots/page.h"

#include <md4c-html.h>
#include <stdlib.h>
#include <string.h>

#include "plots/svg.h"

/* In the dark, pictures are turned over in lightness and keep their hues. */
static const char HEAD[] =
    "<style>\n"
    ":root { color-scheme: light dark; --ink: #1d1d1f; --paper: #fff; --line: #d8d8dc;\n"
    "        --soft: #f5f5f7; --quiet: #5c5c63; --link: #005a9c; }\n"
    "@media (prefers-color-scheme: dark) {\n"
    "  :root { --ink: #e6e6e8; --paper: #000; --line: #3a3a3e; --soft: #17171a; --quiet: #a5a5ad;\n"
    "          --link: #6cb6ff; }\n"
    "  figure svg { filter: invert(1) hue-rotate(180deg) brightness(1.4); }\n"
    "}\n"
    "body { margin: 2rem auto; padding: 0 1rem; max-width: 68rem; color: var(--ink);\n"
    "       background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }\n"
    "h1, h2, h3 { line-height: 1.2; margin: 2em 0 .6em; } h1 { margin-top: 0; }\n"
    "h2 { border-top: 1px solid var(--line); padding-top: 1.2em; }\n"
    "a { color: var(--link); } code { font-size: .92em; }\n"
    "table { display: block; overflow-x: auto; border-collapse: collapse; font-size: 13px;\n"
    "        font-variant-numeric: tabular-nums; margin: 1em 0; }\n"
    "th, td { padding: .25em .7em; border-bottom: 1px solid var(--line); vertical-align: top; }\n"
    "th { background: var(--soft); text-align: left; white-space: nowrap; }\n"
    "td[align=right] { white-space: nowrap; }\n"
    "td:first-child, th:first-child { position: sticky; left: 0; }\n"
    "td:first-child { background: var(--paper); }\n"
    "tr:hover td { background: var(--soft); }\n"
    "figure { margin: 1.5em 0; } figure svg { max-width: 100%; height: auto; }\n"
    "figcaption { color: var(--quiet); font-size: 13px; }\n"
    "@media print { body { max-width: none; } figure, tr { break-inside: avoid; }\n"
    "               table { display: table; font-size: 9px; } }\n"
    "</style>\n";

static void escaped(FILE *out, const char *text) {
    for (; *text; text++) switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            putc(*text, out);
        }
}

static void add(const MD_CHAR *text, MD_SIZE len, void *out) {
    fwrite(text, 1, len, out);
}

/* What was written so far becomes HTML. */
static void convert(page_t *p) {
    if (p->md) fclose(p->md);
    p->md = NULL;
    if (p->st == STATUS_OK && md_html(p->text, (MD_SIZE)p->text_len, add, p->html,
                                      MD_FLAG_TABLES | MD_FLAG_NOHTML, 0) != 0)
        p->st = fail(STATUS_OOM, "cannot turn a part of the report into HTML");
    free(p->text);
    p->text = NULL;
}

static void begin_text(page_t *p) {
    p->md = open_memstream(&p->text, &p->text_len);
    if (!p->md) p->st = fail(STATUS_OOM, "out of host memory for the page");
}

void page_markdown(page_t *page, FILE *out) {
    *page = (page_t){.md = out};
}

status_t page_html(page_t *page, FILE *out, const char *dir, const char *title) {
    *page = (page_t){.html = out, .dir = dir};
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>",
          out);
    escaped(out, title);
    fprintf(out, "</title>\n%s</head>\n<body>\n", HEAD);
    begin_text(page);
    return page->st;
}

static void html_figure(page_t *p, const figure_t *f) {
    static const char *const forms[] = {"svg", "png", "pdf"};
    char path[1400], prefix[24];
    convert(p);
    if (p->st != STATUS_OK) return;
    snprintf(path, sizeof path, "%s/%s.svg", p->dir, f->name);
    snprintf(prefix, sizeof prefix, "f%d-", ++p->figures);
    fputs("<figure role=\"img\" aria-label=\"", p->html);
    escaped(p->html, f->caption);
    fputs("\">\n", p->html);
    p->st = svg_inline(path, prefix, p->html);
    fputs("<figcaption>", p->html);
    escaped(p->html, f->caption);
    for (int i = 0; i < 3; i++)
        fprintf(p->html, " <a href=\"%s.%s\">%s</a>", f->name, forms[i], forms[i]);
    fputs("</figcaption>\n</figure>\n", p->html);
    if (p->st == STATUS_OK) begin_text(p);
}

void page_figure(page_t *p, const figure_t *f) {
    if (p->st != STATUS_OK) return;
    if (p->html)
        html_figure(p, f);
    else
        fprintf(p->md, "![%s](%s.svg)\n\n%s [PNG](%s.png), [PDF](%s.pdf)\n\n", f->caption, f->name,
                f->caption, f->name, f->name);
}

status_t page_end(page_t *p) {
    if (!p->html) return p->st;
    convert(p);
    fputs("</body>\n</html>\n", p->html);
    return p->st;
}
