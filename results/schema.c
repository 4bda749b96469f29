#include "results/schema.h"

#define COLUMN_OF(row, name, type) {#name, CELL_##type, offsetof(row, name)},
#define POINT_COLUMN(name, type) COLUMN_OF(point_row_t, name, type)
#define CEILING_COLUMN(name, type) COLUMN_OF(ceiling_row_t, name, type)
#define SAMPLE_COLUMN(name, type) COLUMN_OF(sample_row_t, name, type)
#define RUN_COLUMN(name, type) COLUMN_OF(run_row_t, name, type)
#define WORKLOAD_COLUMN(name, type) COLUMN_OF(workload_row_t, name, type)

static const column_t point_columns[] = {POINT_COLUMNS(POINT_COLUMN)};
static const column_t ceiling_columns[] = {CEILING_COLUMNS(CEILING_COLUMN)};
static const column_t sample_columns[] = {SAMPLE_COLUMNS(SAMPLE_COLUMN)};
static const column_t run_columns[] = {RUN_COLUMNS(RUN_COLUMN)};
static const column_t workload_columns[] = {WORKLOAD_COLUMNS(WORKLOAD_COLUMN)};

#define TABLE(file, columns, row)                                                                  \
    { file, columns, sizeof columns / sizeof *columns, sizeof(row) }
const table_t POINTS_TABLE = TABLE("points.csv", point_columns, point_row_t);
const table_t CEILINGS_TABLE = TABLE("ceilings.csv", ceiling_columns, ceiling_row_t);
const table_t SAMPLES_TABLE = TABLE("samples.csv", sample_columns, sample_row_t);
const table_t RUN_TABLE = TABLE("run.csv", run_columns, run_row_t);
const table_t WORKLOAD_TABLE = TABLE(NULL, workload_columns, workload_row_t);
