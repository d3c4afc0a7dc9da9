"""`bertkit.bench` and `bertkit bench`: real processes, the figures of each setting, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pipeline_models
import pytest
from pipeline_cases import SENTENCES
from pipeline_models import folder

import bertkit
from bertkit.cli import main
from bertkit.errors import DataError, UsageError
from bertkit.measuring.agreement import Agreement
from bertkit.measuring.bench import Bench, Candidate, Figures
from bertkit.measuring.process import Process, RefusedError


def test_each_setting_is_measured_beside_float32(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(SENTENCES[:6]), encoding="utf-8")
    words = ["bench", "--model", str(folder("two")), "--data", str(texts), "--seconds", "0.01"]
    words += ["--setting", "numpy:fp32", "--setting", "numpy:int8", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    printed = capsys.readouterr()
    header, reference, row = printed.out.splitlines()
    assert header.split()[:2] == ["setting", "tokens/s"]
    assert reference.startswith("torch fp32")
    assert row.startswith("numpy fp32")
    assert "100.0%" in row
    assert "numpy int8 was not measured: " in printed.err
    assert "use --engine" in printed.err
    figures = json.loads((tmp_path / "out" / "bench.json").read_text())
    assert figures["task"] == "text-classification"
    assert figures["examples"] == 6
    assert [one["setting"] for one in figures["figures"]] == ["torch fp32", "numpy fp32"]
    own = figures["figures"][1]
    assert own["agreement"]["worst"] < 1e-5
    assert own["p95"] >= own["p50"] > 0
    assert own["peak_bytes"] > 10_000_000
    assert (tmp_path / "out" / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_in_python_the_vectors_of_a_model() -> None:
    found = bertkit.bench(
        folder("two"),
        iter(SENTENCES[:5]),
        task="feature-extraction",
        settings=["torch:fp32"],
        tokenizer=folder("two"),
        seconds=0.01,
    )
    assert found.examples == 5
    assert [str(one.setting) for one in found.figures] == ["torch fp32"]
    assert found.figures[0].agreement.cosine == pytest.approx(1)
    assert found.fastest is found.figures[0]


def figures(engine: str, faster: float, p50: float, same: float) -> Figures:
    return Figures(Candidate(engine, "fp32"), 1, faster, p50, p50, 1, 1, Agreement(same, 0, 0))


def test_a_setting_with_other_answers_is_not_recommended() -> None:
    found = Bench(
        "ner", 1000, [figures("torch", 1, 0.3, 1), figures("numpy", 0.5, 0.1, 0.995), figures("keras", 9, 0, 0.994)]
    )
    assert found.fastest.setting.engine == "torch"
    assert found.quickest.setting.engine == "numpy"


def test_what_is_invalid(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown setting 'trch:fp32'.*Did you mean 'torch'"):
        bertkit.bench(str(folder("two")), ["a"], settings=["trch:fp32"])
    with pytest.raises(UsageError, match=r"Unknown setting 'torch': .*, such as torch:bf16\.$"):
        bertkit.bench(str(folder("two")), ["a"], settings=["torch"])
    for seconds in (0, -1, float("inf"), float("nan")):
        with pytest.raises(UsageError, match="seconds=.* must be above 0, and at most 3,600"):
            bertkit.bench(str(folder("two")), ["a"], seconds=seconds)
    with pytest.raises(UsageError, match="no examples"):
        bertkit.bench(str(folder("two")), [])
    with pytest.raises(RefusedError, match="top_q"):
        bertkit.bench(str(folder("two")), ["a"], options={"top_q": 1})
    (tmp_path / "none.txt").touch()
    from bertkit.cli.bench import bench

    with pytest.raises(UsageError, match="--limit -1 must be at least 1"):
        bench(model="x", data="x", limit=-1)
    for out in ("none.txt", "none.txt/figures"):
        with pytest.raises(UsageError, match=rf"--out .*{out} leads to a file: type a folder"):
            bench(model="x", data="x", out=str(tmp_path / out))
    with pytest.raises(DataError, match="is empty"):
        bench(model=str(folder("two")), data=str(tmp_path / "none.txt"))


def test_an_exported_model_is_measured_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / "exported"
    bertkit.export(str(folder("two")), place, format="onnx", data=SENTENCES[:4])
    found = bertkit.bench(str(place), SENTENCES[:5], seconds=0.01)
    assert [str(one.setting) for one in found.figures] == ["onnx fp32"] and not found.refused
    assert (found.figures[0].faster, found.figures[0].agreement.same) == (1, 1)
    found = bertkit.bench(str(place), SENTENCES[:5], settings=["torch:fp32"], seconds=0.01)
    assert "exported for the engine onnx" in found.refused[Candidate("torch", "fp32")]


def test_answers_that_are_not_finite(tmp_path: Path) -> None:
    model = bertkit.BertModel.from_pretrained(folder("two"))
    model.encoder.layer[0].output.LayerNorm.bias.data[0] = float("nan")
    model.save_pretrained(tmp_path)
    pipeline_models.tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="torch fp32 gives answers that are not finite numbers: check the weights"):
        bertkit.bench(str(tmp_path), SENTENCES[:5], task="feature-extraction", settings=["torch:fp32"], seconds=0.01)


def test_the_end_of_the_reference_ends_the_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is raised, and not reported as the reason why a setting was not measured."""
    made: list[Process] = []

    class Recorded(Process):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            if len(made) == 2:
                os.kill(made[0]._process.pid, 9)

    monkeypatch.setattr("bertkit.measuring.bench.Process", Recorded)
    with pytest.raises(RefusedError, match="ended with code -9"):
        bertkit.bench(str(folder("two")), SENTENCES[:5], settings=["numpy:fp32"], seconds=0.01)


def test_a_process_that_ends_is_reported() -> None:
    process = Process()
    os.kill(process._process.pid, 9)
    with pytest.raises(RefusedError, match="ended with code -9"):
        process.ask("answers")
    process.close()
