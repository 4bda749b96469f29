#include "harness/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/values.h"

enum { LENGTH_BYTES = 8, CHUNK = 4096 };

static const uint64_t MAX_HEADER = 100000000; /* as in the format's own library */

static const struct {
    const char *name;
    int bytes;
    int dtype; /* dtype_t, or -1 where this program does not read it */
} DTYPES[] = {{"F32", 4, DTYPE_FP32}, {"F16", 2, DTYPE_FP16}, {"BF16", 2, DTYPE_BF16},
              {"F64", 8, -1},         {"I64", 8, -1},         {"I32", 4, -1},
              {"I16", 2, -1},         {"I8", 1, -1},          {"U64", 8, -1},
              {"U32", 4, -1},         {"U16", 2, -1},         {"U8", 1, -1},
              {"BOOL", 1, -1}};

static int find_dtype(const char *name) {
    for (size_t i = 0; i < sizeof DTYPES / sizeof *DTYPES; i++)
        if (!strcmp(DTYPES[i].name, name)) return (int)i;
    return -1;
}

static status_t map_file(const char *path, safetensors_t *f) {
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(STATUS_USAGE, "cannot read %s: %s", path, strerror(errno));
    status_t st = STATUS_OK;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        st = fail(STATUS_USAGE, "%s is no file of weights", path);
    else if (info.st_size < LENGTH_BYTES)
        st = fail(STATUS_USAGE, "%s is no safetensors file: it has %lld bytes", path,
                  (long long)info.st_size);
    if (st == STATUS_OK) {
        f->map_len = (size_t)info.st_size;
        f->map = mmap(NULL, f->map_len, PROT_READ, MAP_PRIVATE, fd, 0);
        if (f->map == MAP_FAILED) {
            f->map = NULL;
            st = fail(STATUS_IO, "cannot map %s: %s", path, strerror(errno));
        }
    }
    close(fd);
    return st;
}

/* A whole number of 0 or more from the header. */
static bool whole_number(const json_t *value, int64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) return false;
    *out = json_integer_value(value);
    return true;
}

static status_t read_shape(const char *path, const json_t *shape, stored_tensor_t *t) {
    if (!json_is_array(shape) || json_array_size(shape) > STORED_DIMS)
        return fail(STATUS_USAGE, "%s: tensor %.80s has no shape of at most %d dimensions", path,
                    t->name, STORED_DIMS);
    t->dims_len = (int)json_array_size(shape);
    t->count = 1;
    for (int i = 0; i < t->dims_len; i++)
        if (!whole_number(json_array_get(shape, (size_t)i), &t->dims[i]) ||
            __builtin_mul_overflow(t->count, t->dims[i], &t->count))
            return fail(STATUS_USAGE, "%s: tensor %.80s has an impossible shape", path, t->name);
    return STATUS_OK;
}

/* Fills in a tensor whose name is set. `data` is what follows the header, data_len bytes. */
static status_t read_tensor(const char *path, const json_t *entry, const unsigned char *data,
                            int64_t data_len, stored_tensor_t *t) {
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const int known = dtype ? find_dtype(dtype) : -1;
    if (!dtype || strlen(dtype) >= sizeof t->dtype)
        return fail(STATUS_USAGE, "%s: tensor %.80s has no dtype", path, t->name);
    snprintf(t->dtype, sizeof t->dtype, "%s", dtype);
    const status_t st = read_shape(path, json_object_get(entry, "shape"), t);
    if (st != STATUS_OK) return st;
    const json_t *offsets = json_object_get(entry, "data_offsets");
    int64_t begin, end, bytes;
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !whole_number(json_array_get(offsets, 0), &begin) ||
        !whole_number(json_array_get(offsets, 1), &end) || begin > end || end > data_len)
        return fail(STATUS_USAGE, "%s: tensor %.80s lies outside of the file's data", path,
                    t->name);
    if (known >= 0 &&
        (__builtin_mul_overflow(t->count, DTYPES[known].bytes, &bytes) || bytes != end - begin))
        return fail(STATUS_USAGE, "%s: tensor %.80s takes %lld bytes, which its shape does not",
                    path, t->name, (long long)(end - begin));
    t->data = data + begin;
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const stored_tensor_t *)a)->name, ((const stored_tensor_t *)b)->name);
}

