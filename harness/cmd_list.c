/* blroof list: what registered itself, and the workloads and models on file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/list.h"
#include "harness/model.h"
#include "harness/options.h"
#include "harness/registry.h"
#include "harness/workload.h"
#include "kernels/pointwise/pointwise.h"
#include "profiles/devices.h"
#include "profiles/groups.h"

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

static status_t list_models(void) {
    const status_t st = model_names(print_name, NULL);
    puts("operators of a description: linear, attention and");
    for (int i = 0; pointwise_at(i); i++)
        printf("  %-16s %s\n", pointwise_at(i)->name, pointwise_at(i)->summary);
    return st;
}

/* False where the library cannot be asked: then only the groups are listed. */
static bool list_chip(const counter_group_t *group, const char *chip) {
    group_check_t check;
    const status_t st = counters_check(group, chip, &check);
    printf("%-7s %-7s ", chip, group->name);
    if (st != STATUS_OK) {
        printf("%d metrics, not checked%s%s\n", group->metrics_len,
               st == STATUS_UNSUPPORTED ? ": " : "", st == STATUS_UNSUPPORTED ? last_error() : "");
        return st == STATUS_UNSUPPORTED;
    }
    printf("%2d of %2d metrics, %d passes", group->metrics_len - check.missing_len,
           group->metrics_len, check.passes);
    for (int i = 0; i < group->metrics_len; i++)
        if (check.missing[i]) printf(", lacks %s", group->metrics[i].name);
    putchar('\n');
    return true;
}

static status_t list_counters(void) {
    counter_group_t *groups;
    int count;
    bool asked = true;
    const status_t st = groups_read(NULL, &groups, &count);
    if (st != STATUS_OK) return st;
    for (int i = 0; i < count; i++)
        for (int c = 0; c < groups[i].chips_len; c++)
            asked = list_chip(&groups[i], groups[i].chips[c]) && asked;
    if (!asked) puts(last_error());
    free(groups);
    return STATUS_OK;
}

static status_t print_profile(void *ctx, const device_profile_t *p) {
    (void)ctx;
    printf("%-14s %-24s %5.0f TFLOP/s bf16, %5.0f GB/s, %4.0f MB L2\n", p->id, p->name,
           p->tensor_tflops.value, p->dram_gbs.value, p->l2_bytes.value / (1 << 20));
    return STATUS_OK;
}

static status_t list_profiles(void) {
    return device_profiles(print_profile, NULL);
}

static const struct {
    const char *name;
    status_t (*print)(void);
} LISTS[] = {
    {"structures", list_structures}, {"variants", list_variants}, {"workloads", list_workloads},
    {"models", list_models},         {"counters", list_counters}, {"profiles", list_profiles},
};
enum { LISTS_LEN = sizeof LISTS / sizeof *LISTS };

status_t cmd_list(int argc, char **argv) {
    const option_t options[] = {{0}};
    const command_t command = {"list", "[structures|variants|workloads|models|counters|profiles]",
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
        return fail(STATUS_USAGE,
                    "cannot list '%s': structures, variants, workloads, models, counters or "
                    "profiles",
                    rest[0]);
    return st;
}
