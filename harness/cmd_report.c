/* blroof report: tables and plots of recorded runs. Measures nothing. */
#include <stdio.h>

#include "harness/commands.h"
#include "harness/options.h"
#include "plots/report.h"

status_t cmd_report(int argc, char **argv) {
    report_options_t report = {.console = true};
    const option_t options[] = {
        {"paper", 0, NULL, "the paper's tables and claims too: paper.md, claims.csv", NULL,
         &report.paper},
        {"latex", 0, NULL, "the paper's tables as LaTeX too (booktabs, longtable)", NULL,
         &report.latex},
        {"peer", 0, "FILE.csv", "another tool's timings beside ours (results/published/h200)",
         &report.peer, NULL},
        {0}};
    const command_t command = {
        "report", "DIR...",
        "Writes DIR/report/: index.html, one page with everything inside;\n"
        "the same in Markdown, the pictures as SVG, PNG and PDF, the tables\n"
        "as CSV; prints the table of points. Several runs are set side by\n"
        "side. Measures nothing.",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    const status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    if (rest_len == 0) return fail(STATUS_USAGE, "report needs a run directory");
    return report_make(rest, rest_len, &report);
}
