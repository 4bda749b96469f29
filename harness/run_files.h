/*
 * The files of a run directory, so that they outlive a kill or a power cut at any moment: files
 * that appear whole, files that grow by whole rows, and the lock that keeps a second writer out.
 */
#ifndef BLROOF_RUN_FILES_H
#define BLROOF_RUN_FILES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "results/csv_table.h"

enum { PATH_LEN = 1280 };

void path_in(const char *directory, const char *name, char path[PATH_LEN]);
bool exists_in(const char *directory, const char *name);

/* A table that appears whole: written beside its name, synced, then renamed. */
typedef struct {
    char path[PATH_LEN], temporary[PATH_LEN + 8];
    FILE *file;
} whole_table_t;

status_t whole_table_open(const char *directory, const table_t *table, whole_table_t *out);
/* Gives the file its name if st is STATUS_OK, else removes it; returns st or what went wrong. */
status_t whole_table_close(whole_table_t *file, status_t st);

/* Opens a table to append rows: a torn last row is cut off; a new or empty file gets its header.
 * STATUS_USAGE, and the file stays as it is, if its header is another one. */
status_t grow_open(const char *directory, const table_t *table, FILE **out);
/* Where the file ends now, and back to there when what was appended since failed. */
long grow_mark(FILE *file);
status_t grow_take_back(FILE *file, long mark, status_t st);
/* What was appended is on the disk, whatever happens next. */
status_t grow_sync(FILE *file, const char *directory, const table_t *table);

/*
 * Cuts off the rows at the end of a table that keep() does not want; stops at the last one that it
 * does. The file is not read further than that.
 */
status_t cut_rows(const char *directory, const table_t *table,
                  bool (*keep)(void *ctx, const void *row), void *ctx);

/* Newlines in a table, its header's among them. */
status_t count_lines(const char *directory, const table_t *table, int64_t *out);

typedef struct {
    bool held;
    int fd;
    char path[PATH_LEN];
} lock_t;

/*
 * Takes the directory for this process. STATUS_USAGE, naming the holder, if another one has it;
 * STATUS_IO if nothing can be written there. Where the file system knows no locks, that is said on
 * stderr. The lock ends with the process, however that ends.
 */
status_t lock_take(const char *directory, lock_t *out);
void lock_release(lock_t *lock);

#endif
