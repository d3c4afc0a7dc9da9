"""`Predictor`: batches of columns, in this process and on a local Ray."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipeline_cases import SENTENCES
from pipeline_models import folder

from bertkit import Predictor, pipeline
from bertkit.errors import UsageError

SCRIPT = Path(__file__).parents[1] / "support" / "ray_job.py"


def column(*values: Any) -> Any:
    return np.array(values, object)


def test_vectors_are_an_array() -> None:
    named: dict[str, Any] = {"engine": "numpy", "pooling": "mean"}
    embed = Predictor("feature-extraction", folder("plain"), columns="body", result="vector", **named)
    given = {"id": np.arange(48), "body": column(*SENTENCES)}
    found = embed(given)
    assert list(found) == ["id", "body", "vector"] and found["vector"].dtype == np.float32
    expected = pipeline("feature-extraction", folder("plain"), **named)(SENTENCES)
    np.testing.assert_array_equal(found["vector"], np.array(expected, np.float32))


def test_fields_of_examples_and_errors() -> None:
    answer = Predictor("question-answering", folder("answers"), columns=["question", "context"], engine="numpy")
    found = answer({"question": column("Who sings?"), "context": column("Anna sings.")})
    expected = answer.pipe(question="Who sings?", context="Anna sings.")
    assert found["result"].tolist() == [expected]
    embed = Predictor("feature-extraction", folder("plain"), engine="numpy", pooling="mean", errors="return")
    found = embed({"text": column("a", 5)})
    assert found["error"][0] is None and "not 5 (int)" in found["error"][1]
    assert np.isfinite(found["result"][0]).all() and np.isnan(found["result"][1]).all()
    with pytest.raises(UsageError, match="Number 1 of the inputs: .*not 5"):
        Predictor("feature-extraction", folder("plain"), engine="numpy")({"text": column("a", 5)})


def test_columns_that_are_missing_or_taken() -> None:
    embed = Predictor("feature-extraction", folder("plain"), engine="numpy", pooling="mean", errors="return")
    with pytest.raises(
        UsageError, match="no column 'text', but 'texts'. Did you mean 'texts'.* Type columns=\"texts\""
    ):
        embed({"texts": column("a")})
    for name in ("result", "error"):
        with pytest.raises(UsageError, match=f"has a column '{name}' already: rename it"):
            embed({"text": column("a"), name: column(1)})


def test_batches_of_one_dataset_have_vectors_of_one_width() -> None:
    named: dict[str, Any] = {"engine": "numpy", "pooling": "mean", "errors": "return"}
    embed = Predictor("feature-extraction", folder("plain"), **named)
    width = embed.pipe.config.hidden_size
    assert Predictor("feature-extraction", folder("plain"), **named)({"text": column(5, 6)})["result"].shape == (
        2,
        width,
    )
    assert Predictor("feature-extraction", folder("plain"), **named)({"text": column()})["result"].shape == (0, width)
    assert embed({"text": ["a", "b c"]})["result"].shape == (2, width)


def test_arguments_that_lose_answers() -> None:
    for options, message in (
        ({"result": "error", "errors": "return"}, 'result="error" is the name of the column of errors'),
        ({"columns": []}, r"columns=\[\] must name at least one column"),
        ({"errors": "ignore"}, "errors"),
    ):
        with pytest.raises(UsageError, match=message):
            Predictor("feature-extraction", folder("plain"), engine="numpy", **options)


def test_two_workers_of_ray_write_the_bytes_of_one(tmp_path: Path) -> None:
    if importlib.util.find_spec("ray") is None and not os.environ.get("CI"):
        pytest.skip("ray is not installed: pip install 'bertkit[ray]'")
    shutil.copytree(folder("plain"), tmp_path / "model")
    shutil.copytree(folder("masked"), tmp_path / "model" / "masked")
    texts = [" ".join(SENTENCES[n % 48].split()[: 1 + n % 5]) for n in range(400)]
    words = [sys.executable, str(SCRIPT), str(tmp_path / "model"), "2", json.dumps(texts)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(SCRIPT.parent)]), "HOME": str(tmp_path)}
    run = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr[-3000:]
    one, two, answers = map(json.loads, run.stdout.splitlines()[-3:])
    assert [bits for bits, _ in one] == [bits for bits, _ in two] and len(one) == 400
    assert len({process for _, process in one}) == 1 and len({process for _, process in two}) == 2
    expected = pipeline("fill-mask", folder("masked"), engine="numpy", top_k=2)("a [MASK]")
    assert [one["token_str"] for one in answers[0]["result"]] == [one["token_str"] for one in expected]
    assert answers[1]["result"] is None and "[MASK]" in answers[1]["error"] and answers[0]["error"] is None
