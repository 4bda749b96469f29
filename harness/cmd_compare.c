/* blroof compare: what changed between two runs, past their noise; a gate for CI. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/commands.h"
#include "harness/compare_run.h"
#include "harness/options.h"
#include "plots/compare_report.h"
#include "plots/compare_words.h"

enum { MAX_PROCESSES = 100, MAX_NULLS = 1000, ROUNDS = 3 };

typedef struct {
    const char *out, *count_text, *null_text, *noise_text, *threshold_text, *floor_text;
    const char *markdown, *junit, *json;
    bool run, gate, force;
    int count, nulls;
    compare_rules_t rules;
} arguments_t;

/* ---- arguments ---- */

static status_t parse_real(const char *option, const char *text, double limit, double *out) {
    char *end;
    if (!text) return STATUS_OK;
    *out = strtod(text, &end);
    if (end == text || *end || !(*out >= 0 && *out <= limit))
        return fail(STATUS_USAGE, "%s is a number from 0 to %g, not '%s'", option, limit, text);
    return STATUS_OK;
}

static status_t parse_count(const char *option, const char *text, int limit, int *out) {
    double value = *out;
    const status_t st = parse_real(option, text, limit, &value);
    if (st != STATUS_OK) return st;
    if (value != floor(value) || (text && value < 1))
        return fail(STATUS_USAGE, "%s is a whole number from 1 to %d, not '%s'", option, limit,
                    text);
    *out = (int)value;
    return STATUS_OK;
}

static status_t parse_numbers(arguments_t *a) {
    status_t st = STATUS_OK;
    a->rules = compare_defaults();
    a->count = 7;
    double threshold = 100 * a->rules.threshold, noise = 100 * a->rules.noise;
    TRY(parse_count("-n", a->count_text, MAX_PROCESSES, &a->count));
    TRY(parse_count("--null", a->null_text, MAX_NULLS, &a->nulls));
    TRY(parse_real("--threshold", a->threshold_text, 100, &threshold));
    TRY(parse_real("--noise", a->noise_text, 100, &noise));
    TRY(parse_real("--floor", a->floor_text, 1e6, &a->rules.floor_us));
    a->rules.threshold = threshold / 100;
    a->rules.noise = noise / 100;
    if (a->run) a->rules.looks = ROUNDS;
    if (!a->run && (a->count_text || a->out))
        st = fail(STATUS_USAGE, "-n and -o go with --run: recorded runs are compared as they are");
cleanup:
    return st;
}

static status_t check_rest(const arguments_t *a, const char *const *rest, int rest_len) {
    const char *what = a->run ? "command" : "run directory";
    if (a->run && a->nulls && rest_len == 2)
        return fail(STATUS_USAGE,
                    "--run with --null takes one command: it is compared with itself");
    if (rest_len == 2 || (rest_len == 1 && a->nulls)) return STATUS_OK;
    if (rest_len > 2)
        return fail(STATUS_USAGE,
                    "compare takes two %s%s, and '%s' is a third: quote what belongs "
                    "together",
                    a->run ? what : "run directorie", "s", rest[2]);
    return fail(STATUS_USAGE, "compare needs BASE and NEW, a %s each", what);
}

/* ---- output ---- */

static status_t write_files(const arguments_t *a, const comparison_t *c) {
    status_t st = STATUS_OK;
    if (a->markdown) st = compare_markdown(c, a->markdown);
    if (st == STATUS_OK && a->junit) st = compare_junit(c, a->junit);
    if (st == STATUS_OK && a->json) st = compare_json(c, a->json);
    return st;
}

static void print_null(const null_rate_t *n) {
    printf("null: %d comparison%s of BASE with itself: %d false alarm%s, %d inconclusive\n"
           "      of %ld points %ld SLOWER, %ld FASTER, %ld INCONCLUSIVE, %ld SAME\n",
           n->comparisons, n->comparisons == 1 ? "" : "s", n->alarms, n->alarms == 1 ? "" : "s",
           n->inconclusive, n->points, n->verdicts[VERDICT_SLOWER], n->verdicts[VERDICT_FASTER],
           n->verdicts[VERDICT_INCONCLUSIVE], n->verdicts[VERDICT_SAME]);
    if (!isnan(n->noise))
        printf("      noise between processes: %.2g %%, for --noise where there is one a side\n",
               100 * n->noise);
}

static status_t gate(const comparison_t *c) {
    char summary[2 * WORDS_LEN];
    comparison_summary(c, summary, sizeof summary);
    if (c->verdict == VERDICT_SLOWER) return fail(STATUS_REGRESSION, "regression: %s", summary);
    if (c->verdict == VERDICT_INCONCLUSIVE)
        return fail(STATUS_UNDECIDED, "inconclusive: %s", summary);
    return STATUS_OK;
}

static status_t gate_null(const null_rate_t *n) {
    if (n->alarms == 0) return STATUS_OK;
    return fail(STATUS_REGRESSION, "%d of %d null comparisons ended in a false alarm", n->alarms,
                n->comparisons);
}

/* ---- recorded runs ---- */

static status_t compare_recorded(const arguments_t *a, const char *base, const char *new) {
    comparison_t c;
    null_rate_t rate = {0};
    status_t st = comparison_load(base, new ? new : base, &a->rules, a->force, &c);
    if (st != STATUS_OK) return st;
    TRY(comparison_judge(&c));
    if (new) TRY(compare_console(&c, stdout));
    if (new) TRY(write_files(a, &c));
    if (a->nulls) {
        TRY(comparison_null(&c, a->nulls, &rate));
        print_null(&rate);
    }
    if (a->gate) st = new ? gate(&c) : gate_null(&rate);
cleanup:
    comparison_free(&c);
    return st;
}

