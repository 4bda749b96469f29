# A variant is one file: dropped into a copy of the tree, it is listed, checked and swept.
. tests/tap.sh
if ! command -v make >/dev/null || [ ! -f Makefile ]; then
    skip "a variant is one file" "no sources or no make here"
    plan
    exit 0
fi
git ls-files -co --exclude-standard 2>/dev/null | grep -v '^results/published' | tar -cf - -T - | tar -xf - -C "$scratch"
cat >"$scratch/kernels/lowrank/cpu_plain.c" <<'END'
/* lowrank/plain: two loops over the definition. */
#include "kernels/operator.h"

static size_t workspace(const problem_t *p, const device_info_t *info) {
    (void)info;
    return sizeof(float) * (size_t)(p->tokens * p->rank);
}

static status_t launch(const problem_t *p, void *const *tensors, void *workspace, stream_t stream) {
    const float *x = tensors[0], *v = tensors[1], *u = tensors[2];
    float *y = tensors[3], *t = workspace;
    (void)stream;
    for (int64_t n = 0; n < p->tokens; n++) {
        for (int64_t s = 0; s < p->rank; s++) t[n * p->rank + s] = 0;
        for (int64_t i = 0; i < p->in_features; i++)
            for (int64_t s = 0; s < p->rank; s++)
                t[n * p->rank + s] += x[n * p->in_features + i] * v[i * p->rank + s];
        for (int64_t j = 0; j < p->out_features; j++) y[n * p->out_features + j] = 0;
        for (int64_t s = 0; s < p->rank; s++)
            for (int64_t j = 0; j < p->out_features; j++)
                y[n * p->out_features + j] += t[n * p->rank + s] * u[s * p->out_features + j];
    }
    return STATUS_OK;
}

static const variant_t plain = {.structure = "lowrank", .name = "plain", .summary = "two loops",
                                .device = DEVICE_CPU, .dtypes = DTYPE_BIT(DTYPE_FP32),
                                .workspace = workspace, .launch = launch};
REGISTER_VARIANT(plain)
END
cat >"$scratch/w.csv" <<'END'
model,layer,structure,in_features,out_features,tokens,blocks,rank
m,l,lowrank,96,192,17,1,16
END
ok "the tree builds with it" make -C "$scratch" -j2 NVCC= BUILD=build
ok "list has it" sh -c "$scratch/build/blroof list variants | grep -q '^cpu *lowrank/plain '"
ok "a sweep runs" "$scratch/build/blroof" sweep "$scratch/w.csv" -d cpu --budget 0.05 -o "$scratch/run"
ok "it is checked and timed" grep -q ',lowrank,plain,fp32,17,96,192,1,16,ok,' "$scratch/run/points.csv"
sed -i 's/+= t\[/-= t[/' "$scratch/kernels/lowrank/cpu_plain.c"
ok "it builds with a wrong sign" make -C "$scratch" -j2 NVCC= BUILD=build
ok "a sweep runs" "$scratch/build/blroof" sweep "$scratch/w.csv" -d cpu --budget 0.05 -o "$scratch/wrong"
ok "the wrong one is a mismatch" grep -q ',lowrank,plain,fp32,17,96,192,1,16,mismatch,' "$scratch/wrong/points.csv"
ok "and has no time" sh -c "test -z \"\$(grep plain $scratch/wrong/points.csv | cut -d, -f19)\""
plan
