#!/bin/sh
# Make the built-in model: Wikipedia's articles -> a vocabulary and shards of tokens -> a model -> its scores.
#
#     BERTKIT_DATA=FOLDER sh scripts/builtin.sh OUT prepare
#     TEACHER=DIR sh scripts/builtin.sh OUT train                  further options are those of bertkit pretrain
#     BERTKIT_DATA=FOLDER sh scripts/builtin.sh OUT score          further options are those of bertkit finetune
#     sh scripts/builtin.sh OUT part 60000000                      the inputs of benchmarks/gpu_pretrain.sh, in bytes
#
# The same command continues a step that was interrupted. After `train`, scripts/make_builtin.py puts the model into the package.
#
# prepare: FOLDER/wikipedia has en-0.txt.xz to en-3.txt.xz, with one paragraph in each line and an empty line between articles. The
# last 100 articles are held out: they are neither in the texts of the vocabulary nor in OUT/shards, and become OUT/held-out. The
# vocabulary has 8,000 pieces and 200 characters, which are 99.99 % of the texts: with the default of 1000, the rare ones and their
# ## forms would take a quarter of its places. OUT/taught has the first 1,600 articles alone, as a teacher needs to read its texts.
#
# train: 4 layers of 256 (recipes/builtin.json) from new weights, without dropout, in six runs. OUT/run-1, OUT/run-4 and OUT/model
# read all articles, OUT/run-2, OUT/run-3 and OUT/run-5 OUT/taught. TEACHER is a sentence encoder, whose vectors of the first 1,000
# articles become a part of the loss of these three. They are kept in OUT/vectors.
#
# score: writes OUT/english, the folder that is to be in the package, and fine-tunes it by the recipes sst2, mrpc and stsb. Beside it
# the same architecture from random weights (OUT/random). Both tables are printed. FOLDER has glue/.
set -eu

usage='sh scripts/builtin.sh OUT prepare|train|score|part'
out=${1:?type the folder to write to: $usage}
step=${2:?type a step: $usage}
shift 2
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-python}
mkdir -p "$out"

prepare() {
    texts=${BERTKIT_DATA:?set it to the folder that has wikipedia/}/wikipedia
    if [ ! -e "$out/held-out.txt" ]; then
        articles=$(xz -dc "$texts/en-3.txt.xz" | awk -v RS= 'END { print NR }')
        last=$((articles - 100))
        xz -dc "$texts/en-3.txt.xz" | awk -v RS= -v ORS='\n\n' -v last=$last 'NR <= last' > "$out/en-3.txt"
        xz -dc "$texts/en-3.txt.xz" | awk -v RS= -v ORS='\n\n' -v last=$last 'NR > last' > "$out/held-out.part"
        mv "$out/held-out.part" "$out/held-out.txt"
    fi
    set -- "$texts/en-0.txt.xz" "$texts/en-1.txt.xz" "$texts/en-2.txt.xz" "$out/en-3.txt"
    [ -e "$out/tokenizer/vocab.txt" ] ||
        "$python" -m bertkit train-tokenizer "$@" --vocab-size 8000 --limit-alphabet 200 --out "$out/tokenizer"
    if [ ! -e "$out/shards/index.json" ]; then
        "$python" -m bertkit prepare "$@" --tokenizer "$out/tokenizer" --out "$out/shards"
    fi
    if [ ! -e "$out/taught/index.json" ]; then
        xz -dc "$1" | awk -v RS= -v ORS='\n\n' 'NR <= 1600' > "$out/articles.txt"
        "$python" -m bertkit prepare "$out/articles.txt" --tokenizer "$out/tokenizer" --out "$out/taught"
    fi
    [ -e "$out/held-out/index.json" ] ||
        "$python" -m bertkit prepare "$out/held-out.txt" --tokenizer "$out/tokenizer" --out "$out/held-out"
}

run() {  # the folder of a run, and its options
    folder=$1
    shift
    [ -e "$folder/run.json" ] || "$python" -m bertkit pretrain --eval "$out/held-out" --out "$folder" --resume \
        --batch-size 32 --beta2 0.98 --mask-share 0.2 --dropout 0 "$@"
}

train() {
    run "$out/run-1" --config "$here/recipes/builtin.json" --data "$out/shards" --max-length 128 \
        --lr 1.4e-3 --warmup 0.03 --max-steps 6000 "$@"
    taught() {
        run "$@" --data "$out/taught" --teacher-vectors "$out/vectors" --teacher-documents 1000 \
            --teacher "${TEACHER:?set it to the folder of a sentence encoder}"
    }
    taught "$out/run-2" --model "$out/run-1" --teacher-weight 3 --max-length 256 --short-length 128 --short-steps 0.85 \
        --lr 6e-4 --warmup 0.04 --max-steps 1500 "$@"
    taught "$out/run-3" --model "$out/run-2" --teacher-weight 1.5 --max-length 128 \
        --lr 7e-4 --warmup 0.03 --max-steps 1850 --seed 1 "$@"
    run "$out/run-4" --model "$out/run-3" --data "$out/shards" --max-length 128 \
        --lr 5e-4 --warmup 0.03 --max-steps 1000 --seed 2 "$@"
    taught "$out/run-5" --model "$out/run-4" --teacher-weight 3 --max-length 128 \
        --lr 9e-4 --warmup 0.03 --max-steps 2400 --seed 3 "$@"
    run "$out/model" --model "$out/run-5" --data "$out/shards" --max-length 128 \
        --lr 6e-4 --warmup 0.03 --max-steps 1200 --seed 4 "$@"
    for text in "Plants create [MASK] through a process known as photosynthesis." "The capital of France is [MASK]."; do
        "$python" -m bertkit fill-mask "$text" --model "$out/model"
    done
}

score() {
    "$python" "$here/scripts/make_builtin.py" "$out/model" --before "$out"/run-[1-5] --out "$out/english"
    [ -e "$out/random/vocab.txt" ] || "$python" "$here/scripts/random_model.py" "$out/english" "$out/random"
    for model in english random; do
        "$python" "$here/benchmarks/scores.py" "$out/scores-$model" sst2 mrpc stsb --model "$out/$model" --options "$@"
    done
    for model in english random; do
        echo "$model"
        "$python" "$here/benchmarks/scores.py" "$out/scores-$model" sst2 mrpc stsb --table
    done
}

part() {
    size=${1:?type the size in bytes, for example 60000000}
    held_out=$(cat "$out"/held-out/*.* "$out"/held-out/tokenizer/* | wc -c)
    rm -rf "$out/part.new"
    mkdir "$out/part.new"
    "$python" "$here/scripts/part_of_shards.py" "$out/shards" "$out/part.new/shards" --bytes $((size - held_out))
    cp -r "$out/held-out" "$out/part.new/held-out"
    rm -rf "$out/part"
    mv "$out/part.new" "$out/part"
}

case $step in
prepare | train | score | part) "$step" "$@" ;;
*)
    echo "There is no step $step: $usage" >&2
    exit 2
    ;;
esac
