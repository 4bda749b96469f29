/*
 * The columns of every table, once. Header, writer, reader and console tables derive from these.
 * C(name, type): TEXT, COUNT (a whole number), REAL. A missing COUNT or REAL is NAN and an empty
 * cell.
 */
#ifndef BLROOF_SCHEMA_H
#define BLROOF_SCHEMA_H

#include <stddef.h>

enum { TEXT_LEN = 192 };

/* Lists of columns, laid out by hand. */
/* clang-format off */
/* What else an attention problem has; empty for linear layers. causal is 0 or 1. */
#define ATTENTION_COLUMNS(C)                                                                       \
    C(batch, COUNT) C(heads, COUNT) C(kv_heads, COUNT) C(context, COUNT) C(causal, COUNT)

#define POINT_COLUMNS(C)                                                                           \
    C(run_id, TEXT) C(device, TEXT) C(workload, TEXT) C(layer, TEXT) C(structure, TEXT)            \
    C(variant, TEXT) C(dtype, TEXT)                                                                \
    C(tokens, COUNT) C(in_features, COUNT) C(out_features, COUNT) C(blocks, COUNT) C(rank, COUNT)  \
    C(status, TEXT) C(reason, TEXT) C(cache, TEXT) C(launch, TEXT) C(samples, COUNT)               \
    C(stop_reason, TEXT)                                                                           \
    C(time_us, REAL) C(time_min_us, REAL) C(time_q1_us, REAL) C(time_q3_us, REAL)                  \
    C(time_ci_low_us, REAL) C(time_ci_high_us, REAL)                                               \
    C(sm_clock_mhz, REAL) C(power_w, REAL) C(temperature_c, REAL) C(throttle, TEXT)                \
    C(flops, COUNT) C(dense_flops, COUNT) C(bytes_min, COUNT) C(bytes_model, COUNT)                \
    C(flops_measured, COUNT)                                                                       \
    C(dram_read_bytes, COUNT) C(dram_write_bytes, COUNT) C(l2_bytes, COUNT) C(l1_bytes, COUNT)     \
    C(counter_source, TEXT) C(counter_status, TEXT)                                                \
    C(tflops, REAL) C(gbps, REAL) C(intensity, REAL) C(intensity_source, TEXT) C(roof_us, REAL)    \
    C(bound, TEXT) C(roof_pct, REAL)                                                               \
    C(weight_bytes, COUNT) C(workspace_bytes, COUNT) C(error, REAL) C(error_worst_row, REAL)       \
    C(tolerance, REAL)                                                                             \
    /* beyond the fixed set */                                                                     \
    C(stream_time_us, REAL) C(kernels, COUNT) C(packed_bytes, COUNT) C(flags, TEXT)                \
    /* the model's parts, and what the counters make of them */                                    \
    C(cuda_core_flops, COUNT) C(intermediates, COUNT) C(intermediate_max_bytes, COUNT)             \
    C(intensity_model, REAL)                                                                       \
    C(tensor_flops_measured, COUNT) C(cuda_core_flops_measured, COUNT) C(flops_waste, REAL)        \
    C(excess_traffic, REAL) C(l2_intensity, REAL)                                                  \
    /* which of a variant's plans ran, and the time it took to choose it */                                                           \
    C(plan, TEXT) C(tuning_s, REAL)                                                                \
    ATTENTION_COLUMNS(C)                                                                           \
    /* which GPU it was, wherever `device` counts from */                                          \
    C(gpu_uuid, TEXT)                                                                              \
    /* times that it was sampled anew, since something throttled the device */                     \
    C(remeasured, COUNT)                                                                           \
    /* of the operands of its matrix products: which compute ceiling is its own */                 \
    C(matrix_dtype, TEXT)

#define CEILING_COLUMNS(C)                                                                         \
    C(run_id, TEXT) C(device, TEXT) C(kind, TEXT) C(dtype, TEXT) C(method, TEXT) C(value, REAL)    \
    C(unit, TEXT) C(ci_low, REAL) C(ci_high, REAL) C(theoretical, REAL) C(sm_clock_mhz, REAL)

