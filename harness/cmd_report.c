/* blroof report: tables and plots of recorded runs. Measures nothing. */
#include <stdio.h>

#include "harness/commands.h"
#include "harness/options.h"
#include "plots/report.h"

status_t cmd_report(int argc, char **argv) {
    report_options_t report = {.console = true};
    const option_t options[] = {
        {"paper", 0, NULL, "the paper's tables and claims too: paper.md and paper_*.csv", NULL,
         &report.paper},
        {"latex", 0, NULL, "the paper's tables as LaTeX too (booktabs, longtable)", NULL,
         &report.latex},
        {"peer", 0, "FILE.csv", "another tool's timings beside ours (results/published/h200)",
         &report.peer, NULL},
        {0}};
    const command_t command = {"report", "DIR...",
                               "Writes DIR/report/: plots (SVG, PNG), tables (Markdown) and their\n"
                               "data; prints the table.",
                               options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len == 0) return fail(STATUS_USAGE, "report needs a run directory");
    for (int i = 0; i < rest_len && st == STATUS_OK; i++) {
        st = report_make(rest[i], &report);
        if (st == STATUS_OK) printf("report: %s/report/index.md\n", rest[i]);
    }
    return st;
}
