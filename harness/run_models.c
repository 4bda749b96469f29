/* models.csv and model_layers.csv: the operators of a pass, and then the pass. */
#include "harness/run.h"

status_t run_open_models(run_t *run) {
    if (exists_in(run->path, MODELS_TABLE.file))
        return fail(STATUS_USAGE, "%s already holds models: use another -o", run->path);
    const status_t st = grow_open(run->path, &MODELS_TABLE, &run->models);
    return st == STATUS_OK ? grow_open(run->path, &MODEL_LAYERS_TABLE, &run->model_layers) : st;
}

static status_t append_model(run_t *run, const model_row_t *row) {
    char path[PATH_LEN];
    path_in(run->path, MODELS_TABLE.file, path);
    const status_t st = table_write_row(&MODELS_TABLE, run->models, path, row);
    return st == STATUS_OK ? grow_sync(run->models, run->path, &MODELS_TABLE) : st;
}

status_t run_add_model(run_t *run, const model_row_t *row, const model_layer_row_t *layers,
                       int layers_len) {
    char path[PATH_LEN];
    const long layers_end = grow_mark(run->model_layers), models_end = grow_mark(run->models);
    path_in(run->path, MODEL_LAYERS_TABLE.file, path);
    status_t st = STATUS_OK;
    for (int i = 0; i < layers_len && st == STATUS_OK; i++)
        st = table_write_row(&MODEL_LAYERS_TABLE, run->model_layers, path, &layers[i]);
    if (st == STATUS_OK) st = grow_sync(run->model_layers, run->path, &MODEL_LAYERS_TABLE);
    if (st == STATUS_OK) st = grow_take_back(run->models, models_end, append_model(run, row));
    return grow_take_back(run->model_layers, layers_end, st);
}