/* One row a timed sample; its other columns name the point. */
#define SAMPLE_COLUMNS(C)                                                                          \
    C(run_id, TEXT) C(workload, TEXT) C(layer, TEXT) C(structure, TEXT) C(variant, TEXT)           \
    C(dtype, TEXT) C(tokens, COUNT) C(in_features, COUNT) C(out_features, COUNT) C(blocks, COUNT)  \
    C(rank, COUNT) C(cache, TEXT) C(sample, COUNT) C(time_us, REAL)                                \
    ATTENTION_COLUMNS(C) C(device, TEXT)

/* Choices among the plans of a variant; the build's kernels are what they hold for. */
#define PLAN_COLUMNS(C)                                                                            \
    C(build, TEXT) C(device_name, TEXT) C(structure, TEXT) C(variant, TEXT) C(dtype, TEXT)         \
    C(cache, TEXT) C(tokens, COUNT) C(in_features, COUNT) C(out_features, COUNT) C(blocks, COUNT)  \
    C(rank, COUNT) C(plan, TEXT) C(time_us, REAL)                                                  \
    ATTENTION_COLUMNS(C)

#define RUN_COLUMNS(C)                                                                             \
    C(key, TEXT) C(value, TEXT)

/* One pass of a whole model; stream_latency_ms is the same without a graph. */
#define MODEL_COLUMNS(C)                                                                           \
    C(run_id, TEXT) C(device, TEXT) C(model, TEXT) C(structure, TEXT) C(variant, TEXT)             \
    C(dtype, TEXT) C(phase, TEXT) C(batch, COUNT) C(tokens, COUNT) C(launch, TEXT)                 \
    C(status, TEXT) C(reason, TEXT)                                                                \
    C(latency_ms, REAL) C(latency_ci_low_ms, REAL) C(latency_ci_high_ms, REAL)                     \
    C(tokens_per_s, REAL)                                                                          \
    C(weight_bytes, COUNT) C(activation_bytes, COUNT) C(workspace_bytes, COUNT)                    \
    C(peak_bytes, COUNT) C(accounted_pct, REAL) C(speedup_vs_dense, REAL)                          \
    C(speedup_predicted, REAL) C(sm_clock_mhz, REAL)                                               \
    /* beyond the fixed set; past is the tokens in the cache of a decode phase */                  \
    C(past, COUNT) C(samples, COUNT) C(stream_latency_ms, REAL) C(throttle, TEXT)                  \
    C(flops, COUNT) C(launches, COUNT)                                                             \
    /* Amdahl's law: what part of dense was replaced, and how much faster that part is alone */    \
    C(replaced_pct, REAL) C(replaced_speedup, REAL) C(weights, TEXT)                               \
    C(stream_ci_low_ms, REAL) C(stream_ci_high_ms, REAL) C(kernels, COUNT)

/* Operators of one pass, all launches of one kind in a row; times, FLOPs and bytes are of all of
 * them. "launch" and "gaps" are what the latency has beyond the operators. */
#define MODEL_LAYER_COLUMNS(C)                                                                     \
    C(run_id, TEXT) C(model, TEXT) C(structure, TEXT) C(phase, TEXT) C(operator, TEXT)             \
    C(variant, TEXT) C(count, COUNT) C(time_in_model_us, REAL) C(time_alone_us, REAL)              \
    C(share_pct, REAL) C(bound, TEXT) C(roof_pct, REAL) C(flops, COUNT) C(dram_bytes, COUNT)       \
    /* beyond the fixed set: what tells rows of models.csv apart, and the layer */                 \
    C(device, TEXT) C(model_variant, TEXT) C(dtype, TEXT) C(batch, COUNT) C(tokens, COUNT)         \
    C(past, COUNT) C(kind, TEXT) C(in_features, COUNT) C(out_features, COUNT) C(blocks, COUNT)     \
    C(rank, COUNT) C(bytes, COUNT) C(roof_us, REAL)

/* A workload: tokens, blocks and rank are LISTs (harness/list.h); blocks and rank may be empty.
 * The columns of attention may be missing from a file. */
#define WORKLOAD_COLUMNS(C)                                                                        \
    C(model, TEXT) C(layer, TEXT) C(structure, TEXT) C(in_features, COUNT) C(out_features, COUNT)  \
    C(tokens, TEXT) C(blocks, TEXT) C(rank, TEXT)                                                  \
    ATTENTION_COLUMNS(C)