static status_t read_header(safetensors_t *f, json_t *header, uint64_t header_len) {
    const unsigned char *data = (unsigned char *)f->map + LENGTH_BYTES + header_len;
    const int64_t data_len = (int64_t)(f->map_len - LENGTH_BYTES - header_len);
    f->tensors = calloc(json_object_size(header) + 1, sizeof *f->tensors);
    if (!f->tensors) return fail(STATUS_OOM, "out of host memory for the header of %s", f->path);
    const char *name;
    json_t *entry;
    json_object_foreach(header, name, entry) {
        if (!strcmp(name, "__metadata__")) continue;
        stored_tensor_t *t = &f->tensors[f->tensors_len];
        t->name = strdup(name);
        if (!t->name) return fail(STATUS_OOM, "out of host memory for the header of %s", f->path);
        f->tensors_len++;
        const status_t st = read_tensor(f->path, entry, data, data_len, t);
        if (st != STATUS_OK) return st;
    }
    qsort(f->tensors, (size_t)f->tensors_len, sizeof *f->tensors, compare_names);
    return STATUS_OK;
}

status_t safetensors_open(const char *path, safetensors_t *f) {
    *f = (safetensors_t){0};
    json_t *header = NULL;
    json_error_t error;
    uint64_t header_len = 0;
    if (strlen(path) >= sizeof f->path)
        return fail(STATUS_USAGE, "the path of the weights is too long");
    snprintf(f->path, sizeof f->path, "%s", path);
    status_t st = map_file(path, f);
    if (st != STATUS_OK || !f->map) goto cleanup;
    const unsigned char *bytes = f->map;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) header_len = header_len << 8 | bytes[i];
    if (header_len > MAX_HEADER || header_len > f->map_len - LENGTH_BYTES) {
        st = fail(STATUS_USAGE, "%s is no safetensors file: its header would have %llu bytes", path,
                  (unsigned long long)header_len);
        goto cleanup;
    }
    header = json_loadb((const char *)bytes + LENGTH_BYTES, (size_t)header_len,
                        JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(header)) {
        st = fail(STATUS_USAGE, "%s: the header is no JSON object: %s", path,
                  header ? "it is another value" : error.text);
        goto cleanup;
    }
    st = read_header(f, header, header_len);
cleanup:
    json_decref(header);
    if (st != STATUS_OK) safetensors_close(f);
    return st;
}

void safetensors_close(safetensors_t *f) {
    for (int i = 0; i < f->tensors_len; i++) free(f->tensors[i].name);
    free(f->tensors);
    if (f->map) munmap(f->map, f->map_len);
    *f = (safetensors_t){0};
}

static bool ends_in_part(const char *text, const char *name) {
    const size_t len = strlen(text), name_len = strlen(name);
    return len > name_len && text[len - name_len - 1] == '.' &&
           !strcmp(text + len - name_len, name);
}

status_t safetensors_find(const safetensors_t *f, const char *name, const stored_tensor_t **out) {
    int suffixes = 0;
    *out = NULL;
    for (int i = 0; i < f->tensors_len; i++) {
        if (!strcmp(f->tensors[i].name, name)) {
            *out = &f->tensors[i];
            return STATUS_OK;
        }
        if (!ends_in_part(f->tensors[i].name, name)) continue;
        suffixes++;
        *out = &f->tensors[i];
    }
    if (suffixes == 1) return STATUS_OK;
    *out = NULL;
    return fail(STATUS_UNSUPPORTED, "%s has %s tensor %s", f->path, suffixes ? "several" : "no",
                name);
}

status_t safetensors_read(const safetensors_t *f, const stored_tensor_t *t, float *out) {
    const int known = find_dtype(t->dtype);
    if (known < 0 || DTYPES[known].dtype < 0)
        return fail(STATUS_UNSUPPORTED, "%s: tensor %s is %s: F32, F16 or BF16 can be read",
                    f->path, t->name, t->dtype);
    const int64_t size = DTYPES[known].bytes;
    const dtype_t dtype = (dtype_t)DTYPES[known].dtype;
#pragma omp parallel for schedule(static)
    for (int64_t start = 0; start < t->count; start += CHUNK) {
        uint32_t aligned[CHUNK]; /* data in the file need not be */
        const int64_t len = t->count - start < CHUNK ? t->count - start : CHUNK;
        memcpy(aligned, t->data + start * size, (size_t)(len * size));
        for (int64_t i = 0; i < len; i++) out[start + i] = (float)value_at(dtype, aligned, i);
    }
    return STATUS_OK;
}
