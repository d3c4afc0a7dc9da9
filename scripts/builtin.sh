#!/bin/sh
# Prepare the training of the built-in model: Wikipedia's articles -> a vocabulary of 8,000 pieces, and shards of tokens.
#
#     BERTKIT_DATA=FOLDER sh scripts/builtin.sh OUT
#
# FOLDER/wikipedia has en-0.txt.xz to en-3.txt.xz: one paragraph a line, an empty line between articles. The last 100 articles are
# held out: they are neither in the vocabulary's texts nor in OUT/shards, and become OUT/held-out. A script that was interrupted
# continues where it stopped. After `bertkit pretrain`, scripts/make_builtin.py puts the model into the package.
#
# The vocabulary has 200 characters, which are 99.99 % of the texts: with the default of 1000, the rare ones and their ##
# forms would take a quarter of its places.
set -eu

out=${1:?type the folder to write to: sh scripts/builtin.sh OUT}
texts=${BERTKIT_DATA:?set it to the folder that has wikipedia/}/wikipedia
held_out=100
mkdir -p "$out"

if [ ! -e "$out/held-out.txt" ]; then
    articles=$(xz -dc "$texts/en-3.txt.xz" | awk -v RS= 'END { print NR }')
    xz -dc "$texts/en-3.txt.xz" | awk -v RS= -v ORS='\n\n' -v last=$((articles - held_out)) 'NR <= last' > "$out/en-3.txt"
    xz -dc "$texts/en-3.txt.xz" | awk -v RS= -v ORS='\n\n' -v last=$((articles - held_out)) 'NR > last' > "$out/held-out.part"
    mv "$out/held-out.part" "$out/held-out.txt"
fi
set -- "$texts/en-0.txt.xz" "$texts/en-1.txt.xz" "$texts/en-2.txt.xz" "$out/en-3.txt"

[ -e "$out/tokenizer/vocab.txt" ] || bertkit train-tokenizer "$@" --vocab-size 8000 --limit-alphabet 200 --out "$out/tokenizer"
[ -e "$out/shards/index.json" ] || bertkit prepare "$@" --tokenizer "$out/tokenizer" --out "$out/shards"
[ -e "$out/held-out/index.json" ] || bertkit prepare "$out/held-out.txt" --tokenizer "$out/tokenizer" --out "$out/held-out"