/* What the paper says: empty device, workload and tokens are any, + joins variants of which the
 * fastest counts. plots/report_claims.h has the quantities; `only` leaves points out, `share` of
 * the rest must hold (1 if empty), and without `low` the greatest is meant. */
#define CLAIM_COLUMNS(C)                                                                           \
    C(device, TEXT) C(workload, TEXT) C(tokens, COUNT) C(structure, TEXT) C(variant, TEXT)         \
    C(quantity, TEXT) C(low, REAL) C(high, REAL) C(source, TEXT) C(only, TEXT) C(share, REAL)

/* Timings of another tool. */
#define PEER_COLUMNS(C)                                                                            \
    C(model, TEXT) C(layer, TEXT) C(tokens, COUNT) C(in_features, COUNT) C(out_features, COUNT)    \
    C(blocks, COUNT) C(rank, COUNT) C(method, TEXT) C(do_bench_us, REAL) C(cuda_graph_us, REAL)

/* clang-format on */

typedef enum { CELL_TEXT, CELL_COUNT, CELL_REAL } cell_type_t;

typedef struct {
    const char *name;
    cell_type_t type;
    size_t offset;
} column_t;

#define SCHEMA_TYPE_TEXT(name) char name[TEXT_LEN];
#define SCHEMA_TYPE_COUNT(name) double name;
#define SCHEMA_TYPE_REAL(name) double name;
#define SCHEMA_MEMBER(name, type) SCHEMA_TYPE_##type(name)

typedef struct {
    POINT_COLUMNS(SCHEMA_MEMBER)
} point_row_t;
typedef struct {
    CEILING_COLUMNS(SCHEMA_MEMBER)
} ceiling_row_t;
typedef struct {
    SAMPLE_COLUMNS(SCHEMA_MEMBER)
} sample_row_t;
typedef struct {
    PLAN_COLUMNS(SCHEMA_MEMBER)
} plan_row_t;
typedef struct {
    RUN_COLUMNS(SCHEMA_MEMBER)
} run_row_t;
typedef struct {
    WORKLOAD_COLUMNS(SCHEMA_MEMBER)
} workload_row_t;
typedef struct {
    MODEL_COLUMNS(SCHEMA_MEMBER)
} model_row_t;
typedef struct {
    MODEL_LAYER_COLUMNS(SCHEMA_MEMBER)
} model_layer_row_t;
typedef struct {
    CLAIM_COLUMNS(SCHEMA_MEMBER)
} claim_row_t;
typedef struct {
    PEER_COLUMNS(SCHEMA_MEMBER)
} peer_row_t;

typedef struct {
    const char *file; /* name inside a run directory */
    const column_t *columns;
    int count;
    size_t row_size;
    int optional; /* so many of the last columns may be missing even where all are needed */
} table_t;

/* The problem's cells of attention, in a row of any table that has them. */
#define ROW_SET_ATTENTION(row, problem)                                                            \
    do {                                                                                           \
        if ((problem)->heads > 0) {                                                                \
            (row)->batch = (double)(problem)->batch;                                               \
            (row)->heads = (double)(problem)->heads;                                               \
            (row)->kv_heads = (double)(problem)->kv_heads;                                         \
            (row)->context = (double)(problem)->context;                                           \
            (row)->causal = (problem)->causal;                                                     \
        }                                                                                          \
    } while (0)

/* The same from one row to another. */
#define ROW_COPY_ATTENTION(to, from)                                                               \
    ((to)->batch = (from)->batch, (to)->heads = (from)->heads, (to)->kv_heads = (from)->kv_heads,  \
     (to)->context = (from)->context, (to)->causal = (from)->causal)

/* SWEEP_TABLE has the columns of POINTS_TABLE: the points that all shards together are to measure.
 */
extern const table_t POINTS_TABLE, SWEEP_TABLE, CEILINGS_TABLE, SAMPLES_TABLE, PLANS_TABLE,
    RUN_TABLE, WORKLOAD_TABLE, MODELS_TABLE, MODEL_LAYERS_TABLE, CLAIMS_TABLE, PEER_TABLE;

#endif
