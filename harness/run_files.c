#include "harness/run_files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void path_in(const char *directory, const char *name, char path[PATH_LEN]) {
    snprintf(path, PATH_LEN, "%s/%s", directory, name);
}

bool exists_in(const char *directory, const char *name) {
    char path[PATH_LEN];
    path_in(directory, name, path);
    return access(path, F_OK) == 0;
}

/* Some file systems cannot sync and say EINVAL: nothing is lost by going on. */
static status_t sync_fd(int fd, const char *path) {
    if (fsync(fd) == 0 || errno == EINVAL) return STATUS_OK;
    return fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
}

/* ---- files that appear whole ---- */

status_t whole_table_open(const char *directory, const table_t *table, whole_table_t *w) {
    path_in(directory, table->file, w->path);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp", w->path);
    w->file = fopen(w->temporary, "w");
    if (!w->file) return fail(STATUS_IO, "cannot write %s: %s", w->temporary, strerror(errno));
    return table_write_header(table, w->file, w->temporary);
}

/* A name is on the disk when its directory is. */
static void sync_directory_of(const char *path) {
    char directory[PATH_LEN];
    snprintf(directory, sizeof directory, "%s", path);
    char *slash = strrchr(directory, '/');
    if (!slash) return;
    *slash = '\0';
    const int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

status_t whole_table_close(whole_table_t *w, status_t st) {
    if (!w->file) return st;
    if (st == STATUS_OK) st = sync_fd(fileno(w->file), w->temporary);
    if (fclose(w->file) != 0 && st == STATUS_OK)
        st = fail(STATUS_IO, "cannot write %s: %s", w->temporary, strerror(errno));
    if (st == STATUS_OK && rename(w->temporary, w->path) != 0)
        st = fail(STATUS_IO, "cannot rename %s: %s", w->temporary, strerror(errno));
    if (st == STATUS_OK)
        sync_directory_of(w->path);
    else
        unlink(w->temporary);
    return st;
}

/* ---- files that grow ---- */

static status_t cut(const char *path, long bytes) {
    if (truncate(path, bytes) == 0) return STATUS_OK;
    return fail(STATUS_IO, "cannot cut what was torn off %s: %s", path, strerror(errno));
}

/* Below other columns, or these in another order, rows would say something else. */
static status_t check_header(const char *path, const table_t *table) {
    char *ours = NULL, *found = NULL;
    size_t len = 0;
    status_t st = STATUS_OK;
    FILE *file = fopen(path, "r"), *out = open_memstream(&ours, &len);
    if (!file || !out) {
        st = fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    TRY(table_write_header(table, out, path));
    if (getline(&found, &(size_t){0}, file) < 0 || strcmp(found, ours) != 0)
        st = fail(STATUS_USAGE,
                  "%s:1: not the header that this program writes, so no rows can be added: use "
                  "another -o",
                  path);
cleanup:
    if (file) fclose(file);
    if (out) fclose(out);
    free(ours);
    free(found);
    return st;
}

status_t grow_open(const char *directory, const table_t *table, FILE **out) {
    char path[PATH_LEN];
    long complete = 0;
    path_in(directory, table->file, path);
    if (access(path, F_OK) == 0) {
        status_t st = table_complete_bytes(path, &complete);
        if (st == STATUS_OK && complete > 0) st = check_header(path, table);
        if (st == STATUS_OK) st = cut(path, complete);
        if (st != STATUS_OK) return st;
    }
    *out = fopen(path, "a");
    if (!*out || fseek(*out, 0, SEEK_END) != 0)
        return fail(STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    if (complete > 0) return STATUS_OK;
    const status_t st = table_write_header(table, *out, path);
    sync_directory_of(path);
    return st;
}

long grow_mark(FILE *file) {
    return ftell(file);
}

status_t grow_take_back(FILE *file, long mark, status_t st) {
    if (st != STATUS_OK && mark >= 0) {
        __fpurge(file); /* or fclose() would write the rest of it */
        if (ftruncate(fileno(file), mark) != 0) return st;
    }
    return st;
}

status_t grow_sync(FILE *file, const char *directory, const table_t *table) {
    char path[PATH_LEN];
    path_in(directory, table->file, path);
    return sync_fd(fileno(file), path);
}

/* ---- rows at the end ---- */

typedef struct {
    bool (*keep)(void *ctx, const void *row);
    void *ctx;
    int rows, kept; /* seen so far, and up to the last that is kept */
} tail_t;

static status_t see_row(void *ctx, const void *row, int line) {
    (void)line;
    tail_t *t = ctx;
    t->rows++;
    if (t->keep(t->ctx, row)) t->kept = t->rows;
    return STATUS_OK;
}

/* Where the line after the next `lines` newlines from `at` on starts. */
static long skip_lines(FILE *file, long at, int lines) {
    int c = 0;
    if (fseek(file, at, SEEK_SET) != 0) return -1;
    while (lines > 0 && (c = getc_unlocked(file)) != EOF)
        if (c == '\n') lines--;
    return ftell(file);
}

status_t cut_rows(const char *directory, const table_t *table,
                  bool (*keep)(void *ctx, const void *row), void *ctx) {
    char path[PATH_LEN];
    struct stat info;
    tail_t tail = {.keep = keep, .ctx = ctx};
    status_t st = STATUS_OK;
    path_in(directory, table->file, path);
    FILE *file = fopen(path, "r");
    if (!file || fstat(fileno(file), &info) != 0) {
        st = fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        goto cleanup;
    }
    const long header_end = skip_lines(file, 0, 1);
    long from = info.st_size;
    for (long reach = 1 << 18; tail.kept == 0 && from > header_end; reach *= 8) {
        tail.rows = 0;
        from = info.st_size - reach;
        from = from > header_end ? skip_lines(file, from, 1) : header_end;
        TRY(table_read_from(table, path, from, see_row, &tail));
    }
    if (tail.kept < tail.rows) st = cut(path, skip_lines(file, from, tail.kept));
cleanup:
    if (file) fclose(file);
    return st;
}

status_t count_lines(const char *directory, const table_t *table, int64_t *out) {
    char path[PATH_LEN], block[1 << 16];
    size_t len;
    path_in(directory, table->file, path);
    FILE *file = fopen(path, "r");
    if (!file) return fail(STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    *out = 0;
    while ((len = fread(block, 1, sizeof block, file)) > 0)
        for (const char *at = block; (at = memchr(at, '\n', len - (size_t)(at - block))); at++)
            ++*out;
    fclose(file);
    return STATUS_OK;
}

/* ---- the lock ---- */

static void read_holder(int fd, char *holder, size_t len) {
    const ssize_t got = pread(fd, holder, len - 1, 0);
    holder[got > 0 ? got : 0] = '\0';
    holder[strcspn(holder, "\n")] = '\0';
    if (!holder[0]) snprintf(holder, len, "another process");
}

static void write_holder(int fd) {
    char host[256] = "", utc[32];
    struct tm tm;
    const time_t now = time(NULL);
    gethostname(host, sizeof host - 1);
    strftime(utc, sizeof utc, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    if (ftruncate(fd, 0) == 0) dprintf(fd, "process %d on %s since %s\n", (int)getpid(), host, utc);
}

/* Who had it before may have removed the file between our opening and our locking it. */
static bool still_named(int fd, const char *path) {
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && stat(path, &named) == 0 &&
           open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

status_t lock_take(const char *directory, lock_t *lock) {
    char holder[320];
    *lock = (lock_t){0};
    path_in(directory, "lock", lock->path);
    for (;;) {
        struct flock all = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        lock->fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (lock->fd < 0)
            return fail(STATUS_IO, "cannot write %s: %s", lock->path, strerror(errno));
        lock->held = true;
        if (fcntl(lock->fd, F_SETLK, &all) != 0) break;
        if (still_named(lock->fd, lock->path)) {
            write_holder(lock->fd);
            return STATUS_OK;
        }
        close(lock->fd);
    }
    if (errno != EACCES && errno != EAGAIN) {
        fprintf(stderr, "warning: %s: %s: see to it that nothing else writes there\n", lock->path,
                strerror(errno));
        return STATUS_OK;
    }
    read_holder(lock->fd, holder, sizeof holder);
    close(lock->fd);
    lock->held = false;
    return fail(STATUS_USAGE, "%s is being written by %s: wait for it or use another -o", directory,
                holder);
}

void lock_release(lock_t *lock) {
    if (!lock->held) return;
    unlink(lock->path);
    close(lock->fd);
    lock->held = false;
}
