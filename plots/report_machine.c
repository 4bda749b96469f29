#include "plots/report_machine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "plots/report_text.h"
#include "results/throttle.h"

/* Rows of one kind that are told. */
enum { MAX_REMARKS = 200, MAX_DISTURBED = 20 };

/* ---- which machine ---- */

void write_machine(FILE *out, const report_t *r) {
    static const char *const keys[][2] = {
        {"device_name", "device"},
        {"gpu_compute_capability", "compute capability"},
        {"gpu_sms", "multiprocessors"},
        {"gpu_l2_bytes", "L2, bytes"},
        {"gpu_memory_bytes", "memory, bytes"},
        {"gpu_power_limit_w", "power limit, W"},
        {"gpu_sm_clock_max_mhz", "SM clock at most, MHz"},
        {"cpu_threads", "threads"},
        {"cpu", "host processor"},
        {"driver", "driver"},
        {"cuda_runtime", "CUDA runtime"},
        {"cublaslt", "cuBLASLt"},
        {"git", "blroof commit"},
    };
    fputs("## Machine\n\n", out);
    if (r->facts_len == 0) {
        fputs("This directory has no run.csv: which machine it was is unknown.\n\n", out);
        return;
    }
    fputs("| what | value |\n| --- | --- |\n", out);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        const char *value = report_fact(r, keys[k][0]);
        if (!*value) continue;
        fprintf(out, "| %s | ", keys[k][1]);
        text_markdown(out, value);
        fputs(" |\n", out);
    }
    putc('\n', out);
}

/* ---- is it fit ---- */

