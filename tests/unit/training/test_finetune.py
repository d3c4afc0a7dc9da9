"""`finetune` on small files, as a new user calls it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pipeline_models
import pytest
import torch
import transformers
from training_cases import killed_after_a_checkpoint

import bertkit
from bertkit.errors import BertkitError, ConfigError
from bertkit.training.finetune import finetune
from bertkit.training.folder import locked
from bertkit.training.job import Stopped
from bertkit.training.recipes import names, read_recipe
from bertkit.training.sweep import finetune_all

WORDS = ("the", "end", "of", "it", "and", "another", "one")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny encoder with a tokenizer."""
    tokenizer = pipeline_models.tokenizer()
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = bertkit.BertConfig(vocab_size=len(tokenizer), **sizes, max_position_embeddings=tokenizer.model_max_length)
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    bertkit.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def reviews(count: int = 24, seed: int = 0) -> list[dict[str, Any]]:
    """Texts with "end" are bad, the others good."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        words = rng.choice([word for word in WORDS if word != "end"], 5).tolist()
        is_bad = bool(rng.integers(2))
        found.append({"text": " ".join([*words, "end"] if is_bad else words), "label": "bad" if is_bad else "good"})
    return found


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def train(
    model: Path, out: Path, rows: Any = None, dev: Any = None, task: str = "text-classification", **options: Any
) -> Any:
    rows = reviews() if rows is None else rows
    given = {"epochs": 2.0, "batch_size": 8, "lr": 1e-3, **options}
    return finetune(task, model, rows, reviews(12, 1) if dev is None else dev, out, **given)


def test_a_classifier(model: Path, tmp_path: Path) -> None:
    """Its folder opens in bertkit and in transformers, and has all records of the run."""
    train_file, dev_file = write(tmp_path / "train.jsonl", reviews(48)), write(tmp_path / "dev.jsonl", reviews(16, 1))
    found = train(model, tmp_path / "out", train_file, dev_file, epochs=12.0, lr=3e-3)
    assert found.scores["accuracy"] == 1
    assert found.intervals["accuracy"] == (1, 1)
    answers = found.pipeline()(["the end of it", "another one"])
    assert [answer["label"] for answer in answers] == ["bad", "good"]
    theirs = transformers.BertForSequenceClassification.from_pretrained(tmp_path / "out")
    assert theirs.config.id2label == {0: "bad", 1: "good"}
    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert record["data"]["train"]["examples"] == 48
    assert record["scores"] == found.scores
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text("utf-8").splitlines()]
    assert [line["epoch"] for line in lines if line["event"] == "eval"] == list(range(1, 13))
    assert len((tmp_path / "out" / "predictions.jsonl").read_text("utf-8").splitlines()) == 16
    assert "accuracy" in (tmp_path / "out" / "report.html").read_text("utf-8")
    assert (tmp_path / "out" / "README.md").read_text("utf-8").startswith("---")


TASKS = {
    "two numbers": (
        "text-classification",
        [{"text": row["text"], "label": [len(row["text"]) / 10, n / 8]} for n, row in enumerate(reviews(16))],
        "pearson",
    ),
    "regression": (
        "text-classification",
        [{"text": row["text"], "label": len(row["text"]) / 10} for row in reviews(16)],
        "pearson",
    ),
    "several": (
        "text-classification",
        [{"text": row["text"], "labels": [row["label"], "long"][: 1 + n % 2]} for n, row in enumerate(reviews(16))],
        "f1",
    ),
    "pairs": (
        "text-classification",
        [{"text": row["text"], "text_pair": "one", "label": row["label"]} for row in reviews(16)],
        "accuracy",
    ),
    "entities": (
        "token-classification",
        [{"tokens": ["the", "end", "of", "it"], "labels": ["O", "B-X", "I-X", "O"]}] * 12,
        "f1",
    ),
    "parts of speech": (
        "token-classification",
        [{"tokens": ["the", "end", "of", "it"], "labels": ["DET", "NOUN", "ADP", "PRON"]}] * 12,
        "accuracy",
    ),
    "questions": (
        "question-answering",
        [
            {"question": "the end?", "context": "the end of it", "answers": {"text": ["of it"], "answer_start": [8]}},
            {"question": "another?", "context": "another one", "answers": {"text": [], "answer_start": []}},
        ]
        * 6,
        "f1",
    ),
    "choices": (
        "multiple-choice",
        [{"text": "the end", "choices": ["of it", "and", "one"], "label": 1}] * 8,
        "accuracy",
    ),
    "next sentences": (
        "next-sentence-prediction",
        [{"text": "the end", "text_pair": "of it", "label": n % 2} for n in range(8)],
        "accuracy",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_each_task(name: str, model: Path, tmp_path: Path) -> None:
    task, rows, metric = TASKS[name]
    kind = {"problem_type": "regression"} if name == "two numbers" else {}
    found = train(model, tmp_path / "out", rows, rows, task, **kind)
    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert record["best"]["metric"] == metric
    assert 0 <= abs(found.scores[metric]) <= 100
    head = bertkit.AutoConfig.from_pretrained(tmp_path / "out").architectures
    getattr(transformers, head[0]).from_pretrained(tmp_path / "out")
    again = bertkit.evaluate(tmp_path / "out", rows)
    assert again.scores == pytest.approx(found.scores, abs=1e-6)


def test_the_best_checkpoint_is_the_result(model: Path, tmp_path: Path) -> None:
    """With a learning rate that destroys the model after some epochs, the result is that of the best epoch."""
    found = train(model, tmp_path / "out", epochs=6.0, lr=3e-2, schedule="constant", keep=2, metric="loss")
    lines = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text("utf-8").splitlines()]
    losses = {line["step"]: line["loss"] for line in lines if line["event"] == "eval"}
    best = min(losses, key=lambda step: losses[step])
    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert record["best"] == {"step": best, "metric": "loss", "value": losses[best]}
    kept = {path.name for path in (tmp_path / "out").glob("checkpoint-*")}
    assert f"checkpoint-{best}" in kept
    expected = bertkit.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out" / f"checkpoint-{best}")
    final = bertkit.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), final.parameters(), strict=True))
    assert found.scores


def test_patience_ends_a_run(model: Path, tmp_path: Path) -> None:
    train(model, tmp_path / "out", epochs=50.0, lr=1e-9, patience=2)
    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    lines = (tmp_path / "out" / "metrics.jsonl").read_text("utf-8").splitlines()
    assert sum('"eval"' in line for line in lines) <= 4
    assert record["best"]["step"] is not None


def test_a_resumed_run_is_the_same(model: Path, tmp_path: Path) -> None:
    """Stopped after a checkpoint, and resumed: the same weights bit by bit, and the same records."""
    train(model, tmp_path / "whole", epochs=3.0)
    with killed_after_a_checkpoint():
        train(model, tmp_path / "out", epochs=3.0)
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-3"]
    train(model, tmp_path / "out", epochs=3.0, resume=True)
    for name in ("model.safetensors", "predictions.jsonl"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    read = [(tmp_path / run / "metrics.jsonl").read_text("utf-8").splitlines() for run in ("out", "whole")]
    kept = [[{k: v for k, v in json.loads(line).items() if "second" not in k} for line in lines] for lines in read]
    assert kept[0] == kept[1]


def test_adapters(model: Path, tmp_path: Path) -> None:
    """LoRA trains few parameters, and the result is a normal model."""
    train(model, tmp_path / "out", lora=2)
    whole = bertkit.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out")
    before = bertkit.AutoModel.from_pretrained(model, add_pooling_layer=False)
    layer, old = whole.bert.encoder.layer[0], before.encoder.layer[0]
    assert not torch.equal(layer.attention.self.query.weight, old.attention.self.query.weight)
    assert torch.equal(layer.intermediate.dense.weight, old.intermediate.dense.weight)


def test_a_trained_head_is_kept_for_the_same_labels(model: Path, tmp_path: Path) -> None:
    train(model, tmp_path / "first")
    train(tmp_path / "first", tmp_path / "second", lr=1e-12, warmup=0.0, weight_decay=0.0)
    first, second = (
        bertkit.AutoModelForSequenceClassification.from_pretrained(tmp_path / name) for name in ("first", "second")
    )
    torch.testing.assert_close(first.classifier.weight, second.classifier.weight, atol=1e-6, rtol=0)
    notes: list[str] = []
    train(tmp_path / "first", tmp_path / "order", epochs=1.0, labels=["good", "bad"], on_note=notes.append)
    assert "The head of the model is kept, with its labels in their order: bad, good." in notes
    assert json.loads((tmp_path / "order" / "run.json").read_text("utf-8"))["labels"] == ["bad", "good"]
    renamed = [{**row, "label": row["label"].upper()} for row in reviews()]
    train(tmp_path / "first", tmp_path / "third", renamed, renamed, lr=1e-12, warmup=0.0)
    third = bertkit.AutoModelForSequenceClassification.from_pretrained(tmp_path / "third")
    assert third.config.id2label == {0: "BAD", 1: "GOOD"}
    assert not torch.allclose(first.classifier.weight, third.classifier.weight, atol=1e-3)


def test_seeds_and_sweeps(model: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    options = {"task": "text-classification", "model": model, "train": reviews(8), "eval": reviews(8, 1), "epochs": 1.0}
    found = finetune_all(**options, out=tmp_path / "out", seeds=2, on_note=notes.append)
    summary = json.loads((tmp_path / "out" / "sweep.json").read_text("utf-8"))
    assert [run["seed"] for run in summary["runs"]] == [0, 1]
    assert found.scores[summary["metric"]] == max(run["best"] for run in summary["runs"])
    assert notes[-1].startswith("accuracy of 2 runs: ")
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert (tmp_path / "out" / "README.md").read_text("utf-8").count(
        '"out"'
    ) == 2  # the name of the folder, not of a run
    with pytest.raises(BertkitError, match="has an earlier run"):
        finetune_all(**options, out=tmp_path / "out", seeds=2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seeds": 0}, "seeds=0 is not at least 1"),
        ({"sweep": True, "lr": 1e-4}, "lr=0.0001 is what a sweep chooses"),
        ({"seeds": 2, "eval": None, "recipe": "sst2"}, "Several runs need examples to compare them on"),
    ],
)
def test_impossible_sweeps(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    own = {"task": "text-classification", "model": "m", "train": reviews(8), "eval": reviews(8, 1)}
    with pytest.raises(BertkitError, match=message):
        finetune_all(**{**own, "out": tmp_path / "out", **options})


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no examples": ({"dev": []}, "no examples"),
    "a wrong column": ({"columns": "text=body"}, "body"),
    "labels unseen in training": (
        {"dev": [{"text": "the end", "label": "ugly"}]},
        "labels that the training file lacks: 'ugly'",
    ),
    "an unknown option": ({"learning_rat": 3}, "finetune has no option 'learning_rat'."),
    "a negative rate": ({"lr": -1.0}, "lr=-1.0 is not a number above 0: type for example lr=5e-05."),
    "a wrong type": ({"batch_size": "many"}, "batch_size='many' is invalid"),
    "an unknown metric": ({"metric": "bleu"}, "There is no score 'bleu'"),
    "too many frozen layers": ({"freeze": "77"}, "freeze='77' is invalid"),
    "an endless run": ({"epochs": float("inf")}, "epochs=inf is not a number above 0"),
    "no checkpoints": ({"keep": 0}, "keep=0 is not at least 1: type for example keep=1."),
    "a decay that never ends": ({"beta2": 1.5}, "beta2=1.5 is not at least 0 and below 1"),
    "an option of another task": ({"label_all_tokens": True}, "has no effect for text-classification"),
    "a threshold of no answer": ({"null_score_diff_threshold": 0.0}, "has no effect for text-classification"),
    "a temperature without logits": (
        {"teacher": "x", "alpha": 0.0, "hidden_states": 1.0, "temperature": 5.0},
        "temperature=5.0 has no effect with alpha=0: leave it out.",
    ),
    "a length of answers": ({"max_answer_len": 5}, "has no effect for text-classification"),
    "overlap without windows": ({"overlap": 4}, "has no effect without windows: type on_long="),
    "limited windows without windows": ({"max_windows": 4}, "has no effect without windows"),
    "a merge without windows": ({"merge": "max"}, "merge='max' has no effect without windows: type on_long="),
    "an unknown merge": ({"merge": "vote", "on_long": "window"}, "merge='vote' is invalid"),
    "thresholds of a task without": ({"tune_thresholds": True}, "which has no thresholds: leave it out."),
    "frozen parts with adapters": ({"lora": 2, "freeze": "encoder"}, "has no effect with lora=2"),
    "a decay of layers with adapters": ({"lora": 2, "layer_decay": 0.9}, "has no effect with lora=2"),
    "an invalid text": (
        {"rows": [*reviews(3), {"text": "it " * 99, "label": "bad"}], "on_long": "error"},
        "Index 3 of the list: The text has 101 tokens",
    ),
    "no class weights": ({"class_weights": "nice=3"}, "class_weights names 'nice', which is not a label: bad, good."),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, model: Path, tmp_path: Path) -> None:
    options, message = MISTAKES[name]
    with pytest.raises(BertkitError) as error:
        train(model, tmp_path / "out", **options)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("task", "row"),
    [
        ("question-answering", {"question": "the end", "context": "it and another", "answers": "another"}),
        ("multiple-choice", {"text": "the end", "choices": ["of it", "and", "one"], "label": 2}),
        ("text-classification", {"text": "the end", "label": 0.5}),
        ("text-classification", {"text": "the end", "label": ["a", "b"]}),
    ],
)
def test_balanced_weights_of_another_loss(task: str, row: dict[str, Any], model: Path, tmp_path: Path) -> None:
    with pytest.raises(BertkitError, match="class_weights='balanced' has no meaning in the loss of"):
        train(model, tmp_path / "out", [row] * 2, [row] * 2, task, class_weights="balanced")


@pytest.mark.parametrize("option", [{"metric": "f1"}, {"patience": 2}, {"eval_steps": 3}, {"tune_thresholds": True}])
def test_options_of_an_evaluation_without_one(option: dict[str, Any], model: Path, tmp_path: Path) -> None:
    with pytest.raises(BertkitError, match="needs examples for evaluation: type eval="):
        finetune("text-classification", model, reviews(), None, tmp_path / "out", **option)


def test_a_recipe_without_evaluation(model: Path, tmp_path: Path) -> None:
    """The metric of a recipe is ignored, and its labels are those of the model."""
    path = tmp_path / "own.toml"
    path.write_text('task = "text-classification"\nmetric = "f1"\nlabels = ["good", "bad"]\n', "utf-8")
    finetune(None, model, reviews(8), None, tmp_path / "out", recipe=str(path), epochs=1.0)
    assert bertkit.AutoConfig.from_pretrained(tmp_path / "out").id2label == {0: "good", 1: "bad"}


def test_a_mistake_is_found_before_the_training(model: Path, tmp_path: Path) -> None:
    for option in ({"metric": "bleu"}, {"average": "middle"}):
        with pytest.raises(BertkitError):
            train(model, tmp_path / "out", **option)
        assert not (tmp_path / "out" / "metrics.jsonl").exists()


def test_the_best_checkpoint_is_kept_wherever_it_is(model: Path, tmp_path: Path) -> None:
    """Checkpoints at other steps than evaluations: that of the best evaluation is written, too."""
    options = {"epochs": 3.0, "eval_steps": 1, "save_steps": 4, "lr": 1e-9}
    found = train(model, tmp_path / "out", **options)
    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert record["best"]["step"] == 1
    assert found.scores["accuracy"] == record["best"]["value"]
    assert sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-9"]


def test_an_undefined_score_is_never_the_best(model: Path, tmp_path: Path) -> None:
    """The correlation with equal numbers is undefined. The last checkpoint is the result, and its record valid JSON."""
    rows = [{"text": "it", "label": 0.5}, {"text": "one", "label": 0.5}]
    train(model, tmp_path / "out", rows, rows, epochs=1.0)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"), parse_constant=refuse)
    assert record["best"] == {"step": None, "metric": "pearson", "value": None}
    assert record["scores"]["pearson"] is None


def test_records_have_no_examples(model: Path, tmp_path: Path) -> None:
    """Examples that are passed as a list are in no file but the predictions."""
    secret = [{**row, "text": f"{row['text']} secret-7"} for row in reviews(8)]
    finetune("text-classification", model, secret, None, tmp_path / "out", epochs=1.0)
    for path in (tmp_path / "out").rglob("*"):
        assert not path.is_file() or b"secret-7" not in path.read_bytes(), path


def test_a_new_run_has_no_records_of_the_one_before(model: Path, tmp_path: Path) -> None:
    train(model, tmp_path / "out", epochs=1.0)
    finetune("text-classification", model, reviews(), None, tmp_path / "out", epochs=1.0, overwrite=True)
    assert not (tmp_path / "out" / "predictions.jsonl").exists()
    with pytest.raises(BertkitError, match="which this run replaces"):
        train(tmp_path / "out", tmp_path / "out", overwrite=True)


def test_resuming_with_other_options(model: Path, tmp_path: Path) -> None:
    """A note says what has changed; labels in another order are refused."""
    notes: list[str] = []
    train(model, tmp_path / "out", epochs=1.0)
    train(model, tmp_path / "out", epochs=1.0, resume=True, weight_decay=0.5, on_note=notes.append)
    changed = [note for note in notes if "not those of the interrupted run" in note]
    assert len(changed) == 1
    assert changed[0].endswith(": weight_decay was 0.01 and is 0.5.")
    with pytest.raises(BertkitError, match="had the labels bad, good in this order"):
        train(model, tmp_path / "out", epochs=1.0, resume=True, labels=["good", "bad"])


def test_a_run_without_patience_stays_complete(model: Path, tmp_path: Path) -> None:
    options = {"epochs": 50.0, "lr": 1e-9, "patience": 1}
    train(model, tmp_path / "out", **options)
    before = (tmp_path / "out" / "metrics.jsonl").read_bytes()
    train(model, tmp_path / "out", **options, resume=True)
    assert (tmp_path / "out" / "metrics.jsonl").read_bytes() == before


def test_unknown_labels_are_skipped_and_counted(model: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    dev = [*reviews(4, 1), {"text": "it", "label": "ugly"}]
    train(model, tmp_path / "out", dev=dev, on_bad="skip", epochs=1.0, on_note=notes.append)
    record = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert (record["data"]["eval"]["examples"], record["data"]["eval"]["skipped"]) == (4, 1)
    assert "Evaluation: Left out, as the model does not have their labels ('ugly'): 1." in notes


def test_limits_of_the_model_are_noted(model: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    train(model, tmp_path / "out", max_length=5000, epochs=1.0, on_note=notes.append)
    assert "max_length=5000 is above the maximum of the model: a row has at most 64 tokens." in notes


def test_a_configuration_elsewhere(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "config.json").rename(tmp_path / "bert.json")
    train(tmp_path / "model", tmp_path / "out", config=str(tmp_path / "bert.json"), epochs=1.0)


def test_an_earlier_run_is_not_replaced(model: Path, tmp_path: Path) -> None:
    train(model, tmp_path / "out")
    with pytest.raises(
        BertkitError, match=r"has an earlier run: type resume=True to continue it, overwrite=True to replace it"
    ):
        train(model, tmp_path / "out")
    train(model, tmp_path / "out", overwrite=True)


def test_unusual_data(model: Path, tmp_path: Path) -> None:
    """One class, one example, labels of emoji, and a text of 100,000 words."""
    train(model, tmp_path / "one class", [{"text": "the end", "label": "bad"}] * 4, [{"text": "it", "label": "bad"}])
    train(model, tmp_path / "one example", reviews(2), reviews(2), epochs=1.0)
    emoji = [{"text": "the end", "label": "😀"}, {"text": "it", "label": "👩‍🚀"}] * 4
    train(model, tmp_path / "emoji", emoji, emoji)
    assert set(bertkit.AutoConfig.from_pretrained(tmp_path / "emoji").label2id) == {"😀", "👩‍🚀"}
    long = [{"text": "it " * 100_000, "label": "bad"}, {"text": "one", "label": "good"}]
    train(model, tmp_path / "long", long, long, epochs=1.0)
    train(model, tmp_path / "windows", long, [long[1]], epochs=1.0, on_long="window", max_windows=4)
    assert '`on_long="window"` in a call' in (tmp_path / "windows" / "README.md").read_text("utf-8")


def test_windows_are_merged_in_answers_as_in_training(model: Path, tmp_path: Path) -> None:
    """The way is stored with the model; a call may change it, and training without windows forgets it."""
    long = [{"text": " ".join([*["it"] * 60, clue, *["it"] * 60]), "label": clue} for clue in ("end", "start")] * 2
    windows = {"on_long": "window", "overlap": 0}
    train(model, tmp_path / "max", long, long, epochs=1.0, merge="max", **windows)
    pipe = bertkit.pipeline("text-classification", tmp_path / "max", top_k=None, function_to_apply="none", **windows)
    text = long[0]["text"]
    assert pipe(text) == pipe(text, merge="max") != pipe(text, merge="mean")
    train(tmp_path / "max", tmp_path / "plain", reviews(2), epochs=1.0)
    assert bertkit.AutoConfig.from_pretrained(tmp_path / "max").merge_windows == "max"
    assert not hasattr(bertkit.AutoConfig.from_pretrained(tmp_path / "plain"), "merge_windows")
    pipe.config.merge_windows = "all"
    with pytest.raises(ConfigError, match="merge_windows of the configuration is 'all': type 'mean', 'max'"):
        pipe(text)


@pytest.mark.parametrize("name", names())
def test_recipes(name: str) -> None:
    values = read_recipe(name)
    assert {"task", "epochs", "lr", "batch_size", "max_length"} <= values.keys()
    from bertkit.training.options import Settings

    Settings(**{"model": "m", "train": "t", **values})


def test_a_recipe_of_a_file(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('task = "text-classification"\nepochs = 1.0\nlr = 2e-4\n', "utf-8")
    finetune(None, model, reviews(8), None, tmp_path / "out", recipe=str(path), batch_size=4)
    settings = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))["settings"]
    assert (settings["epochs"], settings["lr"], settings["batch_size"]) == (1.0, 2e-4, 4)
    path.write_text("lerning_rate = 3\n", "utf-8")
    with pytest.raises(BertkitError, match="finetune has no option 'lerning_rate'"):
        read_recipe(str(path))
    with pytest.raises(BertkitError, match="There is no recipe 'mrpz': type one of .* Did you mean 'mrpc'"):
        read_recipe("mrpz")


def test_a_full_disk(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that cannot be written leaves the one before it."""
    from bertkit.checkpoint import safetensors_file

    write_file, calls = safetensors_file.write, []

    def fail(path: Any, *rest: Any) -> None:
        calls.append(path)
        if len(calls) > 3:  # the model and the state of two checkpoints
            raise OSError(28, "No space left on device")
        write_file(path, *rest)

    monkeypatch.setattr("bertkit.training.checkpoints.safetensors_file.write", fail)
    with pytest.raises(OSError, match="No space left"):
        train(model, tmp_path / "out", epochs=3.0)
    assert [path.name for path in sorted((tmp_path / "out").iterdir()) if path.is_dir()] == ["checkpoint-3", "runs"]
    monkeypatch.undo()
    train(model, tmp_path / "out", epochs=3.0, resume=True)


