/* Choosing a device by name. */
#include "harness/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/registry.h"

static status_t open_index(device_kind_t kind, int index, device_t **out) {
    char why[WHY_LEN];
    const device_ops_t *ops = device_ops(kind);
    if (!ops)
        return fail(STATUS_ENVIRONMENT, "this blroof was built without CUDA: use -d cpu, or "
                                        "rebuild where nvcc is");
    const int count = ops->count(why, sizeof why);
    if (count == 0)
        return fail(STATUS_ENVIRONMENT, "no %s device: %s", device_kind_name(kind), why);
    if (index >= count)
        return fail(STATUS_USAGE,
                    "there is no device %s:%d: this machine has %d, see 'blroof "
                    "devices'",
                    device_kind_name(kind), index, count);
    const status_t st = ops->open(index, out);
    if (st == STATUS_OK) (*out)->ops = ops;
    return st;
}

status_t device_open(const char *spec, device_t **out) {
    char why[WHY_LEN];
    if (!spec || !strcmp(spec, "auto")) {
        const device_ops_t *cuda = device_ops(DEVICE_CUDA);
        const bool gpu = cuda && cuda->count(why, sizeof why) > 0;
        return open_index(gpu ? DEVICE_CUDA : DEVICE_CPU, 0, out);
    }
    for (int kind = 0; kind < DEVICE_KIND_COUNT; kind++) {
        const char *name = device_kind_name((device_kind_t)kind);
        const size_t len = strlen(name);
        if (strncmp(spec, name, len)) continue;
        if (!spec[len]) return open_index((device_kind_t)kind, 0, out);
        char *end;
        const long index = strtol(spec + len + 1, &end, 10);
        if (spec[len] == ':' && spec[len + 1] >= '0' && spec[len + 1] <= '9' && !*end &&
            index < 1024)
            return open_index((device_kind_t)kind, (int)index, out);
    }
    return fail(STATUS_USAGE, "there is no device '%s': use cpu, cuda, cuda:N or auto", spec);
}
