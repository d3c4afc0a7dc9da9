"""Evaluation of every task that can be trained, on tiny models, compared with scikit-learn, scipy and seqeval."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import seqeval.metrics
import sklearn.metrics
import transformers
from pipeline_cases import SENTENCES
from pipeline_models import engine, folder, ours, tokenizer

from bertkit.config import BertConfig
from bertkit.errors import BertkitError, ConfigError, DataError, UsageError
from bertkit.pipelines import Pipeline, pipeline
from bertkit.training.evaluation import Evaluation, evaluate_pipeline

LABELS = [f"LABEL_{number}" for number in range(5)]


@dataclass
class Some:
    """Examples of a list."""

    inputs: list[Any]
    references: list[Any]
    notes: list[str] = field(default_factory=list)
    skipped: int = 0
    lines: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lines = self.lines or list(range(1, len(self.inputs) + 1))

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, indices: Sequence[int]) -> Some:
        lists = (self.inputs, self.references, self.lines)
        inputs, references, lines = ([values[index] for index in indices] for values in lists)
        return Some(inputs, references, self.notes, self.skipped, lines)

    def where(self, index: int) -> str:
        return f"line {self.lines[index]} of dev.tsv"


def evaluated(pipe: Pipeline, inputs: list[Any], references: list[Any], **options: Any) -> Evaluation:
    examples: Any = Some(inputs, references)
    return evaluate_pipeline(pipe, examples, **options)


def of_config(name: str, task: str, **fields: Any) -> Pipeline:
    """A pipeline with a tiny model whose configuration has other values."""
    opened = engine(name, task)
    copy = type(opened).__new__(type(opened))
    vars(copy).update(vars(opened))
    copy.config = BertConfig.from_dict(opened.config.to_dict() | fields)
    return pipeline(model=copy, tokenizer=tokenizer())


def drawn(count: int, labels: list[str]) -> list[str]:
    return np.random.default_rng(0).choice(labels, count).tolist()


def test_single_label() -> None:
    pipe = ours("text-classification", "five")
    truths = drawn(len(SENTENCES), LABELS)
    found = evaluated(pipe, SENTENCES, truths)
    answers = [one["answer"] for one in found.predictions]
    assert answers == [one["label"] for one in pipe(SENTENCES)]
    rest = {"average": "macro", "zero_division": 0}
    assert found.scores == pytest.approx(
        {
            "accuracy": sklearn.metrics.accuracy_score(truths, answers),
            "precision": sklearn.metrics.precision_score(truths, answers, **rest),
            "recall": sklearn.metrics.recall_score(truths, answers, **rest),
            "f1": sklearn.metrics.f1_score(truths, answers, **rest),
            "matthews_correlation": sklearn.metrics.matthews_corrcoef(truths, answers),
        }
    )
    first = found.predictions[0]
    assert list(first) == ["input", "truth", "answer", "score", "correct", "scores", "where"]
    assert first["where"] == "line 1 of dev.tsv" and first["correct"] == (first["truth"] == first["answer"])
    assert first["score"] == max(first["scores"].values()) and sum(first["scores"].values()) == pytest.approx(1)
    for name, (low, high) in found.intervals.items():
        assert low <= found.scores[name] <= high and low < high


@pytest.mark.parametrize("average", ["binary", "micro", "weighted"])
def test_averages_of_two_labels(average: str) -> None:
    """With "binary", the scores are those of the second label, as in MRPC."""
    pipe = ours("text-classification", "two")
    truths = drawn(len(SENTENCES), ["BAD", "GOOD"])
    found = evaluated(pipe, SENTENCES, truths, average=average, intervals=False)
    answers = [one["answer"] for one in found.predictions]
    flags = [[label == "GOOD" for label in labels] for labels in (truths, answers)]
    expected = sklearn.metrics.f1_score(*flags, average=average, zero_division=0)
    assert found.scores["f1"] == pytest.approx(expected) and found.intervals == {}


def test_several_labels() -> None:
    pipe = of_config("tags", "ForSequenceClassification", thresholds={"LABEL_0": 0.6, "LABEL_2": 0.2})
    names = LABELS[:4]
    flags = np.random.default_rng(0).integers(0, 2, (len(SENTENCES), 4))
    truths = [[name for name, flag in zip(names, row, strict=True) if flag] for row in flags]
    found = evaluated(pipe, SENTENCES, truths)
    predicted = np.array([[one["scores"][name] for name in names] for one in found.predictions]) > [0.6, 0.5, 0.2, 0.5]
    assert found.scores == pytest.approx(
        {
            "accuracy": sklearn.metrics.accuracy_score(flags, predicted),
            "precision": sklearn.metrics.precision_score(flags, predicted, average="macro", zero_division=0),
            "recall": sklearn.metrics.recall_score(flags, predicted, average="macro", zero_division=0),
            "f1": sklearn.metrics.f1_score(flags, predicted, average="macro", zero_division=0),
            "f1_micro": sklearn.metrics.f1_score(flags, predicted, average="micro", zero_division=0),
            "f1_macro": sklearn.metrics.f1_score(flags, predicted, average="macro", zero_division=0),
        }
    )
    assert [len(one["answer"]) for one in found.predictions] == predicted.sum(1).tolist()
    assert [set(one["answer"]) for one in found.predictions] == [
        {one["label"] for one in answer} for answer in pipe(SENTENCES, threshold="auto")
    ]


@pytest.mark.parametrize("problem", ["regression", None])
def test_numbers(problem: str | None) -> None:
    """Without a problem type, pipelines apply the sigmoid, as in transformers; evaluation takes the number itself."""
    pipe = of_config("number", "ForSequenceClassification", problem_type=problem)
    logits = [one["score"] for one in pipe(SENTENCES, function_to_apply="none")]
    truths = np.random.default_rng(0).normal(size=len(SENTENCES)).tolist()
    found = evaluated(pipe, SENTENCES, truths)
    assert found.scores == pytest.approx(
        {
            "pearson": scipy.stats.pearsonr(logits, truths).statistic,
            "spearmanr": scipy.stats.spearmanr(logits, truths).statistic,
            "mse": sklearn.metrics.mean_squared_error(truths, logits),
            "mae": sklearn.metrics.mean_absolute_error(truths, logits),
        }
    )
    assert found.predictions[0]["answer"] == logits[0] and found.predictions[0]["correct"] is None


def test_several_numbers() -> None:
    pipe = of_config("five", "ForSequenceClassification", problem_type="regression")
    truths = np.random.default_rng(0).normal(size=(len(SENTENCES), 5)).tolist()
    found = evaluated(pipe, SENTENCES, truths)
    numbers = np.array([one["answer"] for one in found.predictions])
    assert found.scores["mse"] == pytest.approx(sklearn.metrics.mean_squared_error(truths, numbers))
    assert found.scores["pearson"] == pytest.approx(scipy.stats.pearsonr(numbers.ravel(), np.ravel(truths)).statistic)


def words() -> list[list[str]]:
    return [sentence.split() for sentence in SENTENCES]


def tags_of(texts: list[list[str]], labels: list[str]) -> list[list[str]]:
    rng = np.random.default_rng(0)
    return [rng.choice(labels, len(text)).tolist() for text in texts]


def test_entities() -> None:
    pipe = ours("token-classification", "names")
    texts = words()
    truths = tags_of(texts, list(pipe.config.id2label.values()))
    found = evaluated(pipe, texts, truths)
    answers = [one["answer"] for one in found.predictions]
    assert found.scores == pytest.approx(
        {
            "accuracy": seqeval.metrics.accuracy_score(truths, answers),
            "precision": seqeval.metrics.precision_score(truths, answers, zero_division=0),
            "recall": seqeval.metrics.recall_score(truths, answers, zero_division=0),
            "f1": seqeval.metrics.f1_score(truths, answers, zero_division=0),
        }
    )
    macro = evaluated(pipe, texts, truths, average="macro").scores["f1"]
    assert macro == pytest.approx(seqeval.metrics.f1_score(truths, answers, average="macro", zero_division=0))


def test_parts_of_speech() -> None:
    names = {0: "NOUN", 1: "VERB", 2: "ADJ"}
    pipe = of_config("names", "ForTokenClassification")
    count = pipe.config.num_labels
    names |= {number: f"TAG{number}" for number in range(3, count)}
    pipe = of_config("names", "ForTokenClassification", id2label=names, label2id={v: k for k, v in names.items()})
    texts = words()
    truths = tags_of(texts, list(names.values()))
    found = evaluated(pipe, texts, truths)
    flat = [[tag for row in rows for tag in row] for rows in (truths, [one["answer"] for one in found.predictions])]
    assert found.scores["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(*flat))
    assert found.scores["f1"] == pytest.approx(sklearn.metrics.f1_score(*flat, average="macro", zero_division=0))
    assert list(found.scores) == ["accuracy", "precision", "recall", "f1"]


def test_words_without_tokens() -> None:
    """They are "O" for entities, and count as wrong for other labels, whose model has no such label."""
    pipe = ours("token-classification", "names")
    text = ["Anna", "\u200d", "", "sings"]
    (answer,) = pipe.each([text], aggregation_strategy="words", is_split_into_words=True)
    assert [one["entity"] for one in answer][1:3] == ["O", "O"] and [one["word"] for one in answer] == text
    assert [one["score"] for one in answer][1:3] == [0.0, 0.0]
    cut = pipe.each([text], aggregation_strategy="words", is_split_into_words=True, max_length=3, on_long="truncate")[0]
    assert [one["word"] for one in cut] == text and cut[3]["score"] == 0.0
    found = evaluated(pipe, [text], [["O"] * 4])
    assert len(found.predictions[0]["answer"]) == 4
    only = {number: f"TAG{number}" for number in range(pipe.config.num_labels)}
    other = of_config("names", "ForTokenClassification", id2label=only, label2id={v: k for k, v in only.items()})
    found = evaluated(other, [["\u200d"]], [["TAG0"]])
    assert found.predictions[0]["answer"] == [None] and found.scores["accuracy"] == 0.0


QUESTIONS = [
    {"question": "Who built it?", "context": SENTENCES[0]},
    {"question": "Who moved to Zurich?", "context": SENTENCES[1]},
    {"question": "What do plants create?", "context": SENTENCES[2]},
    {"question": "When will they meet?", "context": SENTENCES[3]},
]


def test_questions_with_answers() -> None:
    """The scores are those of transformers' pipeline by the official script, which `squad_scores` follows."""
    from bertkit.metrics import squad_scores

    pipe = ours("question-answering", "answers")
    texts = [answer["answer"] for answer in pipe(QUESTIONS)]
    truths = [[texts[0], "x"], ["Maria Lopez"], [texts[2] + " extra"], ["on Tuesday"]]
    found = evaluated(pipe, QUESTIONS, truths)
    assert [one["answer"] for one in found.predictions] == texts
    assert found.scores == pytest.approx(squad_scores(texts, truths))
    assert found.predictions[0]["correct"] is True and found.predictions[1]["truth"] == ["Maria Lopez"]