def test_ctrl_c_writes_a_checkpoint(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    from bertkit.training.loop import Finetuner

    step = Finetuner.step

    def interrupted(self: Finetuner, *batches: Any) -> Any:
        if self.position.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *batches)

    monkeypatch.setattr(Finetuner, "step", interrupted)
    with pytest.raises(Stopped, match="has a checkpoint after step 4"):
        train(model, tmp_path / "out", epochs=4.0)
    monkeypatch.undo()
    train(model, tmp_path / "out", epochs=4.0, resume=True)
    train(model, tmp_path / "whole", epochs=4.0)
    files = [(tmp_path / run / "model.safetensors").read_bytes() for run in ("out", "whole")]
    assert files[0] == files[1]
    shutil.rmtree(tmp_path / "out")


REFUSED = {
    "class weights of numbers": (
        {"rows": [{"text": "the end", "label": 1.5}, {"text": "it", "label": 2.0}], "class_weights": "balanced"},
        "has no meaning in the loss of regression",
    ),
    "a positive weight below 0": (
        {"rows": [{"text": "the end", "labels": ["a"]}, {"text": "it", "labels": []}], "pos_weight": -3.0},
        "pos_weight=-3.0 is invalid",
    ),
    "all weights 0": ({"class_weights": "bad=0,good=0"}, "All class_weights are 0"),
    "a weight that is not a number": ({"class_weights": "bad=nan"}, "is invalid"),
    "a label twice": ({"labels": ["bad", "good", "good"]}, "a repeated label"),
    "labels that lack one": ({"labels": ["bad"]}, "labels that the option labels lacks: 'good'"),
    "an unknown score": ({"metric": "nope"}, "There is no score 'nope': choose one of loss, accuracy"),
    "half of a surrogate pair": (
        {"rows": [{"text": "it", "label": "\ud800"}]},
        "the label has half of a surrogate pair",
    ),
    "a label beyond float32": (
        {"rows": [{"text": "it", "label": 1e300}, {"text": "the end", "label": 1.5}]},
        "not a number",
    ),
    "no label at all": ({"rows": [{"text": "it", "labels": []}] * 2}, "No training example has a label"),
    "infinite epochs": ({"epochs": float("inf")}, "is not a number above 0"),
    "an infinite learning rate": ({"lr": float("inf")}, "is not a number above 0"),
    "beta1": ({"beta1": 1.0}, "is not at least 0 and below"),
    "a large seed": ({"seed": 2**70}, "is not at least 0 and below"),
    "resume and overwrite": ({"resume": True, "overwrite": True}, "exclude each other"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_options_are_refused_before_the_training(name: str, model: Path, tmp_path: Path) -> None:
    """An option that has no effect, or cannot work, ends the run before its first step."""
    options, message = REFUSED[name]
    with pytest.raises(BertkitError) as error:
        train(model, tmp_path / "out", **{"dev": options.get("rows"), **options})
    assert message in str(error.value)
    assert not list(tmp_path.glob("out/*"))


def test_one_step_trains(model: Path, tmp_path: Path) -> None:
    """The share of warm-up leaves at least one step with a learning rate above 0."""
    found = train(model, tmp_path / "out", max_steps=1)
    line = json.loads((found.folder / "metrics.jsonl").read_text("utf-8").splitlines()[0])
    assert line["learning_rate"] == 1e-3


def test_resume_with_other_answers(model: Path, tmp_path: Path) -> None:
    """The same texts in the same order, with other labels, are other examples."""
    train(model, tmp_path / "out", max_steps=1)
    flipped = [{**row, "label": "good" if row["label"] == "bad" else "bad"} for row in reviews()]
    with pytest.raises(BertkitError, match="The training examples, or options of their order, are not those"):
        train(model, tmp_path / "out", flipped, max_steps=1, resume=True)


DAMAGE = {
    "empty": lambda state: state.clear(),
    "step": lambda state: state["position"].update(step=10**30),
    "at": lambda state: state["position"].update(at=-5),
    "epoch": lambda state: state["position"].update(epoch="x"),
    "unknown": lambda state: state["position"].update(zz=1),
    "reserve": lambda state: state.update(reserve=-1.0),
    "best": lambda state: state.update(best={"step": "x", "value": [], "since": 0}),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_resume_from_a_damaged_checkpoint(name: str, model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = train(model, out, max_steps=1)
    path = found.folder / "checkpoint-1" / "trainer_state.json"
    state = json.loads(path.read_text("utf-8"))
    DAMAGE[name](state)
    path.write_text(json.dumps(state), "utf-8")
    with pytest.raises(BertkitError, match="is damaged"):
        train(model, out, max_steps=1, resume=True)


def test_overwrite_loses_nothing_before_the_new_run_begins(model: Path, tmp_path: Path) -> None:
    """Neither a wrong file nor a model in the output folder costs the checkpoints of the earlier run."""
    out = tmp_path / "out"
    train(model, out, max_steps=1)
    with pytest.raises(BertkitError, match="There is no file"):
        train(model, out, tmp_path / "none.jsonl", overwrite=True)
    for name in (out, out / "checkpoint-1"):
        with pytest.raises(BertkitError, match="which this run replaces"):
            train(name, out, overwrite=True)
    assert (out / "checkpoint-1" / "model.safetensors").exists()
    train(model, out, max_steps=2, overwrite=True)
    assert not (out / "checkpoint-1").exists()


def test_several_runs_do_not_replace_one(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    train(model, out, max_steps=1)
    given = {"task": "text-classification", "model": model, "train": reviews(), "eval": reviews(8, 1), "out": out}
    with pytest.raises(BertkitError, match="has an earlier run"):
        finetune_all(**given, seeds=2, max_steps=1)
    with pytest.raises(BertkitError, match="is not at least 1"):
        finetune_all(**given, seeds=0, max_steps=1, overwrite=True)


def test_two_runs_in_one_folder(model: Path, tmp_path: Path) -> None:
    """The second one is refused, and the lock ends with the first."""
    with locked(tmp_path / "out"), pytest.raises(BertkitError, match="Another run writes to"):
        train(model, tmp_path / "out", max_steps=1)
    train(model, tmp_path / "out", max_steps=1)
    assert not (tmp_path / "out" / ".lock").exists()
