"""ROUGE beside rouge-score, whose results `tests/oracles/rouge.py` records."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import rouge_cases

from bertkit.errors import MissingExtraError, UsageError
from bertkit.metrics import Rouge, rouge_of, rouge_scores

RECORDED = json.loads((Path(__file__).parents[2] / "data" / "rouge.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("stemming", [False, True])
def test_scores_are_those_of_rouge_score(stemming: bool) -> None:
    if stemming and importlib.util.find_spec("nltk") is None:
        pytest.skip("nltk is not installed")
    for (prediction, references), theirs in zip(rouge_cases.cases(), RECORDED, strict=True):
        found = rouge_of(prediction, references, stemming=stemming)
        for score, expected in zip(found.values(), theirs[stemming], strict=True):
            assert list(score) == pytest.approx(expected, abs=1e-8), (prediction, references)


def test_a_stream_has_the_means() -> None:
    pairs = list(rouge_cases.cases())
    whole = rouge_scores([one for one, _ in pairs], [many for _, many in pairs])
    stream = Rouge()
    for one, many in pairs:
        stream.update([one], [many])
    assert stream.compute() == pytest.approx(whole)
    assert whole["rouge1"] == pytest.approx(sum(one[0][0][2] for one in RECORDED) / len(RECORDED))
    assert Rouge().compute() == {"rouge1": 0, "rouge2": 0, "rougeL": 0, "rougeLsum": 0}
    with pytest.raises(UsageError, match="1 predictions for 2 references"):
        rouge_scores(["one"], ["one", "two"])


def test_stemming_without_nltk() -> None:
    if importlib.util.find_spec("nltk") is not None:
        pytest.skip("nltk is installed")
    with pytest.raises(MissingExtraError, match="pip install rouge-score"):
        rouge_of("cats", "cat", stemming=True)