static int compare_numbers(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Half the width of the interval of the median, in percent of it: the median over the points. */
static double typical_noise(const report_t *r) {
    double *widths = malloc((size_t)r->points_len * sizeof *widths), noise = NAN;
    int len = 0;
    for (int i = 0; widths && i < r->own_len; i++) {
        const point_row_t *row = &r->points[i];
        const double width = 50 * (row->time_ci_high_us - row->time_ci_low_us) / row->time_us;
        if (r->places[i].ok && isfinite(width)) widths[len++] = width;
    }
    if (len > 0) {
        qsort(widths, (size_t)len, sizeof *widths, compare_numbers);
        noise = widths[len / 2];
    }
    free(widths);
    return noise;
}

/* By its flags; "disturbed" alone is another matter. */
static bool too_fast(const point_row_t *row) {
    return strstr(row->flags, "over_roof") || strstr(row->flags, "impossible");
}

typedef struct {
    int timed, held_back, loaded, intruded, remeasured, mended, short_of_time, flagged, counted;
} tally_t;

static bool held_back(const char *throttle) {
    return strstr(throttle, "cap") || strstr(throttle, "thermal") || strstr(throttle, "slowdown") ||
           strstr(throttle, "brake");
}

static tally_t tally(const report_t *r) {
    tally_t t = {0};
    for (int i = 0; i < r->own_len; i++) {
        const point_row_t *row = &r->points[i];
        if (!r->places[i].ok) continue;
        t.timed++;
        t.held_back += held_back(row->throttle);
        t.loaded += strstr(row->throttle, "other_load") != NULL;
        t.intruded += strstr(row->throttle, "other_process") != NULL;
        t.remeasured += row->remeasured > 0;
        t.mended += row->remeasured > 0 && !throttle_any(row->throttle);
        t.short_of_time += !strcmp(row->stop_reason, "budget");
        t.flagged += too_fast(row);
        t.counted += is_counted(row);
    }
    return t;
}

static bool differs(const char *value, const char *wanted) {
    return *value && strcmp(value, wanted) != 0;
}

static void write_doubts(FILE *out, const report_t *r, const tally_t *t) {
    const char *limit = report_fact(r, "gpu_power_limit_w");
    const char *usual = report_fact(r, "gpu_power_limit_default_w");
    const double missing = strtod(report_fact(r, "points"), NULL) - r->own_len;
    if (missing > 0)
        fprintf(out,
                "- **The sweep is not at its end:** %.0f of its points are missing; the same "
                "command with `--resume` measures them.\n",
                missing);
    if (differs(report_fact(r, "gpu_other_processes"), "0"))
        fprintf(out, "- **Other processes were on the GPU:** %s.\n",
                report_fact(r, "gpu_other_processes"));
    if (differs(report_fact(r, "gpu_mig"), "off"))
        fputs("- **MIG is on:** this is a part of the GPU.\n", out);
    if (*limit && *usual && strtod(limit, NULL) < strtod(usual, NULL))
        fprintf(out, "- **The power limit is %s W,** below the default of %s W.\n", limit, usual);
    if (differs(report_fact(r, "git_dirty"), "no"))
        fputs("- **Built from a changed checkout:** the commit does not say which kernels ran.\n",
              out);
    if (t->held_back)
        fprintf(out, "- **The clock was held back** (power cap, heat) during %d of %d points.\n",
                t->held_back, t->timed);
    if (t->loaded)
        fprintf(out, "- **Other work ran on the CPU** during %d of %d points.\n", t->loaded,
                t->timed);
    if (t->intruded)
        fprintf(out, "- **Another process was on the GPU** during %d of %d points.\n", t->intruded,
                t->timed);
    if (t->remeasured)
        fprintf(out,
                "- %d points were sampled again, since something throttled the device; %d of them "
                "in peace then.\n",
                t->remeasured, t->mended);
    if (t->short_of_time)
        fprintf(out,
                "- **%d of %d points ran out of their budget** before their interval was narrow "
                "enough.\n",
                t->short_of_time, t->timed);
    if (t->flagged)
        fprintf(out, "- **%d points are flagged** as faster than the ceilings allow: see Flags.\n",
                t->flagged);
}

static void write_passes_fitness(FILE *out, const report_t *r) {
    int ok = 0, held = 0, loaded = 0, accounted = 0;
    for (int i = 0; i < r->models_len; i++) {
        const model_row_t *m = &r->models[i];
        if (strcmp(m->status, "ok") != 0) continue;
        ok++;
        held += held_back(m->throttle);
        loaded += strstr(m->throttle, "other_load") != NULL;
        accounted += m->accounted_pct >= 95;
    }
    fprintf(out,
            "- %d of %d passes of whole models ended in finite numbers and are timed; their "
            "operators account for 95 %% or more of the latency in %d.\n",
            ok, r->models_len, accounted);
    if (held)
        fprintf(out, "- **The clock was held back** (power cap, heat) during %d of %d passes.\n",
                held, ok);
    if (loaded)
        fprintf(out, "- **Other work ran on the CPU** during %d of %d passes.\n", loaded, ok);
}

void write_fitness(FILE *out, const report_t *r) {
    const tally_t t = tally(r);
    const char *status = report_fact(r, "counter_status");
    char text[NUMBER_LEN];
    fputs("## Is it fit\n\n", out);
    if (r->own_len > 0 && !strcmp(r->points[0].launch, "predicted")) {
        fputs("- **Nothing here was measured:** times are predicted from the profile under "
              "Origin.\n\n",
              out);
        return;
    }
    if (r->models_len > 0) write_passes_fitness(out, r);
    if (r->own_len == 0) {
        write_doubts(out, r, &t);
        putc('\n', out);
        return;
    }
    fprintf(out, "- %d of %d points are checked against fp64 and timed", t.timed, r->own_len);
    if (*number_text(typical_noise(r), text))
        fprintf(out, ", half of them within +-%s %% (95 %% interval of the median)", text);
    fprintf(out, ".\n- Hardware counters: %d points counted%s%s.\n", t.counted, *status ? ", " : "",
            status);
    write_doubts(out, r, &t);
    putc('\n', out);
}

/* ---- ceilings, remarks, origin ---- */

void write_ceilings(FILE *out, const report_t *r) {
    char text[NUMBER_LEN], low[NUMBER_LEN], high[NUMBER_LEN];
    fputs("## Ceilings\n\n", out);
    if (r->ceilings_len == 0) {
        fputs("This directory has no ceilings: `blroof ceilings -o DIR` measures them.\n\n", out);
        return;
    }
    fputs(strcmp(r->ceilings[0].method, "profile")
              ? "Measured on the device itself. "
              : "What the profile says that the device reaches; sources are under Origin. ",
          out);
    fputs("The pictures draw the best method of each kind.\n\n"
          "| device | kind | dtype | method | value | unit | 95 % interval | theoretical | "
          "SM clock, MHz |\n"
          "| --- | --- | --- | --- | ---: | --- | --- | ---: | ---: |\n",
          out);
    for (int i = 0; i < r->ceilings_len; i++) {
        const ceiling_row_t *c = &r->ceilings[i];
        const char *const texts[] = {c->device, c->kind, c->dtype, c->method};
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
            fputs("| ", out);
            text_markdown(out, texts[t]);
            putc(' ', out);
        }
        fprintf(out, "| %s | ", number_text(c->value, text));
        text_markdown(out, c->unit);
        number_text(c->ci_low, low);
        number_text(c->ci_high, high);
        fprintf(out, " | %s%s%s ", low, *low && *high ? " to " : "", high);
        fprintf(out, "| %s ", number_text(c->theoretical, text));
        fprintf(out, "| %s |\n", number_text(c->sm_clock_mhz, text));
    }
    putc('\n', out);
}

