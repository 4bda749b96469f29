#include "harness/shard.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static status_t read_number(const char *name, long long *out) {
    char extra;
    const char *text = getenv(name);
    if (text && sscanf(text, "%lld%c", out, &extra) == 1 && *out >= 0 && *out <= INT_MAX)
        return STATUS_OK;
    return fail(STATUS_USAGE, "--shard auto: %s is '%s', not a whole number: use --shard I/N", name,
                text ? text : "");
}

static status_t read_pair(const char *index_name, const char *count_name, shard_t *out) {
    long long index = 0, count = 1;
    status_t st = read_number(index_name, &index);
    if (st == STATUS_OK) st = read_number(count_name, &count);
    if (st == STATUS_OK && index >= count)
        st = fail(STATUS_USAGE, "--shard auto: %s is %lld, but %s is %lld: use --shard I/N",
                  index_name, index, count_name, count);
    *out = (shard_t){(int)index, (int)count};
    return st;
}

/* Slurm sets the rank in the batch script too, where it is 0 and nothing runs in parallel. */
static bool in_batch_script(void) {
    return getenv("SLURM_JOB_ID") && !getenv("SLURM_STEP_ID");
}

/* A launcher inside a Slurm job comes before Slurm, which only started the launcher. */
static status_t read_rank(shard_t *out, bool *found) {
    *found = true;
    if (getenv("OMPI_COMM_WORLD_RANK"))
        return read_pair("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", out);
    if (getenv("PMI_RANK")) return read_pair("PMI_RANK", "PMI_SIZE", out);
    if (getenv("SLURM_PROCID") && !in_batch_script())
        return read_pair("SLURM_PROCID", "SLURM_NTASKS", out);
    *out = (shard_t){0, 1};
    *found = false;
    return STATUS_OK;
}

/* Tasks of an array may be numbered from any number and in steps: --array=3-9:2. */
static status_t read_array(shard_t *out, bool *found) {
    long long id = 0, count = 0, first = 0, step = 1;
    *out = (shard_t){0, 1};
    *found = getenv("SLURM_ARRAY_TASK_ID") != NULL;
    if (!*found) return STATUS_OK;
    status_t st = read_number("SLURM_ARRAY_TASK_ID", &id);
    if (st == STATUS_OK) st = read_number("SLURM_ARRAY_TASK_COUNT", &count);
    if (st == STATUS_OK && getenv("SLURM_ARRAY_TASK_MIN"))
        st = read_number("SLURM_ARRAY_TASK_MIN", &first);
    if (st == STATUS_OK && getenv("SLURM_ARRAY_TASK_STEP"))
        st = read_number("SLURM_ARRAY_TASK_STEP", &step);
    if (st != STATUS_OK) return st;
    if (step < 1 || id < first || (id - first) % step || (id - first) / step >= count)
        return fail(STATUS_USAGE,
                    "--shard auto: task %lld is not one of %lld from %lld in steps of %lld: number "
                    "the array 0-N, or use --shard I/N",
                    id, count, first, step);
    *out = (shard_t){(int)((id - first) / step), (int)count};
    return STATUS_OK;
}

static status_t read_launcher(shard_t *out) {
    shard_t rank, array;
    bool has_rank, has_array;
    status_t st = read_rank(&rank, &has_rank);
    if (st == STATUS_OK) st = read_array(&array, &has_array);
    if (st != STATUS_OK) return st;
    if (!has_rank && !has_array)
        return fail(STATUS_USAGE,
                    "--shard auto needs a Slurm job array, srun or mpirun to say which "
                    "shard this is: or use --shard I/N");
    if ((long long)array.count * rank.count > INT_MAX)
        return fail(STATUS_USAGE, "--shard auto: more than 2^31 shards");
    *out = (shard_t){array.index * rank.count + rank.index, array.count * rank.count};
    return STATUS_OK;
}

status_t shard_parse(const char *text, shard_t *out) {
    char extra;
    if (!strcmp(text, "auto")) return read_launcher(out);
    if (sscanf(text, "%d/%d%c", &out->index, &out->count, &extra) == 2 && out->index >= 0 &&
        out->index < out->count)
        return STATUS_OK;
    return fail(STATUS_USAGE, "--shard is I/N with I from 0 to N-1, or auto, not '%s'", text);
}
