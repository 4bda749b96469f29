/* ceilings.csv: the ceilings of a device, measured once and read from then on. */
#include <string.h>

#include "harness/run.h"

typedef struct {
    const run_t *run;
    const device_t *device;
    whole_table_t file;
    void (*visit)(void *, const ceiling_t *);
    void *ctx;
} ceilings_t;

/* Between SI units and those that people read in the file: the factor and the other unit. */
static double convert_unit(const char *unit, const char **other) {
    static const struct {
        const char *si, *file;
        double scale;
    } units[] = {{"B/s", "GB/s", 1e-9},
                 {"FLOP/s", "TFLOP/s", 1e-12},
                 {"OP/s", "TOP/s", 1e-12},
                 {"s", "us", 1e6}};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        *other = units[i].file;
        if (!strcmp(unit, units[i].si)) return units[i].scale;
        *other = units[i].si;
        if (!strcmp(unit, units[i].file)) return 1 / units[i].scale;
    }
    *other = unit;
    return 1;
}

static status_t file_ceiling(void *ctx, const ceiling_t *ceiling) {
    ceilings_t *c = ctx;
    ceiling_row_t row;
    const char *unit;
    const double scale = convert_unit(ceiling->unit, &unit);
    row_clear(&CEILINGS_TABLE, &row);
    row_set_text(row.run_id, "%s", c->run->run_id);
    row_set_text(row.device, "%s", ceiling->device ? ceiling->device : c->device->id);
    row_set_text(row.kind, "%s", ceiling_kind_name(ceiling->kind));
    row_set_text(row.dtype, "%s", ceiling->dtype);
    row_set_text(row.method, "%s", ceiling->method);
    row_set_text(row.unit, "%s", unit);
    row.value = ceiling->value * scale;
    row.ci_low = ceiling->ci_low * scale;
    row.ci_high = ceiling->ci_high * scale;
    row.theoretical = ceiling->theoretical * scale;
    row.sm_clock_mhz = ceiling->sm_clock_mhz;
    c->visit(c->ctx, ceiling);
    return table_write_row(&CEILINGS_TABLE, c->file.file, c->file.temporary, &row);
}

static status_t visit_filed(void *ctx, const void *data, int line) {
    ceilings_t *c = ctx;
    const ceiling_row_t *row = data;
    for (int kind = 0; kind < CEILING_KIND_COUNT; kind++) {
        if (strcmp(row->kind, ceiling_kind_name((ceiling_kind_t)kind))) continue;
        const char *unit;
        const double scale = convert_unit(row->unit, &unit);
        const ceiling_t ceiling = {.kind = (ceiling_kind_t)kind,
                                   .dtype = row->dtype,
                                   .method = row->method,
                                   .value = row->value * scale,
                                   .ci_low = row->ci_low * scale,
                                   .ci_high = row->ci_high * scale,
                                   .theoretical = row->theoretical * scale,
                                   .unit = unit,
                                   .sm_clock_mhz = row->sm_clock_mhz,
                                   .device = row->device};
        c->visit(c->ctx, &ceiling);
        return STATUS_OK;
    }
    return fail(STATUS_USAGE, "%s/%s:%d:kind: unknown ceiling '%s'", c->run->path,
                CEILINGS_TABLE.file, line, row->kind);
}

status_t run_ceilings(run_t *run, device_t *device, void (*visit)(void *, const ceiling_t *),
                      void *ctx) {
    ceilings_t c = {.run = run, .device = device, .visit = visit, .ctx = ctx};
    if (exists_in(run->path, CEILINGS_TABLE.file)) {
        char path[PATH_LEN];
        path_in(run->path, CEILINGS_TABLE.file, path);
        return table_read(&CEILINGS_TABLE, path, true, visit_filed, &c);
    }
    status_t st = whole_table_open(run->path, &CEILINGS_TABLE, &c.file);
    if (st == STATUS_OK) st = device->ops->ceilings(device, file_ceiling, &c);
    return whole_table_close(&c.file, st);
}