def test_questions_without_answers() -> None:
    from bertkit.metrics import squad2_scores

    pipe = ours("question-answering", "answers")
    texts = [answer["answer"] for answer in pipe(QUESTIONS, handle_impossible_answer=True)]
    truths: list[list[str]] = [["Scottish engineers"], [], ["sugar"], []]
    found = evaluated(pipe, QUESTIONS, truths)
    expected = squad2_scores(texts, truths)
    for name in ("exact", "f1", "total", "HasAns_exact", "HasAns_f1", "HasAns_total", "NoAns_exact", "NoAns_f1"):
        assert found.scores[name] == pytest.approx(expected[name])
    assert found.scores["exact_match"] == found.scores["exact"] and "total" not in found.intervals


def test_choices_and_next_sentences() -> None:
    choices = ours("multiple-choice", "choices")
    inputs = [{"text": text, "choices": SENTENCES[:3]} for text in SENTENCES[3:9]]
    best = [answer[0]["index"] for answer in choices(inputs)]
    found = evaluated(choices, inputs, [best[0], (best[1] + 1) % 3, *best[2:]])
    assert found.scores == {"accuracy": pytest.approx(5 / 6)}
    assert [one["answer"] for one in found.predictions] == best and not found.predictions[1]["correct"]
    following = ours("next-sentence-prediction", "order")
    pairs = [{"text": one, "text_pair": two} for one, two in zip(SENTENCES[:6], SENTENCES[6:12], strict=True)]
    labels = [answer["label"] for answer in following(pairs)]
    found = evaluated(following, pairs, labels)
    assert found.scores == {"accuracy": 1.0} and list(found.predictions[0]["scores"]) != []


