"""A class with the output that a task needs can do the task, even if the output has another name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import transformers
from pipeline_cases import SENTENCES, config
from pipeline_models import ours, tokenizer

from bertkit.config import BertConfig
from bertkit.engines.numpy import NumpyEngine
from bertkit.engines.torch import model_of
from bertkit.errors import UsageError
from bertkit.parameters import expand
from bertkit.pipelines import Pipeline, pipeline

MASKED = ["The [MASK] of it.", "A heavy [MASK] closed the [MASK] for three days."]


def weights(head: str, shape: BertConfig) -> dict[str, np.ndarray]:
    """Weights that depend only on a parameter's name, so that classes have the same values for shared parameters."""
    found = {}
    for name, parameter in expand(shape, head).items():
        normal = tiny.numbers(name, parameter.shape)
        found[name] = 1 + normal / 8 if parameter.kind == "norm" else normal / (8 if parameter.kind == "bias" else 2)
    return found


def of_class(task: str, head: str, kind: str, **settings: Any) -> Pipeline:
    """A pipeline on a PyTorch model, or on the NumPy engine."""
    shape = BertConfig.from_dict(config("masked").to_dict(), **settings)
    tensors = weights(head, shape)
    model: Any = NumpyEngine.open(tensors, shape, head)
    if kind == "torch":
        model = model_of(tensors, shape, head)
    return pipeline(task, model, tokenizer=tokenizer())


def alike(first: Any, second: Any) -> bool:
    """Whether two answers are equal except for rounding."""
    if isinstance(first, float):
        return math.isclose(first, second, abs_tol=1e-5)
    if isinstance(first, dict):
        return list(first) == list(second) and all(alike(first[key], second[key]) for key in first)
    if isinstance(first, list):
        return len(first) == len(second) and all(map(alike, first, second))
    return bool(first == second)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("head", ["ForPreTraining", "LMHeadModel"])
def test_every_class_with_logits_of_words_fills_masks(head: str, kind: str) -> None:
    for task, examples in (("fill-mask", MASKED), ("sentence-scoring", SENTENCES[:3])):
        assert alike(of_class(task, head, kind)(examples), of_class(task, "ForMaskedLM", kind)(examples))
    joint = of_class("fill-mask", head, kind)(MASKED[1], joint=True)
    assert alike(joint, ours("fill-mask", "masked")(MASKED[1], joint=True))
    targets = of_class("fill-mask", head, kind)(MASKED[0], targets=["photosynthesis", "river"])
    assert alike(targets, ours("fill-mask", "masked")(MASKED[0], targets=["photosynthesis", "river"]))


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_the_next_sentence_of_a_pretraining_model(kind: str) -> None:
    pairs = [(SENTENCES[5], SENTENCES[6]), (SENTENCES[2], SENTENCES[3]), (SENTENCES[0], SENTENCES[1])]
    single = of_class("next-sentence-prediction", "ForPreTraining", kind)("the river", "of it")
    assert alike(single, of_class("next-sentence-prediction", "ForNextSentencePrediction", kind)("the river", "of it"))
    found = of_class("next-sentence-prediction", "ForPreTraining", kind)(pairs, top_k=None)
    expected = of_class("next-sentence-prediction", "ForNextSentencePrediction", kind)(pairs, top_k=None)
    assert alike(found, expected)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_decoder_scores_from_left_to_right(kind: str) -> None:
    scoring = of_class("sentence-scoring", "LMHeadModel", kind, is_decoder=True)
    shape = scoring.config
    own = transformers.BertConfig(**shape.to_dict())
    theirs = transformers.BertLMHeadModel(own).eval()
    tensors = {name: torch.from_numpy(array) for name, array in weights("LMHeadModel", shape).items()}
    theirs.load_state_dict({**tensors, "cls.predictions.decoder.bias": tensors["cls.predictions.bias"]}, strict=False)
    for text in SENTENCES[:3]:
        ids = torch.tensor([tokenizer()(text)["input_ids"]])
        with torch.no_grad():
            logs = theirs(ids).logits[0].log_softmax(-1)
        expected = [logs[place, ids[0, place + 1]].item() for place in range(ids.shape[1] - 2)]  # all but [SEP]
        found = scoring(text, tokens=True)
        assert [one["log_prob"] for one in found["tokens"]] == pytest.approx(expected, abs=1e-4)
        assert found["log_likelihood"] == pytest.approx(sum(expected), abs=1e-3)
        assert found["n_tokens"] == len(expected)
    with pytest.raises(UsageError, match="decoder"):
        of_class("fill-mask", "LMHeadModel", kind, is_decoder=True)
    with pytest.raises(UsageError, match="decoder"):
        of_class("fill-mask", "ForMaskedLM", kind, is_decoder=True)


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_class_without_a_pooler_is_an_error(kind: str) -> None:
    embed = of_class("feature-extraction", "ForMaskedLM", kind)
    assert len(embed(SENTENCES[0], pooling="mean")) == 16
    with pytest.raises(UsageError, match='this model has no pooler: type pooling="mean"'):
        embed(SENTENCES[0], pooling="pooler")


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_a_text_without_a_token_is_refused(kind: str) -> None:
    classify = ours("text-classification", "five", kind)
    with pytest.raises(UsageError, match="has no tokens: type more text, or add_special_tokens=True"):
        classify("", add_special_tokens=False)
    found = classify(["a", ""], add_special_tokens=False, errors="return")
    assert found[0]["label"].startswith("LABEL") and isinstance(found[1], UsageError)


def test_an_object_runs_on_its_own_engine() -> None:
    shape = config("masked")
    tensors = weights("ForMaskedLM", shape)
    for model, options in (
        (model_of(tensors, shape, "ForMaskedLM"), {"engine": "numpy"}),
        (NumpyEngine.open(tensors, shape, "ForMaskedLM"), {"engine": "torch"}),
        (NumpyEngine.open(tensors, shape, "ForMaskedLM"), {"dtype": "float16"}),
        (NumpyEngine.open(tensors, shape, "ForMaskedLM"), {"device": "cpu"}),
    ):
        with pytest.raises(UsageError, match="needs a model that is passed by name"):
            pipeline("fill-mask", model, tokenizer=tokenizer(), **options)


def test_words_are_scored_by_their_tokens() -> None:
    fill = ours("fill-mask", "masked")
    answers = fill(["The [MASK] of it.", "a [MASK]"])
    best = [answer[0]["token_str"] for answer in answers]
    assert fill._task.score(answers, [word.upper() for word in best]) == {"accuracy": 1.0}
    joint = ours("pretraining", "joint")
    long = {"text": "the [MASK] was cold. " + " ".join(SENTENCES[:6]) + " the [MASK] end", "text_pair": "the river."}
    found = joint._task.score(joint.each([long]), [{"words": ["soup", "the"], "next_sentence": 0}])
    assert found["mask_accuracy"] == 0.0
