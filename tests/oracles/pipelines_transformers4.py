"""What the pipelines of transformers 4.57.6 answer to random calls on tiny models, for tests that cannot have it beside them.

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install "transformers==4.57.6" torch==2.13.0
    PYTHONPATH=src:tests:tests/support .venv-transformers4/bin/python tests/oracles/pipelines_transformers4.py

This writes tests/data/pipelines_transformers4.json.xz: task -> the answers to `pipeline_cases.case(task, 0)`, `case(task, 1)`, ... An answer that
is an error is null.
"""

from __future__ import annotations

import json
import logging
import lzma
import tempfile
import warnings
from pathlib import Path
from typing import Any

import pipeline_cases
import torch
import transformers

DATA = Path(__file__).parents[1] / "data" / "pipelines_transformers4.json.xz"


def tokenizer() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vocab.txt"
        path.write_text("".join(f"{token}\n" for token in pipeline_cases.vocabulary()), encoding="utf-8")
        return transformers.BertTokenizerFast(str(path), model_max_length=pipeline_cases.LENGTH)


def model(name: str) -> Any:
    config = pipeline_cases.config(name).to_dict()
    made = getattr(transformers, "Bert" + pipeline_cases.MODELS[name][0])(transformers.BertConfig(**config)).eval()
    prefix = "bert." if type(made) is transformers.BertModel else ""
    weights = {key.removeprefix(prefix): torch.from_numpy(array) for key, array in pipeline_cases.weights(name).items()}
    missing, unexpected = made.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}, missing
    made.tie_weights()
    return made


def rounded(answer: Any) -> Any:
    """With seven digits, and NumPy's numbers as Python's."""
    if isinstance(answer, dict):
        return {key: rounded(value) for key, value in answer.items()}
    if isinstance(answer, (list, tuple)):
        return [rounded(value) for value in answer]
    if hasattr(answer, "item"):
        answer = answer.item()
    return float(f"{answer:.7g}") if isinstance(answer, float) else answer


def main() -> None:
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    words, models, answers = tokenizer(), {}, {}
    for task in pipeline_cases.TASKS:
        answers[task] = []
        for seed in range(pipeline_cases.COUNT):
            name, args, options = pipeline_cases.case(task, seed)
            if name not in models:
                models[name] = model(name)
            run = transformers.pipeline(task, model=models[name], tokenizer=words, framework="pt")
            try:
                answers[task].append(rounded(run(*args, **options)))
            except Exception as error:
                print(task, seed, type(error).__name__, error)
                answers[task].append(None)
    text = json.dumps(answers, separators=(",", ":"), ensure_ascii=False)
    DATA.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{DATA}: {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
