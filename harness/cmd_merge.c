/* blroof merge: joins the shards of a sweep. */
#include <stddef.h>

#include "harness/commands.h"
#include "harness/merge.h"
#include "harness/options.h"

status_t cmd_merge(int argc, char **argv) {
    const char *out = NULL;
    const option_t options[] = {
        {"output", 'o', "DIR", "the run directory to write", &out, NULL},
        {0},
    };
    const command_t command = {
        "merge", "DIR... -o DIR",
        "Joins the run directories of all shards of a sweep (sweep --shard) into one. Points that\n"
        "are missing or there twice are named; shards by other commits or on other models of\n"
        "device are refused.",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    const status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len == 0) return fail(STATUS_USAGE, "merge needs the run directories of the shards");
    if (!out) return fail(STATUS_USAGE, "merge needs -o DIR, the run directory to write");
    return merge_runs(rest, rest_len, out);
}
