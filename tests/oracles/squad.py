"""What the official scripts of SQuAD 1.1 and 2.0 say of random answers.

The first is a file that nobody packages: save https://raw.githubusercontent.com/huggingface/evaluate/main/metrics/squad/compute_score.py
beside you. The second is a part of transformers until 4.57.6, which has an environment of its own:

    python3.11 -m venv .venv-transformers4
    .venv-transformers4/bin/pip install transformers==4.57.6
    PYTHONPATH=tests:tests/support .venv-transformers4/bin/python tests/oracles/squad.py compute_score.py

It writes tests/data/squad.json.xz: the scores of each case of `squad_cases`, for tests/unit/metrics/test_squad.py.
"""

from __future__ import annotations

import importlib.util
import json
import lzma
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import squad_cases
from transformers.data.metrics.squad_metrics import squad_evaluate

DATA = Path(__file__).parents[1] / "data" / "squad.json.xz"


def module(path: str) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location("squad1", path)
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def squad1(script: ModuleType, case: squad_cases.Case) -> dict[str, float]:
    """Its `compute_score`, which takes a data set as it lies in the file."""
    questions = [
        {"id": str(row), "answers": [{"text": text} for text in answers]} for row, answers in enumerate(case.answered)
    ]
    predictions = {str(row): text for row, text in enumerate(case.predictions)}
    return dict(script.compute_score([{"paragraphs": [{"qas": questions}]}], predictions))


def squad2(case: squad_cases.Case) -> dict[str, float]:
    """The same rules in transformers."""
    examples = [
        SimpleNamespace(qas_id=row, answers=[{"text": text} for text in answers])
        for row, answers in enumerate(case.references)
    ]
    return dict(
        squad_evaluate(examples, dict(enumerate(case.predictions)), dict(enumerate(case.no_answer)), case.threshold)
    )


def main(path: str) -> None:
    script = module(path)
    cases = [squad_cases.case(seed) for seed in range(squad_cases.CASES)]
    answers = [{"squad": squad1(script, case), "squad2": squad2(case)} for case in cases]
    DATA.write_bytes(lzma.compress(json.dumps(answers).encode(), preset=9))


if __name__ == "__main__":
    main(sys.argv[1])
