/* blroof list: what registered itself, and the workloads on file. */
#include <stdio.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/list.h"
#include "harness/options.h"
#include "harness/registry.h"
#include "harness/workload.h"

static status_t list_structures(void) {
    for (int i = 0; i < structure_count(); i++)
        printf("%-10s %s\n", structure_at(i)->name, structure_at(i)->summary);
    return STATUS_OK;
}

static status_t list_variants(void) {
    for (int i = 0; i < variant_count(); i++) {
        const variant_t *v = variant_at(i);
        char name[64], dtypes[32] = "";
        snprintf(name, sizeof name, "%s/%s", v->structure, v->name);
        for (int d = 0; d < DTYPE_COUNT; d++)
            if (v->dtypes & DTYPE_BIT(d)) {
                if (dtypes[0]) strcat(dtypes, ",");
                strcat(dtypes, dtype_name((dtype_t)d));
            }
        printf("%-5s %-24s %-10s %s\n", device_kind_name(v->device), name, dtypes, v->summary);
    }
    return STATUS_OK;
}

static void print_name(void *ctx, const char *name) {
    (void)ctx;
    puts(name);
}

static status_t list_workloads(void) {
    return workload_names(print_name, NULL);
}

static const struct {
    const char *name;
    status_t (*print)(void);
} LISTS[] = {
    {"structures", list_structures},
    {"variants", list_variants},
    {"workloads", list_workloads},
};
enum { LISTS_LEN = sizeof LISTS / sizeof *LISTS };

status_t cmd_list(int argc, char **argv) {
    const option_t options[] = {{0}};
    const command_t command = {"list", "[structures|variants|workloads]",
                               "Lists what this program knows; all of it without an argument.",
                               options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len > 1) return fail(STATUS_USAGE, "list takes one argument, not %d", rest_len);
    bool found = false;
    for (int i = 0; i < LISTS_LEN && st == STATUS_OK; i++) {
        if (rest_len == 1 && strcmp(rest[0], LISTS[i].name)) continue;
        if (rest_len == 0) printf("%s%s:\n", i ? "\n" : "", LISTS[i].name);
        found = true;
        st = LISTS[i].print();
    }
    if (!found)
        return fail(STATUS_USAGE, "cannot list '%s': structures, variants or workloads", rest[0]);
    return st;
}
