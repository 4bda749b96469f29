#include "results/schema.h"

/* ROW is the row type of the list being expanded: COLUMN sees the definition in force there. */
#define COLUMN(name, type) {#name, CELL_##type, offsetof(ROW, name)},
#define ONE(name, type) +1
enum { ATTENTION_COUNT = ATTENTION_COLUMNS(ONE) };
#define COUNT_OF(array) ((int)(sizeof(array) / sizeof *(array)))

#define ROW point_row_t
static const column_t point_columns[] = {POINT_COLUMNS(COLUMN)};
#undef ROW
#define ROW ceiling_row_t
static const column_t ceiling_columns[] = {CEILING_COLUMNS(COLUMN)};
#undef ROW
#define ROW sample_row_t
static const column_t sample_columns[] = {SAMPLE_COLUMNS(COLUMN)};
#undef ROW
#define ROW plan_row_t
static const column_t plan_columns[] = {PLAN_COLUMNS(COLUMN)};
#undef ROW
#define ROW run_row_t
static const column_t run_columns[] = {RUN_COLUMNS(COLUMN)};
#undef ROW
#define ROW workload_row_t
static const column_t workload_columns[] = {WORKLOAD_COLUMNS(COLUMN)};
#undef ROW
#define ROW model_row_t
static const column_t model_columns[] = {MODEL_COLUMNS(COLUMN)};
#undef ROW
#define ROW model_layer_row_t
static const column_t model_layer_columns[] = {MODEL_LAYER_COLUMNS(COLUMN)};
#undef ROW

const table_t POINTS_TABLE = {"points.csv", point_columns, COUNT_OF(point_columns),
                              sizeof(point_row_t)};
const table_t CEILINGS_TABLE = {"ceilings.csv", ceiling_columns, COUNT_OF(ceiling_columns),
                                sizeof(ceiling_row_t)};
const table_t SAMPLES_TABLE = {"samples.csv", sample_columns, COUNT_OF(sample_columns),
                               sizeof(sample_row_t)};
const table_t PLANS_TABLE = {"plans.csv", plan_columns, COUNT_OF(plan_columns), sizeof(plan_row_t)};
const table_t RUN_TABLE = {"run.csv", run_columns, COUNT_OF(run_columns), sizeof(run_row_t)};
const table_t WORKLOAD_TABLE = {NULL, workload_columns, COUNT_OF(workload_columns),
                                sizeof(workload_row_t), ATTENTION_COUNT};
const table_t MODELS_TABLE = {"models.csv", model_columns, COUNT_OF(model_columns),
                              sizeof(model_row_t)};
const table_t MODEL_LAYERS_TABLE = {"model_layers.csv", model_layer_columns,
                                    COUNT_OF(model_layer_columns), sizeof(model_layer_row_t)};
