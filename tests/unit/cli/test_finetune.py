"""`bertkit finetune` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pipeline_models
import pytest

from bertkit.cli import main
from bertkit.cli.finetune import words_of_environment


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a training and an evaluation file."""
    rows = [{"sentence": f"the {word}", "gold": label} for word, label in (("end", "bad"), ("one", "good")) * 4]
    for name in ("train", "dev"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return tmp_path


def run(files: Path, *words: str) -> int:
    model = str(pipeline_models.folder("masked"))
    given = ["--task", "text-classification", "--model", model, "--train", str(files / "train.jsonl")]
    return main(
        ["finetune", *given, "--eval", str(files / "dev.jsonl"), "--columns", "text=sentence,label=gold", *words]
    )


def settings(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "run.json").read_text("utf-8"))["settings"]
    return found


def test_options_of_other_tools(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names of transformers' scripts and of Google's BERT."""
    out = files / "out"
    words = ["--output_dir", str(out), "--num_train_epochs", "1", "--learning_rate", "3e-4", "--train_batch_size=4"]
    assert run(files, *words, "--max_seq_length", "16", "--warmup_proportion", "0.2", "--seed", "3", "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert {"accuracy", "f1"} <= scores.keys()
    found = settings(out)
    expected = {"epochs": 1.0, "lr": 3e-4, "batch_size": 4, "max_length": 16, "warmup": 0.2, "seed": 3}
    assert {name: found[name] for name in expected} == expected


def test_a_command_of_googles_bert(tmp_path: Path) -> None:
    """The flags of run_classifier.py, in its order, with a folder of GLUE's files."""
    rows = ["sentence\tlabel", *["the end\t0", "another one\t1"] * 4]
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text("\n".join(rows) + "\n", "utf-8")
    model = pipeline_models.folder("masked")
    words = ["--task_name=SST-2", "--do_train=true", "--do_eval=true", f"--data_dir={tmp_path}"]
    words += [f"--vocab_file={model / 'vocab.txt'}", f"--bert_config_file={model / 'config.json'}"]
    words += [f"--init_checkpoint={model}", "--max_seq_length=16", "--train_batch_size=4", "--learning_rate=2e-5"]
    words += ["--num_train_epochs=1.0", "--do_lower_case=true", f"--output_dir={tmp_path / 'out'}"]
    assert main(["finetune", *words]) == 0
    found = settings(tmp_path / "out")
    assert (found["max_length"], found["lr"], found["epochs"], found["do_lower_case"]) == (16, 2e-5, 1.0, True)


def test_switches_with_values(files: Path) -> None:
    out = ["--out", str(files / "out"), "--epochs", "1", "--repair=False", "--tune-thresholds=false"]
    assert run(files, *out, "--gradient_checkpointing=True") == 0
    found = settings(files / "out")
    assert (found["repair"], found["tune_thresholds"], found["gradient_checkpointing"]) == (False, False, True)


def test_typed_options_have_precedence_over_a_recipe(files: Path) -> None:
    """Also those with the value of their default."""
    recipe = files / "own.toml"
    recipe.write_text("epochs = 1.0\nlr = 1e-3\nbatch_size = 2\n", "utf-8")
    assert run(files, "--out", str(files / "out"), "--recipe", str(recipe), "--batch-size", "32") == 0
    found = settings(files / "out")
    assert (found["epochs"], found["lr"], found["batch_size"]) == (1.0, 1e-3, 32)


def test_an_earlier_run(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--out", str(files / "out"), "--epochs", "1"]
    assert run(files, *words) == 0
    assert run(files, *words) == 2
    assert "has an earlier run: type --resume to continue it, --overwrite to replace it" in capsys.readouterr().err
    assert run(files, *words, "--resume") == 0


def test_missing_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["finetune", "--task", "ner"]) == 2
    assert "bertkit: finetune needs model: type --model ..." in capsys.readouterr().err


def test_a_file_as_output(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(files, "--out", str(files / "train.jsonl")) == 2
    assert "is a file: type another folder for --out" in capsys.readouterr().err


def test_sagemaker(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container of SageMaker training passes files, the output and options as environment variables."""
    for channel in ("train", "test"):
        (files / channel).mkdir()
        (files / f"{'train' if channel == 'train' else 'dev'}.jsonl").rename(files / channel / "rows.jsonl")
    options = {"task": "text-classification", "epochs": 1, "learning_rate": "0.001", "tune_thresholds": False}
    options |= {"model": str(pipeline_models.folder("masked")), "columns": "text=sentence,label=gold"}
    variables = {
        "SM_CHANNEL_TRAIN": str(files / "train"),
        "SM_CHANNEL_TEST": str(files / "test"),
        "SM_MODEL_DIR": str(files / "model"),
        "SM_HPS": json.dumps(options),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["finetune", "--batch-size", "4"]) == 0
    found = settings(files / "model")
    assert (found["lr"], found["epochs"], found["batch_size"]) == (0.001, 1.0, 4)
    assert found["tune_thresholds"] is False
    assert found["train"] == str(files / "train" / "rows.jsonl")


def test_damaged_variables() -> None:
    with pytest.raises(ValueError, match="The environment variable SM_HPS is not JSON"):
        words_of_environment({"SM_HPS": "{epochs: 3}"})
