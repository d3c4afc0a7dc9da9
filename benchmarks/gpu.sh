#!/bin/sh
# Check and measure bertkit on a GPU, in at most 8 minutes.
#
#     sh benchmarks/gpu.sh OUT
#
# It runs the tests of the GPU, the table of attention (12 batches of BERT's page in the documentation of transformers, in float16),
# and the speed of inference. The machine needs Python with PyTorch for its GPU, transformers, pytest and the other dependencies of
# bertkit, and no network: bertkit is imported from this repository. OUT gets the tables, JSON and pictures. Variables: PYTHON; SECONDS_EACH,
# the least time for each row of a table.
set -u

out=${1:?type the folder to write to: sh benchmarks/gpu.sh OUT}
repository=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python3}
mkdir -p "$out"
export PYTHONPATH="$repository/src" PYTHONUNBUFFERED=1
cd "$repository" || exit 1

failed=0
step() { # NAME SECONDS COMMAND...: a step that fails or takes too long does not stop the others
    name=$1 limit=$2
    shift 2
    echo "== $name"
    timeout "$limit" "$@" > "$out/$name.txt" 2>&1 || { echo "$name failed: see $out/$name.txt"; failed=1; }
    tail -n 40 "$out/$name.txt"
}

each=${SECONDS_EACH:-2}
step tests 120 "$python" -m pytest -q -m gpu tests/unit/engines
step attention 170 "$python" benchmarks/attention.py --device cuda --dtype float16 --only table --seconds "$each" --rounds 2 \
    --json "$out/attention.json" --png "$out/attention.png"
step inference 170 "$python" benchmarks/inference.py --device cuda --layers 12 --seconds "$each" --rounds 2 \
    --json "$out/inference.json" --png "$out/inference.png"
exit $failed
