# Whole models on the CPU from end to end: rows, accounting, options, weights, report, errors.
. tests/tap.sh
export OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive
tiny=tests/fixtures/models
model() { "$BLROOF" model -d cpu --budget 0.02 "$@"; }
layers() { # layers DIR STRUCTURE COLUMN: cells of the operators of one structure
    awk -F, -v structure="$2" -v name="$3" '
        NR == 1 {for (i = 1; i <= NF; i++) {if ($i == name) c = i; if ($i == "structure") s = i}; next}
        $s == structure {print $c}' "$1/model_layers.csv"
}
cat >"$scratch/mixed.model" <<'END'
base gpt2s
tokens 13
size layers 2
size hidden 32
size inner 48
size heads 4
size vocab 96
size positions 16
factor replaced lowrank 12 monarch 16/4 blast 12/4
use c_fc monarch/fused 0..0
use c_proj blast
END

ok "ceilings" "$BLROOF" ceilings -d cpu -o "$scratch/c"
new() { rm -rf "$scratch/$1" && cp -r "$scratch/c" "$scratch/$1"; }
new a
ok "a model with its own weights" model $tiny/gpt2s/gpt2s_tiny.model --structure dense \
    --weights $tiny/gpt2s/weights.safetensors -o "$scratch/a"
ok "prefill and decode" test "$(column "$scratch/a/models.csv" phase | tr '\n' ' ')" = "prefill decode "
ok "all rows are ok" test "$(column "$scratch/a/models.csv" status | sort -u)" = ok
ok "dense is as fast as dense" test "$(column "$scratch/a/models.csv" speedup_vs_dense | sort -u)" = 1
ok "weights are those of the file" test "$(column "$scratch/a/models.csv" weight_bytes | sort -u)" = \
    $((18656 * 4))
ok "a second run is refused" fails 2 "already holds models" model $tiny/gpt2s/gpt2s_tiny.model -o "$scratch/a"

new b
ok "all structures of a mixed model" model "$scratch/mixed.model" --phase prefill -o "$scratch/b"
ok "one pass each" test "$(column "$scratch/b/models.csv" structure | tr '\n' ' ')" = \
    "dense lowrank monarch blast mixed "
ok "latency within its interval" awk -F, '
    NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; next}
    !($at["latency_ms"] > 0 && $at["latency_ci_low_ms"] <= $at["latency_ms"] &&
      $at["latency_ms"] <= $at["latency_ci_high_ms"]) {exit 1}' "$scratch/b/models.csv"
ok "layers are replaced as the file says" sh -c "
    awk -F, '\$3 == \"mixed\" {print \$5, \$6, \$7}' $scratch/b/model_layers.csv >$scratch/mixed.txt &&
    grep -q '^c_fc monarch/fused 1\$' $scratch/mixed.txt && grep -q '^c_fc dense/openblas 1\$' $scratch/mixed.txt &&
    grep -q '^c_proj blast/[a-z]* 2\$' $scratch/mixed.txt && grep -q '^attn_proj dense/openblas 2\$' $scratch/mixed.txt"
ok "operators and gaps are the whole latency" awk -F, '
    NR == 1 {for (i = 1; i <= NF; i++) at[$i] = i; next}
    {sum[$at["structure"]] += $at["share_pct"]}
    END {for (s in sum) {n++; if (sum[s] < 99.99 || sum[s] > 100.01) exit 1}; exit n != 5}' \
    "$scratch/b/model_layers.csv"
ok "every operator has its times" sh -c "! awk -F, 'NR > 1 && \$5 != \"gaps\" && !(\$8 > 0 && \$9 > 0)' \
    $scratch/b/model_layers.csv | grep ."
ok "twelve launches of linear layers do 2 n in out" test "$(layers "$scratch/b" dense flops | sed -n 3p)" = \
    $((2 * 2 * 13 * 32 * 96))
if command -v gnuplot >/dev/null; then
    ok "report" "$BLROOF" report "$scratch/b"
else
    "$BLROOF" report "$scratch/b" >/dev/null 2>&1
    skip "pictures of the report" "no gnuplot"
fi
ok "has every pass" test "$(grep -c '^#### ' "$scratch/b/report/index.md")" -eq 5
ok "and the speedup by Amdahl's law" grep -q '^| lowrank/best | .* % | .*x | .*x | .*x |' "$scratch/b/report/index.md"

ok "and a page" grep -q '<td>lowrank/best</td>' "$scratch/b/report/index.html"

new w
ok "a layer that crashes" "${BUILD:-build}/tests/blroof_faulty" model "$scratch/mixed.model" -d cpu --budget 0.02 \
    --phase prefill --structure dense --variant fault_crash,openblas -o "$scratch/w"
ok "costs its pass alone" test "$(column "$scratch/w/models.csv" status | tr '\n' ' ')" = "error ok "
ok "and is told" grep -q ',error,its process crashed: .*signal' "$scratch/w/models.csv"

new v
ok "a variant by name" model "$scratch/mixed.model" --phase prefill --variant fused -o "$scratch/v"
ok "where there is one, beside dense" test "$(column "$scratch/v/models.csv" structure | tr '\n' ' ')" = \
    "dense monarch blast mixed "

new d
ok "lists of tokens and batches" model $tiny/llama1b/llama1b_tiny.model --structure lowrank --variant openblas \
    --tokens 3,5 --batch 1..2+1 --phase decode -o "$scratch/d"
ok "tokens stand in the cache" test "$(column "$scratch/d/models.csv" past | tr '\n' ' ')" = "3 5 3 5 "
ok "without dense there is no speedup" test "$(column "$scratch/d/models.csv" speedup_vs_dense | sort -u)" = ""
new e
ok "a dtype without kernels is a row" model $tiny/vit_b16/vit_b16_tiny.model --dtype bf16 --structure dense -o "$scratch/e"
ok "that says why" grep -q ',unsupported,.*bf16' "$scratch/e/models.csv"
new f
ok "weights of another model are a row" model $tiny/vit_b16/vit_b16_tiny.model --structure dense \
    --weights $tiny/gpt2s/weights.safetensors -o "$scratch/f"
ok "that says what is missing" grep -q ',unsupported,.*no tensor embeddings' "$scratch/f/models.csv"

sed 's/fused/fusd/' "$scratch/mixed.model" >"$scratch/bad.model"
new g
ok "use of an unknown variant" fails 2 "use c_fc monarch/fusd: there is no such variant on cpu" \
    model "$scratch/bad.model" --structure mixed -o "$scratch/g"

ok "no model" fails 2 "model needs a model" model -o "$scratch/x"
ok "no output" fails 2 "needs -o DIR" model gpt2s
ok "unknown model" fails 2 'unknown model "gpt2"' model gpt2 -o "$scratch/x"
ok "unknown structure" fails 2 "no structure 'lowrnk'" model gpt2s --structure lowrnk -o "$scratch/x"
ok "unknown variant" fails 2 "no variant 'fusd' on cpu" model gpt2s --variant fusd -o "$scratch/x"
ok "unknown phase" fails 2 "no phase 'prefil'" model gpt2s --phase prefil -o "$scratch/x"
ok "tokens of an image" fails 2 "tokens of vit_b16 come from the size" model vit_b16 --tokens 3 -o "$scratch/x"
ok "weights that are none" fails 2 "no safetensors file" model gpt2s --weights "$scratch/mixed.model" -o "$scratch/x"
ok "more tokens than positions" fails 2 "embedding: 2000 tokens are more" model gpt2s --tokens 2000 -o "$scratch/x"
plan
