"""Options under the names of transformers' pipelines and tokenizers, and the arguments of a call, for each task."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest

from bertkit.errors import UsageError
from bertkit.pipelines.calls import calls_of, options_of
from bertkit.tasks import TASKS, task_class

LABELS = {"zero-shot-classification": {"candidate_labels": ["a"]}}


class Strategy(Enum):
    """An enumeration like that of transformers."""

    SIMPLE = "simple"


@pytest.mark.parametrize("task", TASKS)
def test_options_of_every_task(task: str) -> None:
    given = LABELS.get(task, {})
    usual = options_of(task, given)
    assert usual == options_of(task_class(task), given) == task_class(task).options(given)
    assert options_of(task, {**given, "stride": 3}).overlap == options_of(task, {**given, "doc_stride": 3}).overlap == 3
    with pytest.raises(UsageError, match=f"{task} has no option 'overlapp'. Did you mean 'overlap'"):
        options_of(task, {**given, "overlapp": 3})
    with pytest.raises(UsageError, match="overlap was passed twice, also under its other name"):
        options_of(task, {**given, "doc_stride": 3, "overlap": 3})


@pytest.mark.parametrize(
    ("task", "given", "own"),
    [
        ("fill-mask", {"top_k": None, "tokenizer_kwargs": {"truncation": True, "verbose": False}}, {"on_long": "truncate"}),
        ("fill-mask", {"tokenizer_kwargs": {"truncation": False}}, {}),
        ("text-classification", {"truncation": True, "return_tensors": "pt"}, {}),
        ("text-classification", {"truncation": True, "on_long": "error"}, {"on_long": "error"}),
        ("text-classification", {"function_to_apply": "SOFTMAX"}, {"function_to_apply": "softmax"}),
        ("token-classification", {"aggregation_strategy": "FIRST"}, {"aggregation_strategy": "first"}),
        ("token-classification", {"aggregation_strategy": Strategy.SIMPLE}, {"aggregation_strategy": "simple"}),
        ("token-classification", {"grouped_entities": True}, {"aggregation_strategy": "simple"}),
        ("token-classification", {"grouped_entities": True, "ignore_subwords": True}, {"aggregation_strategy": "first"}),
        ("token-classification", {"grouped_entities": False}, {"aggregation_strategy": "none"}),
        ("question-answering", {"topk": 3, "padding": "longest", "max_seq_len": None}, {"top_k": 3}),
        ("question-answering", {"topk": 3, "top_k": None}, {"top_k": 3}),
        ("zero-shot-classification", {"multi_class": 1, "candidate_labels": "a"}, {"multi_label": True, "candidate_labels": "a"}),
        ("feature-extraction", {"tokenize_kwargs": {"truncation": True}, "return_tensors": "pt"}, {"return_tensors": "pt"}),
        ("feature-extraction", {"return_tensors": None}, {}),
        ("sentence-similarity", {"tokenize_kwargs": {"max_length": 9}}, {"max_length": 9}),
    ],
)  # fmt: skip
def test_other_names(task: str, given: dict[str, Any], own: dict[str, Any]) -> None:
    assert options_of(task, given) == task_class(task).options(own)


def test_tasks_accept_only_the_names_of_bertkit() -> None:
    for name in ("stride", "truncation", "padding"):
        with pytest.raises(UsageError, match=f"has no option {name!r}"):
            task_class("text-classification").options({name: 1})
    with pytest.raises(UsageError, match="tokenizer_kwargs=3 is not a dictionary"):
        options_of("fill-mask", {"tokenizer_kwargs": 3})


@pytest.mark.parametrize(
    ("task", "args", "given", "read"),
    [
        ("fill-mask", ("a",), {}, ("a", True)),
        ("fill-mask", (), {"text": ["a"]}, (["a"], False)),
        ("text-classification", ("a",), {"text_pair": "b"}, ({"text": "a", "text_pair": "b"}, True)),
        ("token-classification", (["a", "b"],), {"is_split_into_words": True}, ([["a", "b"]], False)),
        ("question-answering", ("a", "b"), {}, ({"question": "a", "context": "b"}, True)),
        ("question-answering", (), {"question": "a", "context": ["b"]}, ({"question": "a", "context": "b"}, True)),
        (
            "question-answering", (), {"question": ["a", "b"], "context": "c"},
            ([{"question": "a", "context": "c"}, {"question": "b", "context": "c"}], False),
        ),
        ("question-answering", (), {"data": [{"question": "a"}]}, ({"question": "a"}, True)),
        ("multiple-choice", ("a",), {"choices": ["b"]}, ({"text": "a", "choices": ["b"]}, True)),
        ("next-sentence-prediction", ("a", "b"), {}, (("a", "b"), True)),
        ("pretraining", (("a", "b"),), {}, (("a", "b"), True)),
        ("pretraining", ([("a", "b")],), {}, ([("a", "b")], False)),
        ("sentence-similarity", ("a", "b"), {}, ({"source_sentence": "a", "sentences": ["b"]}, True)),
    ],
)  # fmt: skip
def test_arguments(task: str, args: tuple[Any, ...], given: dict[str, Any], read: tuple[Any, bool]) -> None:
    options = {"top_k": 3, **given}
    assert calls_of(task).read(args, options) == read
    assert options.pop("top_k") == 3 and set(options) <= {"is_split_into_words"}