def test_thresholds_of_labels_are_tuned_and_kept(tmp_path: Path) -> None:
    pipe = of_config("tags", "ForSequenceClassification")
    flags = np.random.default_rng(3).integers(0, 2, (len(SENTENCES), 4))
    truths = [[name for name, flag in zip(LABELS, row, strict=False) if flag] for row in flags]
    before = evaluated(pipe, SENTENCES, truths, intervals=False)
    tuned = evaluated(pipe, SENTENCES, truths, intervals=False, tune_thresholds=True)
    assert tuned.scores["f1"] > before.scores["f1"]
    assert pipe.config.thresholds == tuned.thresholds["thresholds"]
    pipe.config.save_pretrained(tmp_path)
    loaded = BertConfig.from_pretrained(tmp_path)
    assert loaded.thresholds == pipe.config.thresholds
    again = of_config("tags", "ForSequenceClassification", thresholds=loaded.thresholds)
    assert evaluated(again, SENTENCES, truths, intervals=False).scores == tuned.scores
    assert [{one["label"] for one in answer} for answer in again(SENTENCES, threshold="auto")] == [
        set(one["answer"]) for one in tuned.predictions
    ]


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_transformers_keeps_and_ignores_thresholds(tmp_path: Path, kind: str) -> None:
    """A model that transformers has loaded and saved still has the thresholds, and every engine follows them."""
    thresholds = {"LABEL_0": 0.9, "LABEL_1": 0.1, "LABEL_2": 0.5, "LABEL_3": 0.5}
    shutil.copytree(folder("tags"), tmp_path / "ours")
    BertConfig.from_pretrained(folder("tags"), thresholds=thresholds).save_pretrained(tmp_path / "ours")
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "ours")
    assert theirs.config.thresholds == thresholds
    theirs.save_pretrained(tmp_path / "theirs")
    tokenizer().save_pretrained(tmp_path / "theirs")
    pipe = pipeline(model=tmp_path / "theirs", engine=kind)
    logits = theirs.eval()(**tokenizer()(SENTENCES[0], return_tensors="pt")).logits[0]
    scores = dict(zip(LABELS, logits.sigmoid().tolist(), strict=False))
    found = {one["label"]: one["score"] for one in pipe(SENTENCES[0], threshold="auto")}
    assert found == pytest.approx(
        {name: scores[name] for name in thresholds if scores[name] > thresholds[name]}, abs=1e-5
    )
    assert pipe(SENTENCES[0]) == ours("text-classification", "tags", kind)(SENTENCES[0])


