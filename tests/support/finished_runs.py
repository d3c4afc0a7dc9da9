"""Folders like those of finished fine-tuning runs, for each kind of task, without any training."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

HOSTILE = "</script><script>alert(1)</script><img src=http://evil.example/x.png onerror=alert(2)> $x_1$ \"'& --> ]]>"
EMOTIONS = sorted({
    *("admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion", "curiosity", "desire", "neutral"),
    *("disappointment", "disapproval", "disgust", "embarrassment", "excitement", "fear", "gratitude", "grief", "joy", "love"),
    *("nervousness", "optimism", "pride", "realization", "relief", "remorse", "sadness", "surprise"),
})  # fmt: skip
WORDS = (
    *(
        "the",
        "film",
        "was",
        "a",
        "long",
        "and",
        "quiet",
        "story",
        "about",
        "people",
        "who",
        "wait",
        "for",
        "rain",
        "in",
    ),
    *("small", "town", "while", "it", "last", "fell", "although", "every", "second", "of", "is", "worth", "ticket"),
)


def write(folder: Path, kind: str, **changes: Any) -> Path:
    """Write the files of a run, and return the folder. `changes` replace entries of run.json."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    facts, predictions = KINDS[kind](draws)
    facts = _facts(draws, facts) | changes
    (folder / "run.json").write_text(json.dumps(facts, indent=1), "utf-8")
    write_lines(folder / "metrics.jsonl", _metrics(draws, facts["scores"]))
    write_lines(folder / "predictions.jsonl", predictions)
    return folder


