#!/bin/sh
# Pretrain the built-in model on a GPU, in at most 8 minutes.
#
#     sh scripts/builtin.sh BUILTIN part 60000000        before, on the machine that has BUILTIN: writes BUILTIN/part
#     sh benchmarks/gpu_pretrain.sh BUILTIN/part OUT
#
# The inputs are shards/ and held-out/ of BUILTIN/part, which fit in 64 MiB with the repository. The shards have their tokenizer. The
# machine needs Python with PyTorch and the other dependencies of bertkit, and no network: bertkit is installed from this repository,
# or where its build tool hatchling is missing, imported from it.
#
# OUT gets six files below 16 MiB: the weights in bf16 (model.safetensors, config.json), the log (log.txt), the curves (report.html,
# metrics.jsonl), and run.json. Variables: TIME_BUDGET, for another time than 6 minutes; START=DIR, a model to train further; OPTIONS,
# further options of bertkit pretrain; PRECISION, for another one than bf16; PYTHON.
set -eu

inputs=${1:?type the folder of the inputs: sh benchmarks/gpu_pretrain.sh INPUTS OUT}
out=${2:?type the folder to write to: sh benchmarks/gpu_pretrain.sh INPUTS OUT}
repository=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

if ! "$python" -m pip install --quiet --no-deps --no-index --no-build-isolation "$repository" 2> "$work/pip.txt"; then
    echo "bertkit is not installed, but imported from $repository/src: $(tail -n 1 "$work/pip.txt")"
    export PYTHONPATH="$repository/src"
fi
export PYTHONUNBUFFERED=1

if [ -n "${START:-}" ]; then
    set -- --model "$START"
else
    set -- --config "$repository/recipes/builtin.json"
fi
# shellcheck disable=SC2086  # OPTIONS are several words
"$python" -m bertkit pretrain --data "$inputs/shards" --eval "$inputs/held-out" --out "$work/model" "$@" \
    --precision "${PRECISION:-bf16}" --time-budget "${TIME_BUDGET:-6min}" --batch-size 512 --batch-tokens 65536 --lr 1e-3 \
    --warmup 0.02 --save-steps 2000 ${OPTIONS:-} > "$out/log.txt" 2>&1 || { tail -n 40 "$out/log.txt"; exit 1; }
cp "$work/model/metrics.jsonl" "$work/model/report.html" "$work/model/run.json" "$out"
"$python" -m bertkit convert "$work/model" "$work/bf16" --dtype bfloat16
cp "$work/bf16/model.safetensors" "$work/bf16/config.json" "$out"
for text in "Plants create [MASK] through a process known as photosynthesis." "The capital of France is [MASK]."; do
    "$python" -m bertkit fill-mask "$text" --model "$work/model"
done
tail -n 20 "$out/log.txt"
ls -l "$out"