def test_the_threshold_of_no_answer_is_tuned_and_kept(tmp_path: Path) -> None:
    pipe = of_config("answers", "ForQuestionAnswering")
    real = [answer["answer"] for answer in pipe(QUESTIONS)]
    truths = [[real[0]], [], [real[2]], []]
    tuned = evaluated(pipe, QUESTIONS, truths, intervals=False, tune_thresholds=True)
    threshold = tuned.thresholds["null_score_diff_threshold"]
    assert pipe.config.null_score_diff_threshold == threshold
    again = of_config("answers", "ForQuestionAnswering", null_score_diff_threshold=threshold)
    assert evaluated(again, QUESTIONS, truths, intervals=False).scores == tuned.scores
    differences = [answer["null_score_diff"] for answer in pipe(QUESTIONS, return_null_score=True)]
    every = [
        evaluated(of_config("answers", "ForQuestionAnswering", null_score_diff_threshold=value), QUESTIONS, truths)
        for value in [min(differences) - 1, *differences]
    ]
    assert tuned.scores["f1"] == pytest.approx(max(one.scores["f1"] for one in every))


def test_unknown_labels() -> None:
    pipe = ours("text-classification", "two")
    inputs, truths = SENTENCES[:4], ["GOOD", "fair", "BAD", "fair"]
    expected = (
        r"Unknown labels: 'fair' in 2 of 4 examples, the first in line 2 of dev.tsv. The model has the labels BAD, GOOD"
    )
    with pytest.raises(UsageError, match=expected):
        evaluated(pipe, inputs, truths)
    found = evaluated(pipe, inputs, truths, on_bad="skip")
    assert (len(found), found.skipped) == (2, 2)
    assert [one["where"] for one in found.predictions] == ["line 1 of dev.tsv", "line 3 of dev.tsv"]


