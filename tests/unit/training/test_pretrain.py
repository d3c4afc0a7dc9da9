"""`pretrain` on small shards, as a new user calls it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import time
from pathlib import Path
from typing import Any

import corpora
import pretraining_cases
import pytest
import torch
import transformers
from training_cases import killed_after_a_checkpoint

import bertkit
from bertkit.cli import main
from bertkit.data.shards import Shards
from bertkit.errors import UsageError
from bertkit.training.folder import check_folder
from bertkit.training.job import Job
from bertkit.training.pretrain import Pretrained, pretrain
from bertkit.training.pretraining.options import PretrainingSettings

CONFIG = pretraining_cases.SIZES | {"vocab_size": len(corpora.tokenizer()), "max_position_embeddings": 64}
SMALL = {"max_steps": 6, "batch_size": 8, "max_length": 32, "log_steps": 1}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return pretraining_cases.shards(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("config") / "config.json"
    path.write_text(json.dumps({"model_type": "bert", **CONFIG}))
    return path


def run(config: Path | None, shards: Shards, out: Path, **options: Any) -> Pretrained:
    torch.set_num_threads(1)
    return pretrain(config, shards.folder, out, **SMALL | options)


def journal(folder: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text("utf-8").splitlines()]
    return [line for line in lines if line["event"] == event]


@pytest.fixture(scope="module")
def whole(config: Path, shards: Shards, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Pretrained]:
    """An uninterrupted run with evaluations."""
    folder = tmp_path_factory.mktemp("whole") / "model"
    return folder, run(config, shards, folder, eval_share=0.2, eval_examples=20, eval_steps=3)


def test_the_output_is_a_normal_model(whole: tuple[Path, Pretrained]) -> None:
    folder, found = whole
    model = transformers.BertForPreTraining.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ours = bertkit.BertForPreTraining.from_pretrained(folder)
    given = tokenizer("wak wbl [MASK] .", "wcm", return_tensors="pt")
    with torch.no_grad():
        expected, here = model(**given), ours(**given)
    torch.testing.assert_close(here.prediction_logits, expected.prediction_logits, atol=1e-5, rtol=0)
    torch.testing.assert_close(here.seq_relationship_logits, expected.seq_relationship_logits, atol=1e-5, rtol=0)
    assert found.pipeline()("wak [MASK] .")[0]["score"] > 0


def test_what_a_run_records(whole: tuple[Path, Pretrained]) -> None:
    folder, found = whole
    steps, evaluations = journal(folder, "step"), journal(folder, "eval")
    assert [line["step"] for line in steps] == list(range(1, 7))
    assert [line["step"] for line in evaluations] == [3, 6]
    assert {"mlm_loss", "nsp_loss", "flops_per_second", "flops_utilization", "tokens_per_second"} <= steps[0].keys()
    names = {"loss", "mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy", "pseudo_perplexity"}
    assert names == set(found.scores) <= evaluations[0].keys()
    (texts, _) = (line["texts"] for line in journal(folder, "samples"))
    assert len(texts) == 3 and all(" not " in text for text in texts)
    facts = json.loads((folder / "run.json").read_text("utf-8"))
    assert facts["steps"] == 6 and facts["tokens"] > 6 * 8 * 10
    assert facts["data"]["train"]["documents"] + facts["data"]["eval"]["documents"] == 30
    page, card = (folder / "report.html").read_text("utf-8"), (folder / "README.md").read_text("utf-8")
    assert "mlm_accuracy" in page and "Filled sentences" in page and "Fine-tuned" not in page
    assert "GFLOP/s" in page and "flops_per_second" not in page and "predictions.jsonl" not in page
    assert "mlm_accuracy" in card and "fine-tuned" not in card and "library_name: transformers" in card


def test_a_resumed_run_is_the_same(
    config: Path, shards: Shards, whole: tuple[Path, Pretrained], tmp_path: Path
) -> None:
    """Stopped after a checkpoint, and resumed: the same weights bit by bit, and the same records."""
    with killed_after_a_checkpoint():
        run(config, shards, tmp_path / "out", eval_share=0.2, eval_examples=20, eval_steps=3)
    run(config, shards, tmp_path / "out", eval_share=0.2, eval_examples=20, eval_steps=3, resume=True)
    folders = (tmp_path / "out", whole[0])
    first, second = ((folder / "model.safetensors").read_bytes() for folder in folders)
    assert first == second
    ours, theirs = (
        [
            {k: v for k, v in line.items() if "second" not in k and "utilization" not in k}
            for line in journal(folder, event)
        ]
        for folder in folders
        for event in ("eval",)
    )
    assert ours == theirs


def test_full_sentences_and_another_folder_for_evaluation(config: Path, shards: Shards, tmp_path: Path) -> None:
    other = corpora.shards(tmp_path, corpora.documents(5, seed=1))
    found = run(config, shards, tmp_path / "out", examples="sentences", masking="spans", eval=other.folder)
    assert set(found.scores) == {"loss", "mlm_loss", "mlm_accuracy", "pseudo_perplexity"}
    assert type(transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "out")).__name__ == "BertForMaskedLM"


def test_a_model_is_trained_further(whole: tuple[Path, Pretrained], shards: Shards, tmp_path: Path) -> None:
    found = run(None, shards, tmp_path / "out", model=str(whole[0]), max_steps=2, lr=1e-9)
    assert not found.scores
    before, after = (bertkit.BertForPreTraining.from_pretrained(folder) for folder in (whole[0], tmp_path / "out"))
    for name, value in after.state_dict().items():
        torch.testing.assert_close(value, before.state_dict()[name], atol=1e-6, rtol=0)


def test_a_run_ends_with_its_time(config: Path, shards: Shards, tmp_path: Path) -> None:
    """The learning rate falls with the time, and evaluations and checkpoints are within it."""
    options = {"time_budget": 6, "eval_share": 0.2, "short_length": 16, "short_steps": 0.5, "warmup": 0.1}
    run(config, shards, tmp_path / "out", **options | {"max_steps": None})
    steps = journal(tmp_path / "out", "step")
    assert steps[-1]["learning_rate"] < 0.1 * max(line["learning_rate"] for line in steps)
    assert 1 < steps[-1]["seconds"] < 9  # a slow machine may take long for a step
    assert len(journal(tmp_path / "out", "eval")) >= 2
    state = json.loads(next((tmp_path / "out").glob(f"checkpoint-{len(steps)}/trainer_state.json")).read_text())
    assert state["position"]["part"] == 1 and state["seconds"] > 1
    # Another process, to which the time counts too, has none left.
    run(config, shards, tmp_path / "out", **options | {"max_steps": None, "resume": True})
    assert len(journal(tmp_path / "out", "step")) == len(steps)
    # A larger budget continues the run that is complete.
    larger = state["seconds"] + state["reserve"] + 2
    run(config, shards, tmp_path / "out", **options | {"max_steps": None, "resume": True, "time_budget": larger})
    assert len(journal(tmp_path / "out", "step")) > len(steps)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "m"}, "needs either config or model, and received both: type config="),
        ({"config": None}, "needs either config or model, and received neither"),
        ({"config": "huge"}, "config='huge' is neither a size nor a file: type tiny, mini"),
        ({"max_length": 65}, "max_length=65 is above the 64 positions of the model: type max_length=64, or less"),
        ({"max_length": 4}, "max_length=4 is not at least 5"),
        (
            {"short_length": 32},
            "short_length=32 is not at least 5 and below max_length (32): type for example short_length=16",
        ),
        (
            {"short_length": 4},
            "short_length=4 is not at least 5 and below max_length (32): type for example short_length=16",
        ),
        ({"teacher": "t", "teacher_documents": 0}, "teacher_documents=0 is not at least 1"),
        ({"teacher": "t", "teacher_weight": float("inf")}, "teacher_weight=inf is not a number above 0"),
        ({"short_seq_prob": 1.5}, "short_seq_prob=1.5 is not from 0 to 1"),
        ({"short_seq_prob": 0.5, "examples": "sentences"}, "short_seq_prob=0.5 is for pairs: type examples="),
        ({"short_steps": 0.5}, "short_steps=0.5 has no effect without short_length"),
        ({"time_budget": "1h30"}, "time_budget='1h30' is not a duration: type for example time_budget=\"3h\""),
        ({"time_budget": "soon"}, "time_budget='soon' is not a duration: type for example time_budget=\"3h\""),
        (
            {"time_budget": "1h", "warmup": 100.0},
            "warmup=100.0 is a number of steps, which a run with a time budget does not know",
        ),
        ({"eval_share": 0.001}, "leaves fewer than 2 for training or for evaluation"),
        ({"eval_steps": 2}, "eval_steps=2 needs held-out documents: type eval_share=0.01, or eval="),
        ({"eval_share": 0.5, "eval": "x"}, "eval_share=0.5 has no effect with eval"),
        ({"learning_rate": 1.0}, "pretrain has no option 'learning_rate'"),
        ({"masking": "letters"}, "masking='letters' is invalid: it must be 'words' or 'tokens' or 'spans'"),
    ],
)
def test_invalid_options(options: dict[str, Any], message: str, config: Path, shards: Shards, tmp_path: Path) -> None:
    given = {"config": str(config), "data": str(shards.folder), "out": str(tmp_path / "out"), **SMALL, **options}
    with pytest.raises(UsageError) as caught:
        pretrain(**given)
    assert message in str(caught.value)
    assert not (tmp_path / "out" / "config.json").exists()


def test_the_command(config: Path, shards: Shards, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", str(config), "--data", str(shards.folder), "--out", str(tmp_path / "out"), "--json"]
    assert main(["pretrain", *words, "--max-steps", "2", "--max-length", "32", "--eval-share", "0.2"]) == 0
    found = capsys.readouterr()
    assert json.loads(found.out)["mlm_loss"] > 0
    assert "parameters" in found.err and "GFLOP/s" in found.err


def test_a_teacher_is_a_further_part_of_the_loss(config: Path, shards: Shards, tmp_path: Path) -> None:
    """Its vectors are computed once for runs that share them, and an interrupted run continues exactly."""
    options = {
        "teacher": pretraining_cases.write_teacher(tmp_path / "teacher"),
        "teacher_vectors": tmp_path / "vectors",
    }
    given = {name: str(value) for name, value in options.items()} | {"save_steps": 2, "lr": 1e-2}
    run(config, shards, tmp_path / "whole", **given)
    steps = journal(tmp_path / "whole", "step")
    for line in steps:
        assert line["loss"] == pytest.approx(line["mlm_loss"] + line["nsp_loss"] + line["teacher_loss"], abs=1e-5)
    assert 0 < steps[-1]["teacher_loss"] < steps[0]["teacher_loss"] < 2
    computed = (tmp_path / "vectors" / "vectors.bin").stat().st_mtime_ns
    with killed_after_a_checkpoint():
        run(config, shards, tmp_path / "resumed", **given)
    run(config, shards, tmp_path / "resumed", **given, resume=True)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "resumed")]
    assert weights[0] == weights[1]
    run(config, shards, tmp_path / "half", **given | {"teacher_weight": 0.5})
    first = journal(tmp_path / "half", "step")[0]
    assert first["teacher_loss"] == pytest.approx(steps[0]["teacher_loss"] / 2, abs=1e-6)
    assert (tmp_path / "vectors" / "vectors.bin").stat().st_mtime_ns == computed
    run(config, shards, tmp_path / "own", teacher=given["teacher"], teacher_documents=2)
    assert (tmp_path / "own" / "vectors" / "index.json").exists()
    for name, value in {"teacher_vectors": "vectors", "teacher_documents": 3, "teacher_weight": 2.0}.items():
        with pytest.raises(UsageError, match=f"{name}=.* needs a teacher"):
            run(config, shards, tmp_path / "none", **{name: value})


def test_a_size_may_be_the_name_of_the_folder(config: Path, shards: Shards, tmp_path: Path) -> None:
    """`--config tiny --out tiny` is resumed: the folder is not taken for the configuration."""
    (tmp_path / "tiny").mkdir()
    settings = PretrainingSettings(data=str(shards.folder), config="tiny", out=str(tmp_path / "tiny"), resume=True)
    with contextlib.chdir(tmp_path):
        check_folder(Path("tiny"), settings)
        with pytest.raises(UsageError, match="is in tiny, which this run replaces"):
            check_folder(Path("tiny"), dataclasses.replace(settings, config="tiny/config.json", data="tiny"))


def test_a_resumed_run_with_other_options(
    config: Path, shards: Shards, whole: tuple[Path, Pretrained], tmp_path: Path
) -> None:
    """Options that make another model are named, and the checkpoint is not called damaged. A complete run keeps its time."""
    folder = tmp_path / "out"
    shutil.copytree(whole[0], folder)
    own: dict[str, Any] = {"eval_share": 0.2, "eval_examples": 20, "eval_steps": 3, "resume": True}
    wide = tmp_path / "wide.json"
    wide.write_text(json.dumps({"model_type": "bert", **CONFIG, "hidden_size": 48}))
    with pytest.raises(UsageError, match="of another model. Different options are config: pass the same ones, or"):
        run(wide, shards, folder, **own)
    with pytest.raises(UsageError, match="The training examples, or options of their order, are not those"):
        run(config, shards, folder, **own, examples="sentences")
    run(config, shards, folder, **own)
    before, after = (json.loads((path / "run.json").read_text("utf-8")) for path in (whole[0], folder))
    assert after["scores"] == before["scores"] and after["seconds"] >= before["seconds"] > 0


def test_time_is_reserved_for_two_evaluations(shards: Shards, tmp_path: Path) -> None:
    """One after the last step, and one of the best checkpoint."""
    loop = pretraining_cases.loop(shards, time_budget=100)
    job = Job(loop.settings, tmp_path, loop, lambda model, folder: None, None, "loss")
    with job._timed("evaluation"):
        time.sleep(0.05)
    assert 0.1 <= loop.clock.reserve < 10


@pytest.mark.parametrize("examples", ["pairs", "sentences"])
def test_one_document(examples: str, config: Path, tmp_path: Path) -> None:
    own = corpora.shards(tmp_path, [["wak wbl .", "wcm ."]])
    if examples == "sentences":
        run(config, own, tmp_path / "out", examples=examples, max_steps=1)
        return
    with pytest.raises(UsageError, match="has one document.* or type examples="):
        run(config, own, tmp_path / "out", max_steps=1)


def test_evaluation_on_shards_of_another_tokenizer(config: Path, shards: Shards, tmp_path: Path) -> None:
    """Also where the index does not say which."""
    other = corpora.shards(tmp_path, corpora.documents(5, seed=1))
    for settings in ({"tokenizer": "x"}, {}):
        index = json.loads((other.folder / "index.json").read_text())
        (other.folder / "index.json").write_text(json.dumps({**index, "settings": settings}))
        with pytest.raises(UsageError, match="was prepared with another tokenizer"):
            run(config, shards, tmp_path / "out", eval=other.folder)
