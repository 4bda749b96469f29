/* blroof report: tables and plots of recorded runs. Measures nothing. */
#include <stdio.h>

#include "harness/commands.h"
#include "harness/options.h"
#include "plots/report.h"

status_t cmd_report(int argc, char **argv) {
    bool paper = false, latex = false;
    const option_t options[] = {
        {"paper", 0, NULL, "the paper's tables and claims too: DIR/report/paper.md and .csv", NULL,
         &paper},
        {"latex", 0, NULL, "the paper's tables as LaTeX too (booktabs, longtable)", NULL, &latex},
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
        st = report_console(rest[i], stdout);
        if (st == STATUS_OK && (paper || latex)) st = report_paper(rest[i], latex);
        if (st == STATUS_OK) st = report_write(rest[i]);
        if (st == STATUS_OK) printf("report: %s/report/index.md\n", rest[i]);
    }
    return st;
}
