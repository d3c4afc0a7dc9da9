"""Two examples of each command, for its help."""

EXAMPLES: dict[str, tuple[str, str]] = {
    "fill-mask": (
        '"Paris is the [MASK] of France."',
        "--input masked.txt --output words.csv --top-k 1 --model DIR",
    ),
    "classify": (
        '"What a film!" --top-k 2 --model DIR',
        "--input texts.csv --column text --keep id --output labels.csv --model DIR",
    ),
    "ner": (
        '"Anna moved from Lima to Paris." --model DIR',
        "--input texts.jsonl --on-long window --output names.parquet --model DIR",
    ),
    "qa": (
        '--question "Who moved?" --context "Anna moved to Paris." --model DIR',
        '--question "Who moved?" --input texts.txt --output answers.jsonl --model DIR',
    ),
    "embed": (
        '"Leaves turn light into sugar."',
        "--input texts.txt --output vectors.npy --output-dtype float16 --model DIR",
    ),
    "similarity": (
        '"How do plants eat?" "They make sugar." "It rains."',
        '"How do plants eat?" --input texts.txt --output near.csv --model DIR',
    ),
    "nsp": (
        '"She opened the door." "Nobody was there."',
        "--input pairs.tsv --output order.csv --model DIR",
    ),
    "choose": (
        '"It rains, so she takes" "her umbrella." "a swim." --model DIR',
        "--input choices.jsonl --top-k 1 --model DIR",
    ),
    "zero-shot": (
        '"The soup was cold." --labels food,law --model DIR',
        '--input texts.txt --labels food,law --template "About {}." --model DIR',
    ),
    "score": (
        '"The cat sat on the mat."',
        "--input texts.txt --output scores.csv --whole-words --model DIR",
    ),
    "generate": (
        '"The cat sat on" --max-new-tokens 20 --seed 1 --model DIR',
        "--input texts.txt --output longer.jsonl --top-p 0.9 --model DIR",
    ),
    "summarize": (
        "texts.txt --max-new-tokens 30 --model DIR",
        "--input texts.csv --column text --output summaries.csv --num-beams 2 --model DIR",
    ),
    "run": (
        "--task fill-mask --input masked.txt --option top_k=3 --model DIR",
        "--task embed --input texts.csv --keep id --output v.jsonl --model DIR",
    ),
    "predict": (
        "--task text-classification --input texts.txt --model DIR",
        "--task text-classification --input texts.csv --column text --output labels.csv --model DIR",
    ),
    "finetune": (
        "--task text-classification --model DIR --train train.tsv --eval dev.tsv --out my-model",
        "--task text-classification --model DIR --train train.tsv --eval dev.tsv --out best --epochs 2 --seeds 2",
    ),
    "bench": (
        "--model DIR --data texts.txt --setting torch:fp32 --setting numpy:fp32 --seconds 1",
        "--model DIR --data texts.csv --column text --setting torch:fp32 --seconds 1 --out figures",
    ),
    "evaluate": (
        "--data dev.tsv --model DIR",
        "--data dev.jsonl --columns text=body,label=gold --predictions p.jsonl --model DIR",
    ),
    "prepare": (
        "texts.txt --tokenizer DIR --out shards",
        "texts.jsonl texts.txt --tokenizer DIR --out more-shards --processes 1",
    ),
    "pretrain": (
        "--config tiny --data my-shards --out my-bert --epochs 2 --eval-share 0.5",
        "--model DIR --data my-shards --out better --epochs 2 --max-length 32 --eval-share 0.5",
    ),
    "inspect": ("DIR", "DIR --json"),
    "convert": ("DIR converted", "DIR halved --dtype float16 --overwrite"),
    "export": (
        "--format onnx --model DIR --out my-onnx",
        "--precision int8 --data texts.txt --model DIR --out my-int8",
    ),
    "serve": (
        "--model DIR --port 8080",
        "--model films=DIR --model names=DIR --host 0.0.0.0 --workers 2 --max-concurrent-requests 64",
    ),
    "package": (
        "my-image --target docker --model DIR",
        "my-function --target lambda --engine torch --model DIR --name films",
    ),
    "tokenize": (
        '"Unaffable plants!"',
        '"A text" --pair "and another" --format json --model DIR',
    ),
    "explain tokens": (
        '"Unaffable plants!"',
        '"A text" --pair "and another" --html tokens.html --model DIR',
    ),
    "explain mask": (
        '"The soup was cold." "Anna moved."',
        '"The soup was cold." "Anna moved." --packed --causal --html mask.html --model DIR',
    ),
    "explain attention": (
        '"The soup was cold."',
        '"The soup was cold." --layer 0 --head 1 --html attention.html --model DIR',
    ),
    "explain attribution": (
        '"What a film!" --model DIR',
        '"What a film!" --target GOOD --method attention-gradient --png attribution.png --model DIR',
    ),
    "explain embeddings": (
        '"The soup was cold." "Bread and cakes."',
        "soup train river --words --neighbours 2 --html words.html --model DIR",
    ),
    "explain training": ("my-model", "my-model --html run.html --png run.png"),
    "train-tokenizer": (
        "texts.txt --out vocabulary --vocab-size 300",
        "texts.jsonl --out cased --cased --vocab-size 300 --min-frequency 1",
    ),
    "add-words": (
        "--words words.txt --model DIR --out with-words",
        "texts.txt --count 2 --min-frequency 1 --model DIR --out with-more-words",
    ),
    "doctor": ("--seconds 0", "--seconds 0 --json --model DIR"),
    "completion": ("bash > bertkit.sh", "fish > bertkit.fish"),
}
"""Command -> the arguments of its two examples."""
