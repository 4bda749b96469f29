/* blroof devices: what can be measured here, and why not the rest. */
#include <stdio.h>
#include <stdlib.h>

#include "harness/commands.h"
#include "harness/options.h"
#include "harness/registry.h"

static void print_fact(void *ctx, const char *key, const char *value) {
    (void)ctx;
    printf("    %-22s %s\n", key, value);
}

static status_t print_device(const device_ops_t *ops, int index) {
    device_t *device;
    status_t st = ops->open(index, &device);
    if (st != STATUS_OK) return st;
    printf("%s: %s\n", device->id, device->name);
    ops->facts(device, print_fact, NULL);
    ops->close(device);
    return STATUS_OK;
}

status_t cmd_devices(int argc, char **argv) {
    const option_t options[] = {{0}};
    const command_t command = {"devices", "", "Lists the devices that can be measured here.",
                               options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len > 0) return fail(STATUS_USAGE, "devices takes no argument '%s'", rest[0]);
    for (int kind = DEVICE_KIND_COUNT - 1; kind >= 0; kind--) {
        const device_ops_t *ops = device_ops((device_kind_t)kind);
        char why[WHY_LEN] = "this blroof was built without CUDA";
        const int count = ops ? ops->count(why, sizeof why) : 0;
        if (count == 0) printf("%s: none: %s\n", device_kind_name((device_kind_t)kind), why);
        for (int i = 0; i < count && st == STATUS_OK; i++) st = print_device(ops, i);
    }
    return st;
}
