#include "plots/text_table.h"

#include <csv.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"

void table_begin(text_table_t *table, int columns, int texts) {
    *table = (text_table_t){.columns = columns, .texts = texts};
}

/* Grows at powers of two; takes the text over. */
static void append(text_table_t *t, char *text) {
    const int len = t->cells_len;
    if (text && !(len & (len - 1))) {
        char **grown = realloc(t->cells, (len ? 2 * (size_t)len : 1) * sizeof *grown);
        if (grown) t->cells = grown;
        if (!grown) free(text), text = NULL;
    }
    if (text)
        t->cells[t->cells_len++] = text;
    else
        t->failed = true;
}

void table_cell(text_table_t *t, const char *format, ...) {
    va_list arguments;
    char *text = NULL;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0) text = NULL;
    va_end(arguments);
    if (t->failed)
        free(text);
    else
        append(t, text);
}

void table_number(text_table_t *t, double value, const char *unit) {
    char text[NUMBER_LEN];
    number_text(value, text);
    table_cell(t, "%s%s", text, *text ? unit : "");
}

void table_free(text_table_t *t) {
    for (int i = 0; i < t->cells_len; i++) free(t->cells[i]);
    free(t->cells);
    *t = (text_table_t){0};
}

int table_rows(const text_table_t *t) {
    return t->cells_len / t->columns - 1;
}

static status_t check(const text_table_t *t) {
    return t->failed ? fail(STATUS_OOM, "out of host memory for a table") : STATUS_OK;
}

/* ---- Markdown ---- */

status_t table_markdown(const text_table_t *t, FILE *out) {
    for (int i = 0; i < t->cells_len; i++) {
        fputs(i % t->columns ? " " : "| ", out);
        text_markdown(out, t->cells[i]);
        fputs(" |", out);
        if ((i + 1) % t->columns) continue;
        putc('\n', out);
        if (i + 1 > t->columns) continue;
        putc('|', out);
        for (int c = 0; c < t->columns; c++) fputs(c < t->texts ? " --- |" : " ---: |", out);
        putc('\n', out);
    }
    putc('\n', out);
    return check(t);
}

/* ---- CSV ---- */

/* A spreadsheet runs what begins so, unless it is a number with its unit. */
static bool is_formula(const char *text) {
    char *end;
    if (!*text || !strchr("=+-@", *text)) return false;
    strtod(text, &end);
    return end == text || strpbrk(end, "=+-@*/^&|!('\"");
}

status_t table_csv(const text_table_t *t, FILE *out) {
    for (int i = 0; i < t->cells_len && !t->failed; i++) {
        char *guarded = NULL, *text = t->cells[i];
        if (is_formula(text)) {
            if (asprintf(&guarded, "'%s", text) < 0)
                return fail(STATUS_OOM, "out of host memory for a table");
            text = guarded;
        }
        if (strpbrk(text, ",\"\r\n"))
            csv_fwrite(out, text, strlen(text));
        else
            fputs(text, out);
        putc((i + 1) % t->columns ? ',' : '\n', out);
        free(guarded);
    }
    return check(t);
}

/* ---- LaTeX ---- */

/* More columns have their heads turned; longer texts are broken, where no word is wider than a
 * line. */
enum { LATEX_FLAT_HEADS = 9, LATEX_LINE = 24, LATEX_WORD = 20 };

static void latex_text(FILE *out, const char *text) {
    for (; *text; text++) {
        if (*text == '\\')
            fputs("\\textbackslash{}", out);
        else if (*text == '~' || *text == '^')
            fprintf(out, "\\%c{}", *text);
        else if (*text == '<' || *text == '>' || *text == '|')
            fprintf(out, "$%c$", *text == '|' ? '|' : *text);
        else if (strchr("&%$#_{}", *text))
            fprintf(out, "\\%c", *text);
        else
            putc((unsigned char)*text < 0x20 ? ' ' : *text, out);
    }
}

/* A column of sentences is broken into lines, one of names is not. */
static bool has_sentences(const text_table_t *t, int column) {
    bool is_long = false;
    for (int i = column; i < t->cells_len; i += t->columns) {
        const char *text = t->cells[i];
        is_long = is_long || strlen(text) > LATEX_LINE;
        for (size_t len; *text; text += len + (text[len] == ' '))
            if ((len = strcspn(text, " ")) > LATEX_WORD) return false;
    }
    return is_long;
}

static void latex_columns(FILE *out, const text_table_t *t) {
    for (int c = 0; c < t->columns; c++)
        fputs(c >= t->texts ? "r" : has_sentences(t, c) ? "p{11em}" : "l", out);
}

status_t table_latex(const text_table_t *t, FILE *out) {
    const bool upright = t->columns > LATEX_FLAT_HEADS;
    fprintf(out, "%% needs \\usepackage{booktabs,longtable%s} and UTF-8\n",
            upright ? ",graphicx" : "");
    fputs("\\begin{longtable}{", out);
    latex_columns(out, t);
    fputs("}\n\\caption{", out);
    latex_text(out, t->title);
    fputs("} \\\\\n\\toprule\n", out);
    for (int i = 0; i < t->cells_len; i++) {
        const bool turned = upright && i < t->columns && i >= t->texts;
        if (turned) fputs("\\rotatebox{90}{", out);
        latex_text(out, t->cells[i]);
        if (turned) putc('}', out);
        fputs((i + 1) % t->columns ? " & " : " \\\\\n", out);
        if (i + 1 == t->columns) fputs("\\midrule\n\\endhead\n", out);
    }
    fputs("\\bottomrule\n\\end{longtable}\n", out);
    return check(t);
}