/* Rows with something to say: all that are not ok, or (flags) those that carry a flag. */
void write_remarks(FILE *out, const report_t *r, bool flags) {
    int count = 0;
    for (int i = 0; i < r->points_len; i++) {
        const point_row_t *row = &r->points[i];
        if (flags ? !too_fast(row) : r->places[i].ok || !r->places[i].current) continue;
        if (++count > MAX_REMARKS) continue;
        if (count == 1)
            fprintf(out, "## %s\n\n| layer | tokens | structure/variant | dtype | %s |\n%s\n",
                    flags ? "Flags" : "Points without a time", flags ? "flag" : "status | reason",
                    flags ? "| --- | ---: | --- | --- | --- |"
                          : "| --- | ---: | --- | --- | --- | --- |");
        fputs("| ", out);
        text_markdown(out, r->layers[r->places[i].layer].label);
        fprintf(out, " | %.0f | ", row->tokens);
        text_markdown(out, r->series[r->places[i].series].label);
        fputs(" | ", out);
        text_markdown(out, row->dtype);
        fputs(" | ", out);
        text_markdown(out, flags ? row->flags : row->status);
        if (!flags) {
            fputs(" | ", out);
            text_markdown(out, *row->reason ? row->reason : "no reason recorded");
        }
        fputs(" |\n", out);
    }
    if (count > MAX_REMARKS)
        fprintf(out, "\nThe first %d of %d; all are in points.csv.\n", MAX_REMARKS, count);
    if (count && flags)
        fputs("\nover_roof: more than 2 % faster than the ceilings allow. impossible: more than 5 "
              "%,\n"
              "or fewer FLOPs executed than the algorithm needs. A ceiling, a count or a kernel is "
              "wrong.\n",
              out);
    if (count) putc('\n', out);
}

void write_disturbed(FILE *out, const report_t *r) {
    int count = 0;
    char clock[NUMBER_LEN];
    for (int i = 0; i < r->points_len; i++) {
        const point_row_t *row = &r->points[i];
        if (!r->places[i].ok || !r->places[i].current || !throttle_disturbs(row->throttle))
            continue;
        if (++count > MAX_DISTURBED) continue;
        if (count == 1)
            fputs(
                "## Disturbed points\n\n| layer | tokens | structure/variant | device | what by | "
                "sampled again | SM clock, MHz |\n| --- | ---: | --- | --- | --- | ---: | ---: "
                "|\n",
                out);
        fputs("| ", out);
        text_markdown(out, r->layers[r->places[i].layer].label);
        fprintf(out, " | %.0f | ", row->tokens);
        text_markdown(out, r->series[r->places[i].series].label);
        fputs(" | ", out);
        text_markdown(out, row->device);
        fputs(" | ", out);
        text_markdown(out, row->throttle);
        fprintf(out, " | %.0f | %s |\n", row->remeasured > 0 ? row->remeasured : 0,
                number_text(row->sm_clock_mhz, clock));
    }
    if (count > MAX_DISTURBED)
        fprintf(out, "\nThe first %d of %d; points.csv flags them as disturbed.\n", MAX_DISTURBED,
                count);
    if (count) putc('\n', out);
}

void write_facts(FILE *out, const report_t *r) {
    fputs("## Origin\n\n", out);
    if (r->facts_len == 0) {
        fputs("This directory has no run.csv: where the numbers come from is unknown.\n\n", out);
        return;
    }
    fputs("Times are medians of samples inside one recording, over buffers that rotate beyond the "
          "cache, unless\nthe section says otherwise; bytes and FLOPs were counted where a table "
          "says so, else they are\nmodelled; speedups are ratios of such medians; ceilings were "
          "measured on the device itself. The rows:\npoints.csv, samples.csv, ceilings.csv, "
          "models.csv and "
          "model_layers.csv of the run.\n\n",
          out);
    fputs("| key | value |\n| --- | --- |\n", out);
    for (int i = 0; i < r->facts_len; i++) {
        fputs("| ", out);
        text_markdown(out, r->facts[i].key);
        fputs(" | ", out);
        text_markdown(out, r->facts[i].value);
        fputs(" |\n", out);
    }
    putc('\n', out);
}