def test_labels_that_are_numbers() -> None:
    pipe = ours("text-classification", "two")
    found = evaluated(pipe, SENTENCES[:3], ["0", "1", "0"])
    assert found.scores == evaluated(pipe, SENTENCES[:3], ["BAD", "GOOD", "BAD"]).scores
    assert found.notes == ["The labels 0 is BAD, 1 is GOOD."]


def test_one_class_and_one_example() -> None:
    pipe = ours("text-classification", "two")
    found = evaluated(pipe, SENTENCES, ["GOOD"] * len(SENTENCES))
    assert found.scores["matthews_correlation"] == 0.0 and found.scores["accuracy"] == found.scores["recall"] * 2
    found = evaluated(pipe, SENTENCES[:1], ["GOOD"])
    assert found.intervals["accuracy"] == (found.scores["accuracy"],) * 2
    number = evaluated(ours("text-classification", "number"), SENTENCES[:1], [2.0])
    assert np.isnan(number.scores["pearson"]) and np.isnan(number.intervals["pearson"]).all()


@pytest.mark.parametrize(
    ("inputs", "truths", "options", "match"),
    [
        ([], [], {}, "no examples to evaluate"),
        (["a", 3], ["BAD", "GOOD"], {}, "^Line 2 of dev.tsv: text-classification takes a text"),
        (["a"], ["BAD"], {"average": "marco"}, "Did you mean 'macro'"),
        (["a"], ["BAD"], {"confidence": 2}, "confidence is 2"),
        (["a", "b"], ["bad", "x"], {}, "labels: 'bad' in 1, 'x' in 1"),
    ],
)
def test_invalid_examples(inputs: list[Any], truths: list[Any], options: dict[str, Any], match: str) -> None:
    with pytest.raises(BertkitError, match=match) as caught:
        evaluated(ours("text-classification", "two"), inputs, truths, **options)
    assert isinstance(caught.value, (DataError, UsageError))


def test_averages_that_do_not_fit() -> None:
    with pytest.raises(UsageError, match="average='binary' needs a model with two labels"):
        evaluated(ours("text-classification", "five"), ["a"], ["LABEL_0"], average="binary")
    with pytest.raises(UsageError, match="has no effect for regression"):
        evaluated(ours("text-classification", "number"), ["a"], [1.0], average="macro")


def test_invalid_thresholds() -> None:
    pipe = of_config("tags", "ForSequenceClassification", thresholds={"LABEL_9": 0.5})
    with pytest.raises(ConfigError, match="has 'LABEL_9': 0.5, and must be {label: number}"):
        pipe("a", threshold="auto")
    questions = of_config("answers", "ForQuestionAnswering", null_score_diff_threshold="0")
    with pytest.raises(
        ConfigError, match="null_score_diff_threshold of the configuration is '0', and must be a number"
    ):
        questions(QUESTIONS[0], handle_impossible_answer=True)
    with pytest.raises(UsageError, match="threshold='high' is not a number"):
        pipe("a", threshold="high")
    with pytest.raises(UsageError, match="needs a model with labels"):
        ours("text-classification", "number")("a", threshold=0.5)


def test_threshold_of_a_call() -> None:
    pipe = ours("text-classification", "tags")
    every = pipe(SENTENCES[0], top_k=None)
    assert pipe(SENTENCES[0], threshold=0.0) == every and pipe(SENTENCES[0], threshold=1) == []
    least = every[1]["score"]
    assert pipe(SENTENCES[0], threshold=least) == every[:1]
    assert pipe([SENTENCES[0]], threshold=0.0, top_k=2) == [every[:2]]


def test_predictions_file(tmp_path: Path) -> None:
    found = evaluated(ours("text-classification", "two"), SENTENCES, drawn(len(SENTENCES), ["BAD", "GOOD"]))
    found.write(tmp_path / "predictions.jsonl")
    lines = (tmp_path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == found.predictions
