/* blroof predict: the tables of a report for a device that is not here. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/options.h"
#include "harness/predicting.h"
#include "plots/report_paper.h"
#include "plots/text_table.h"

/* ---- against a measured run ---- */

/* Points that take less than this wait for launches, which no ceiling describes well. */
static const double LARGE_US = 20;

static bool same_point(const point_row_t *a, const point_row_t *b) {
    return !strcmp(a->layer, b->layer) && !strcmp(a->structure, b->structure) &&
           !strcmp(a->variant, b->variant) && !strcmp(a->dtype, b->dtype) &&
           a->tokens == b->tokens && a->in_features == b->in_features &&
           a->out_features == b->out_features &&
           (a->blocks == b->blocks || (isnan(a->blocks) && isnan(b->blocks))) &&
           (a->rank == b->rank || (isnan(a->rank) && isnan(b->rank)));
}

typedef struct {
    int points, close; /* close: within 25 % */
    double log_sum, off_sum, low, high;
} error_t;

static void add_error(error_t *e, double ratio) {
    e->points++;
    e->close += fabs(ratio - 1) <= 0.25;
    e->log_sum += log(ratio);
    e->off_sum += fabs(ratio - 1);
    e->low = e->points == 1 ? ratio : fmin(e->low, ratio);
    e->high = e->points == 1 ? ratio : fmax(e->high, ratio);
}

static void print_error(const char *which, const error_t *e) {
    if (e->points == 0) return;
    printf("%s: %d points, predicted/measured %.2f (geometric mean, %.2f to %.2f), mean error "
           "%.0f %%, %d within 25 %%.\n",
           which, e->points, exp(e->log_sum / e->points), e->low, e->high,
           100 * e->off_sum / e->points, e->close);
}

static void add_against(const point_row_t *row, const prediction_t *p, const point_row_t *measured,
                        text_table_t *t) {
    table_cell(t, "%s", row->layer);
    table_cell(t, "%s/%s", row->structure, row->variant);
    table_cell(t, "%s", bound_name(p->bound));
    table_cell(t, "%.0f", row->tokens);
    table_number(t, measured->time_us, "");
    table_number(t, row->time_us, "");
    table_number(t, row->time_us / measured->time_us, "");
    table_number(t, (measured->dram_read_bytes + measured->dram_write_bytes) / 1e6, "");
    table_number(t, p->dram_bytes / 1e6, "");
}

static status_t print_against(const predicted_t *predicted, const char *dir) {
    static const char *const heads[] = {"layer",       "structure/variant", "bound",
                                        "tokens",      "measured us",       "predicted us",
                                        "pred./meas.", "counted DRAM MB",   "predicted DRAM MB"};
    enum { HEADS = sizeof heads / sizeof *heads };
    report_t report;
    error_t large = {0}, small = {0};
    text_table_t table;
    status_t st = report_load(dir, &report);
    if (st != STATUS_OK) return st;
    table_begin(&table, HEADS, 3);
    for (int h = 0; h < HEADS; h++) table_cell(&table, "%s", heads[h]);
    for (int i = 0; i < predicted->points_len; i++)
        for (int m = 0; m < report.points_len; m++) {
            const point_row_t *row = &predicted->points[i], *measured = &report.points[m];
            if (!report.places[m].ok || !report.places[m].current || isnan(row->time_us) ||
                !same_point(row, measured))
                continue;
            add_against(row, &predicted->predictions[i], measured, &table);
            add_error(measured->time_us > LARGE_US ? &large : &small,
                      row->time_us / measured->time_us);
        }
    printf("# Predicted against measured\n\nMeasured: %s.\n\n", dir);
    st = table_markdown(&table, stdout);
    print_error("Over 20 us", &large);
    print_error("Up to 20 us", &small);
    if (large.points + small.points == 0)
        st = fail(STATUS_USAGE, "%s has no point of this workload with a time in bf16", dir);
    table_free(&table);
    report_free(&report);
    return st;
}

/* ---- the command ---- */

static status_t print_tables(const predicted_t *p) {
    report_t report;
    if (p->points_len == 0) return fail(STATUS_USAGE, "no layer of the workload has a GPU variant");
    status_t st = report_of_rows(p->points, p->points_len, p->ceilings, p->ceilings_len, p->facts,
                                 p->facts_len, &report);
    if (st != STATUS_OK) return st;
    st = paper_print(&report, stdout);
    report_free(&report);
    return st;
}

static status_t run(const char *profile_name, const char *workload_name, const char *out,
                    const char *against) {
    device_profile_t profile;
    workload_t workload = {0};
    predicted_t predicted = {0};
    status_t st = device_profile_read(profile_name, &profile);
    if (st != STATUS_OK) return st;
    TRY(workload_load(workload_name, NULL, &workload));
    TRY(predict_workload(&profile, &workload, &predicted));
    if (out) TRY(predicted_write(&predicted, out));
    if (against)
        TRY(print_against(&predicted, against));
    else
        TRY(print_tables(&predicted));
    if (out) fprintf(stderr, "blroof: blroof report --paper %s makes the report\n", out);
cleanup:
    predicted_free(&predicted);
    workload_free(&workload);
    return st;
}

status_t cmd_predict(int argc, char **argv) {
    const char *out = NULL, *against = NULL;
    const option_t options[] = {
        {"out", 'o', "DIR", "write it as a run directory too, for report and compare", &out, NULL},
        {"against", 0, "DIR", "print predicted over measured for the points of that run", &against,
         NULL},
        {0}};
    const command_t command = {
        "predict", "PROFILE WORKLOAD",
        "The paper's tables for a device that is not here, in bf16: PROFILE is one of `blroof "
        "list\n"
        "profiles` or a file of that kind. An estimate from the rates of the device, the size of\n"
        "its L2 and what each variant moves; the same for every layer, fitted to none.",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    const status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len != 2)
        return fail(STATUS_USAGE, "predict needs a device profile and a workload, in this order");
    return run(rest[0], rest[1], out, against);
}