/* ---- commands ---- */

/* As many processes again while slowdowns cannot be excluded: `rules.looks` makes up for that. */
static status_t compare_commands(const arguments_t *a, repeats_t *repeats, comparison_t *c) {
    for (int round = 1;; round++) {
        status_t st = repeats_add(repeats, a->count);
        if (st == STATUS_OK)
            st = comparison_load(repeats->sides[SIDE_BASE], repeats->sides[SIDE_NEW], &a->rules,
                                 a->force, c);
        if (st != STATUS_OK) return st;
        st = comparison_judge(c);
        if (st == STATUS_OK && (round == ROUNDS || c->regressions || c->unsure == 0)) return st;
        if (st == STATUS_OK)
            fprintf(stderr, "%d of %d points may be slower after %d processes a side: %d more\n",
                    c->unsure, c->points_len, repeats->done, a->count);
        comparison_free(c);
        if (st != STATUS_OK) return st;
    }
}

static status_t compare_run(const arguments_t *a, const char *dir, const char *base,
                            const char *new) {
    comparison_t c = {0};
    repeats_t repeats;
    status_t st = repeats_open(dir, base, new, &repeats);
    if (st != STATUS_OK) return st;
    TRY(compare_commands(a, &repeats, &c));
    TRY(compare_console(&c, stdout));
    TRY(write_files(a, &c));
    if (a->gate) st = gate(&c);
cleanup:
    comparison_free(&c);
    repeats_close(&repeats);
    return st;
}

/* One null comparison, with processes of its own. */
static status_t null_once(const arguments_t *a, const char *dir, const char *command,
                          null_rate_t *rate) {
    comparison_t c = {0};
    repeats_t repeats;
    status_t st = repeats_open(dir, command, command, &repeats);
    if (st != STATUS_OK) return st;
    st = compare_commands(a, &repeats, &c);
    if (st == STATUS_OK) {
        null_add(rate, &c);
        fprintf(stderr, "%s: %s\n", dir, verdict_name(c.verdict));
    }
    comparison_free(&c);
    repeats_close(&repeats);
    return st;
}

static status_t null_run(const arguments_t *a, const char *dir, const char *command) {
    null_rate_t rate = {0};
    status_t st = STATUS_OK;
    for (int i = 0; i < a->nulls && st == STATUS_OK; i++) {
        char wanted[RUN_PATH_LEN + 32], one[RUN_PATH_LEN];
        snprintf(wanted, sizeof wanted, "%s/null-%d", dir, i + 1);
        st = repeats_dir(wanted, one);
        if (st == STATUS_OK) st = null_once(a, one, command, &rate);
    }
    if (rate.comparisons) print_null(&rate);
    return st == STATUS_OK && a->gate ? gate_null(&rate) : st;
}

static status_t run_commands(const arguments_t *a, const char *const *commands) {
    char dir[RUN_PATH_LEN];
    const status_t st = repeats_dir(a->out, dir);
    if (st != STATUS_OK) return st;
    fprintf(stderr, "runs and what they say: %s\n", dir);
    return a->nulls ? null_run(a, dir, commands[0]) : compare_run(a, dir, commands[0], commands[1]);
}

status_t cmd_compare(int argc, char **argv) {
    arguments_t a = {0};
    const option_t options[] = {
        {"run", 0, NULL, "BASE and NEW are commands, run in turn, that measure", NULL, &a.run},
        {"processes", 'n', "N", "with --run: of each side (default 7); up to 3 N where unclear",
         &a.count_text, NULL},
        {"output", 'o', "DIR", "with --run: where the runs go, DIR/base and DIR/new", &a.out, NULL},
        {"gate", 0, NULL, "the exit code is the verdict: 1 regression, 3 inconclusive", NULL,
         &a.gate},
        {"force", 0, NULL, "compare different machines or settings too, and say so", NULL,
         &a.force},
        {"threshold", 0, "PERCENT", "changes up to this do not matter (default 2)",
         &a.threshold_text, NULL},
        {"floor", 0, "US", "nor do changes below this (default 0.2)", &a.floor_text, NULL},
        {"noise", 0, "PERCENT", "that processes of the same code differ by (default 3)",
         &a.noise_text, NULL},
        {"null", 0, "N", "the rate of false alarms: compare BASE with itself, N times",
         &a.null_text, NULL},
        {"markdown", 0, "FILE", "write the comparison for a pull request", &a.markdown, NULL},
        {"junit", 0, "FILE", "write it as JUnit XML", &a.junit, NULL},
        {"json", 0, "FILE", "write all of it as JSON", &a.json, NULL},
        {0},
    };
    const command_t command = {
        "compare", "BASE NEW | --run \"BASE_COMMAND\" \"NEW_COMMAND\"",
        "Compares two recorded runs point by point, past their noise. BASE and NEW are run\n"
        "directories, or directories of several, one a process: at least five a side show how\n"
        "much processes differ; of fewer, --noise says it.\n\n"
        "With --run both commands are run again and again, in turn and in random order. A command\n"
        "is split at blanks ('...', \"...\" and \\ keep them); no shell reads it. {} in it stands\n"
        "for the run directory; without one, -o DIR is appended.",
        options};
    const char *rest[argc];
    int rest_len;
    bool helped;
    status_t st = options_parse(&command, argc, argv, rest, &rest_len, &helped);
    if (st != STATUS_OK || helped) return st;
    st = parse_numbers(&a);
    if (st == STATUS_OK) st = check_rest(&a, rest, rest_len);
    if (st != STATUS_OK) return st;
    if (a.run) return run_commands(&a, rest);
    return compare_recorded(&a, rest[0], rest_len > 1 ? rest[1] : NULL);
}