def write_lines(path: Path, lines: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def _facts(draws: np.random.Generator, own: Mapping[str, Any]) -> dict[str, Any]:
    edges = [0, 8, 16, 32, 64, 128, 256, 512]
    files = {
        name: {
            "name": f"{name}.tsv",
            "examples": size,
            "skipped": 3 if name == "train" else 0,
            "tokens": size * 27,
            "lengths": draws.multinomial(size, [0.05, 0.2, 0.35, 0.2, 0.13, 0.05, 0.02, 0]).tolist(),
            "edges": edges,
        }
        for name, size in (("train", 6920), ("eval", 400))
    }
    settings = {
        "epochs": 3,
        "lr": 5e-05,
        "batch_size": 32,
        "max_length": 128,
        "seed": 1,
        "warmup": 0.1,
        "weight_decay": 0.01,
        "schedule": "linear",
        "class_weights": None,
        "freeze": ["embeddings"],
    }
    metric, value = next(iter(own["scores"].items()))
    common = {
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "command": "bertkit finetune --task text-classification --model sentence-transformers/all-MiniLM-L6-v2 --train "
        "train.tsv --eval dev.tsv --out sst2 --epochs 3 --lr 5e-05 --batch-size 32 --seed 1",
        "settings": settings,
        "data": files,
        "labels": [],
        "problem_type": None,
        "versions": {"bertkit": "0.1.0", "torch": "2.13.0", "python": "3.11.2"},
        "processor": "AMD EPYC, 2 cores",
        "seconds": 734.2,
        "best": {"step": 434, "metric": metric, "value": value},
        "intervals": {name: [value * 0.97, min(value * 1.02, max(value, 1))] for name, value in own["scores"].items()},
        "thresholds": {},
    }
    return common | dict(own)


def _metrics(draws: np.random.Generator, scores: Mapping[str, float]) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    for step in range(10, 651, 10):
        lines.append(
            {
                "event": "step",
                "step": step,
                "epoch": step / 217,
                "loss": 0.25 + 0.5 * np.exp(-step / 120) + 0.06 * draws.standard_normal(),
                "learning_rate": 5e-05 * min(step / 65, (651 - step) / 586),
                "grad_norm": 1 + draws.random(),
                "tokens_per_second": 5000 + 200 * draws.random(),
                "seconds": step * 1.1,
            }
        )
        if step % 210 == 0:
            share = 1 - 0.3 * np.exp(-step / 200)
            evaluated = {name: value * share for name, value in scores.items()}
            lines.append(
                {
                    "event": "eval",
                    "step": step,
                    "epoch": step / 217,
                    "loss": 0.4 + 0.2 * np.exp(-step / 200),
                    **evaluated,
                }
            )
    return lines


def _sentence(draws: np.random.Generator, least: int = 5, most: int = 30) -> str:
    return " ".join(draws.choice(WORDS, draws.integers(least, most)))


def _where(number: int) -> str:
    return f"line {number + 2} of dev.tsv"


def _classes(draws: np.random.Generator, labels: list[str], share: float) -> list[dict[str, Any]]:
    lines = []
    for number in range(400):
        truth = labels[min(int(draws.exponential(len(labels) / 3)), len(labels) - 1)]
        is_right = draws.random() < share
        answer = truth if is_right else str(draws.choice(labels))
        score = float(np.clip(draws.beta(9, 2) if answer == truth else draws.beta(5, 3), 1 / len(labels), 1))
        others = {name: (1 - score) / (len(labels) - 1) for name in labels}
        lines.append(
            {
                "input": _sentence(draws),
                "truth": truth,
                "answer": answer,
                "score": score,
                "scores": others | {answer: score},
                "correct": answer == truth,
                "where": _where(number),
            }
        )
    wrong = [line for line in lines if not line["correct"]]
    wrong[0] |= {"input": HOSTILE, "score": 0.9999}
    wrong[1] |= {"input": "שלום עולם, הסרט היה נפלא 🎬", "score": 0.9998}
    wrong[2] |= {
        "input": {"text": _sentence(draws, 120, 140), "text_pair": "nothing\x00 like\ud800 it"},
        "score": 0.9997,
    }
    return lines


def _two(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    scores = {"accuracy": 0.9025, "f1": 0.9051, "precision": 0.8911, "recall": 0.9195, "matthews_correlation": 0.8052}
    facts = {"task": "text-classification", "labels": ["negative", "positive"], "scores": scores}
    return facts | {"problem_type": "single_label_classification"}, _classes(draws, ["negative", "positive"], 0.8)


def _many(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    facts = {"task": "text-classification", "labels": EMOTIONS, "scores": {"f1": 0.4312, "accuracy": 0.5544}}
    return facts | {"problem_type": "single_label_classification"}, _classes(draws, EMOTIONS, 0.5)


def _hostile(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    labels = [HOSTILE, "😀 froh", "سعيد", "$\\frac{a}$", "a label whose name is much longer than any axis", ""]
    facts = {
        "task": HOSTILE,
        "model": HOSTILE,
        "labels": labels,
        "scores": {HOSTILE: 0.5, "accuracy": 0.6},
        "command": HOSTILE,
    }
    return facts | {"settings": {HOSTILE: HOSTILE}}, _classes(draws, labels, 0.7)


def _several(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = []
    for number in range(300):
        truth = sorted(map(str, draws.choice(EMOTIONS, draws.integers(0, 4), replace=False)))
        scores = {name: float(draws.beta(6, 2) if name in truth else draws.beta(1, 9)) for name in EMOTIONS}
        answer = [name for name, score in scores.items() if score > 0.5]
        line = {"input": _sentence(draws), "truth": truth, "answer": answer, "score": None, "scores": scores}
        lines.append(line | {"correct": set(truth) == set(answer), "where": _where(number)})
    facts = {"task": "text-classification", "labels": EMOTIONS, "scores": {"f1": 0.7712, "accuracy": 0.4433}}
    thresholds = {name: round(float(draws.uniform(0.2, 0.6)), 2) for name in EMOTIONS}
    return facts | {"problem_type": "multi_label_classification", "thresholds": {"thresholds": thresholds}}, lines


def _regression(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = []
    for number in range(400):
        truth = float(draws.integers(0, 26)) / 5
        answer = float(np.clip(truth + 0.6 * draws.standard_normal(), 0, 5.2))
        pair = {"text": _sentence(draws), "text_pair": _sentence(draws)}
        lines.append(
            {"input": pair, "truth": truth, "answer": answer, "score": None, "correct": None, "where": _where(number)}
        )
    facts = {
        "task": "text-classification",
        "scores": {"pearson": 0.8712, "spearmanr": 0.8688, "mse": 0.36, "mae": 0.47},
    }
    return facts | {"problem_type": "regression"}, lines


def _embedding(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    facts, lines = _regression(draws)
    lines = [line | {"truth": line["truth"] / 5, "answer": line["answer"] / 5} for line in lines]
    return facts | {
        "task": "sentence-embedding",
        "problem_type": None,
        "scores": {"spearmanr": 0.8688, "pearson": 0.87},
    }, lines


def _entities(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    types = ["person", "location", "corporation", "product", "creative-work", "group"]
    lines = []
    for number in range(200):
        words = _sentence(draws, 8, 25).split()
        truth = ["O"] * len(words)
        for start in range(1, len(words) - 2, 5):
            if draws.random() < 0.6:
                name = str(draws.choice(types))
                truth[start : start + 2] = [f"B-{name}", f"I-{name}"]
        answer = [tag if draws.random() < 0.9 else str(draws.choice(["O", "B-person", "I-group"])) for tag in truth]
        line = {"input": words, "truth": truth, "answer": answer, "score": None, "correct": truth == answer}
        lines.append(line | {"where": _where(number)})
    lines[0] |= {"input": [HOSTILE] * len(lines[0]["input"]), "answer": ["B-person"] * len(lines[0]["input"])}
    labels = ["O", *(f"{letter}-{name}" for letter in "BI" for name in types)]
    return {
        "task": "token-classification",
        "labels": labels,
        "scores": {"f1": 0.44, "precision": 0.5, "recall": 0.4},
    }, lines


def _speech(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    tags = ["NOUN", "VERB", "DET", "ADJ", "ADP", "PRON", "PUNCT"]
    lines = []
    for number in range(100):
        words = _sentence(draws, 8, 25).split()
        truth = [str(draws.choice(tags)) for _ in words]
        answer = [tag if draws.random() < 0.93 else str(draws.choice(tags)) for tag in truth]
        line = {
            "input": words,
            "truth": truth,
            "answer": answer,
            "score": None,
            "correct": None,
            "where": _where(number),
        }
        lines.append(line)
    return {"task": "token-classification", "labels": tags, "scores": {"accuracy": 0.93}}, lines


def _questions(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = []
    for number in range(200):
        context = _sentence(draws, 80, 200)
        words = context.split()
        start, size = int(draws.integers(0, len(words) - 12)), int(draws.choice([1, 2, 4, 8, 12]))
        found = " ".join(words[start : start + size])
        truth = [] if draws.random() < 0.3 else [found, f"the {found}"]
        answer = (found if truth else "") if draws.random() < 0.7 else " ".join(words[start + 1 : start + 3])
        line = {
            "input": {"question": f"{_sentence(draws, 4, 9)}?", "context": context},
            "truth": truth,
            "answer": answer,
        }
        correct = answer in truth or (not truth and not answer)
        lines.append(
            line | {"score": float(draws.beta(4, 2)), "correct": correct, "where": f"question {number} of dev.json"}
        )
    scores = {"f1": 71.2, "exact": 66.5, "HasAns_f1": 70.1, "NoAns_f1": 73.4}
    return {"task": "question-answering", "scores": scores, "thresholds": {"null_score_diff_threshold": -1.25}}, lines


def _choices(draws: np.random.Generator) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    lines = []
    for number in range(200):
        truth = int(draws.integers(0, 4))
        answer = truth if draws.random() < 0.6 else int(draws.integers(0, 4))
        example = {"text": _sentence(draws), "choices": [_sentence(draws) for _ in range(4)]}
        line = {"input": example, "truth": truth, "answer": answer, "score": float(0.25 + 0.75 * draws.beta(2, 2))}
        lines.append(line | {"correct": truth == answer, "where": _where(number)})
    return {"task": "multiple-choice", "scores": {"accuracy": 0.7}}, lines


KINDS: Mapping[str, Callable[[np.random.Generator], tuple[dict[str, Any], list[dict[str, Any]]]]] = {
    "two labels": _two,
    "many labels": _many,
    "hostile labels": _hostile,
    "several labels": _several,
    "regression": _regression,
    "sentence embedding": _embedding,
    "entities": _entities,
    "parts of speech": _speech,
    "questions": _questions,
    "choices": _choices,
}
