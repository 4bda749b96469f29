/* blroof ceilings: measures the limits of a device into a run directory and prints them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/options.h"
#include "harness/pool.h"
#include "harness/run.h"

static status_t print_row(void *ctx, const void *data, int line) {
    (void)line;
    FILE *out = ctx;
    const ceiling_row_t *c = data;
    fprintf(out, "%-7s %-10s %-5s %-14s ", c->device, c->kind, c->dtype, c->method);
    if (isnan(c->value)) {
        fprintf(out, "%10s %-8s\n", "-", c->unit);
        return STATUS_OK;
    }
    fprintf(out, "%10.4g %-8s", c->value, c->unit);
    if (!isnan(c->ci_low)) fprintf(out, " [%.4g, %.4g]", c->ci_low, c->ci_high);
    if (!isnan(c->theoretical))
        fprintf(out, "  %.0f %% of %.4g", 100 * c->value / c->theoretical, c->theoretical);
    if (!isnan(c->sm_clock_mhz)) fprintf(out, "  at %.0f MHz", c->sm_clock_mhz);
    fputc('\n', out);
    return STATUS_OK;
}

static void ignore(void *ctx, const ceiling_t *ceiling) {
    (void)ctx;
    (void)ceiling;
}

status_t cmd_ceilings(int argc, char **argv) {
    const char *device_name = NULL, *out = NULL;
    const option_t options[] = {
        {"device", 'd', "DEVICE",
         "cpu, cuda, cuda:N, cuda:all (every GPU); the default is a GPU, else the CPU",
         &device_name, NULL},
        {"output", 'o', "DIR", "the run directory to write", &out, NULL},
        {0},
    };
    const command_t command = {
        "ceilings", "[-d DEVICE] -o DIR",
        "Measures bandwidths, arithmetic rates and launch latency: DIR/ceilings.csv.", options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len > 0) return fail(STATUS_USAGE, "ceilings takes no argument '%s'", rest[0]);
    if (!out) return fail(STATUS_USAGE, "ceilings needs -o DIR, the run directory to write");

    pool_t pool;
    run_t run = {0};
    st = pool_start(device_name, 0, false, &pool);
    if (st != STATUS_OK) return st;
    char path[sizeof run.path + 32];
    TRY(run_open(out, pool.device, NULL, false, &run));
    TRY(run_ceilings(&run, pool.device, ignore, NULL));
    snprintf(path, sizeof path, "%s/%s", run.path, CEILINGS_TABLE.file);
    printf("%s: %s\n", pool.device->id, pool.device->name);
    st = table_read(&CEILINGS_TABLE, path, true, print_row, stdout);
cleanup:
    run_close(&run);
    pool_stop(&pool);
    return st;
}
