/* Timings of another tool, beside those of the run. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_model.h"

typedef struct {
    report_t *r;
    const char *path;
    char stem[TEXT_LEN];
    point_row_t *rows;
    int len;
} peer_t;

/* The structure that the name of a method speaks of; NULL if it speaks of none. */
static const char *structure_of(const char *method) {
    static const char *const words[][2] = {{"dense", "dense"},
                                           {"low_rank", "lowrank"},
                                           {"lowrank", "lowrank"},
                                           {"monarch", "monarch"},
                                           {"blast", "blast"}};
    for (size_t w = 0; w < sizeof words / sizeof *words; w++)
        if (strstr(method, words[w][0])) return words[w][1];
    return NULL;
}

/* The same work: dense has no blocks and no rank. */
static bool same_work(const point_row_t *row, const peer_row_t *peer, const char *structure) {
    return row->tokens == peer->tokens && row->in_features == peer->in_features &&
           row->out_features == peer->out_features && !strcmp(row->structure, structure) &&
           (is_dense(row) || (row->blocks == peer->blocks && row->rank == peer->rank));
}

/* The row of the run that it stands beside, by name if it can, else by size; NULL without one. */
static const point_row_t *counterpart(const report_t *r, const peer_row_t *peer,
                                      const char *structure) {
    char name[2 * TEXT_LEN];
    const point_row_t *found = NULL;
    snprintf(name, sizeof name, "%s/%s", peer->model, peer->layer);
    for (int i = 0; i < r->own_len; i++) {
        if (!same_work(&r->points[i], peer, structure)) continue;
        if (!strcmp(r->points[i].layer, name)) return &r->points[i];
        if (!found) found = &r->points[i];
    }
    return found;
}

static status_t add_timing(void *ctx, const void *data, int line) {
    peer_t *p = ctx;
    const peer_row_t *peer = data;
    const char *structure = structure_of(peer->method);
    if (!structure)
        return fail(STATUS_USAGE,
                    "%s:%d:method: '%s' names none of dense, low_rank, monarch and blast", p->path,
                    line, peer->method);
    point_row_t *grown = realloc(p->rows, (size_t)(p->len + 1) * sizeof *grown);
    if (!grown) return fail(STATUS_OOM, "out of host memory for the report");
    p->rows = grown;
    point_row_t *row = &grown[p->len++];
    const point_row_t *beside = counterpart(p->r, peer, structure);
    const point_row_t *of_section = beside ? beside : &p->r->points[0];
    row_clear(&POINTS_TABLE, row);
    row_set_text(row->device, "%s", of_section->device);
    row_set_text(row->workload, "%s", of_section->workload);
    row_set_text(row->dtype, "%s", of_section->dtype);
    row_set_text(row->cache, "%s", of_section->cache);
    if (beside)
        row_set_text(row->layer, "%s", beside->layer);
    else
        row_set_text(row->layer, "%s/%s b%.0f r%.0f (%s)", peer->model, peer->layer, peer->blocks,
                     peer->rank, p->stem);
    row_set_text(row->structure, "%s", structure);
    row_set_text(row->variant, "%s (%s)", peer->method, p->stem);
    row->tokens = peer->tokens;
    row->in_features = peer->in_features;
    row->out_features = peer->out_features;
    row->blocks = peer->blocks;
    row->rank = peer->rank > 0 ? peer->rank : NAN;
    row->time_us = peer->cuda_graph_us > 0 ? peer->cuda_graph_us : peer->do_bench_us;
    row_set_text(row->status, row->time_us > 0 ? "ok" : "error");
    row_set_text(row->reason, row->time_us > 0 ? "" : "no time in %s", p->path);
    return STATUS_OK;
}

status_t report_add_peer(report_t *r, const char *path) {
    const char *slash = strrchr(path, '/');
    peer_t p = {.r = r, .path = path};
    row_set_text(p.stem, "%s", slash ? slash + 1 : path);
    p.stem[strcspn(p.stem, ".")] = '\0';
    status_t st = table_read(&PEER_TABLE, path, true, add_timing, &p);
    if (st == STATUS_OK && p.len == 0) st = fail(STATUS_USAGE, "%s has no rows", path);
    if (st == STATUS_OK) st = report_append(r, p.rows, p.len);
    if (st == STATUS_OK) row_set_text(r->peer_file, "%s", slash ? slash + 1 : path);
    free(p.rows);
    return st;
}
