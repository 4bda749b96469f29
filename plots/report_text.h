/* Numbers and names as people read them, and files that appear whole. */
#ifndef BLROOF_REPORT_TEXT_H
#define BLROOF_REPORT_TEXT_H

#include <stddef.h>
#include <stdio.h>

#include "harness/status.h"

enum { NUMBER_LEN = 32 };

/* Three significant digits, no exponent from 0.001 to 1e7: "0.0123", "1.50", "12300"; "" for NAN.
 */
const char *number_text(double value, char buffer[NUMBER_LEN]);

/* Columns a terminal needs: characters, not bytes. */
int text_width(const char *text);
/* The bytes that the first `width` characters take. */
size_t text_bytes(const char *text, int width);
/* Where to break a line of at most `width` characters: before a space if it can. */
int text_break(const char *text, int width);
/* Cuts the middle out of a name of more than `width` (at least 3) characters: "llama7b~_proj". */
void text_shorten(const char *text, int width, char *buffer, size_t len);
/* Writes at most `width` characters, control characters as '?', and pads with spaces. */
void text_pad(FILE *out, const char *text, int width);

/* Control characters become spaces, in place. */
void text_clean(char *text);
/* A cell of a Markdown table, or running text: nothing in it is taken for markup. */
void text_markdown(FILE *out, const char *text);
/* A field of tab-separated values: tabs, both quotes and control characters become spaces. */
void text_tsv(FILE *out, const char *text);
/* A number of tab-separated values: an empty field for NAN. */
void number_tsv(FILE *out, double value);

/* A JSON string, in quotes, and a number, null for NAN. What is not UTF-8 becomes '?'. */
void text_json(FILE *out, const char *text);
void number_json(FILE *out, double value);
/* Text or an attribute's value of XML; what XML has no place for becomes '?'. */
void text_xml(FILE *out, const char *text);
/* One that is there already is fine. */
status_t make_directory(const char *path);

/* A file written beside its name and renamed when it is complete. */
typedef struct {
    char path[1280], temporary[1288];
    FILE *file;
} whole_file_t;

status_t whole_open(const char *dir, const char *name, whole_file_t *w);
status_t whole_open_path(const char *path, whole_file_t *w);
/* With STATUS_OK the file takes its name, else it goes; returns st or what went wrong here. */
status_t whole_close(whole_file_t *w, status_t st);

#endif
