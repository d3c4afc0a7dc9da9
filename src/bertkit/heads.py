"""The table of heads: the nine classes of BERT, each described once.

A row has the parts that a class adds to the embeddings and layers, its outputs, its labels and its tasks. Loading, the
reference, the engines and the classes of each framework all read this table. A new head needs one row here, a class with two
methods in each framework, and a function in `reference/`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from bertkit import outputs
from bertkit.errors import Setting, UsageError, did_you_mean

Grain = Literal["row", "token", "place", "group"]
"""What an array has one entry for: a row, a token, a position at which words are predicted, or a group of rows (choices)."""

IGNORED = -100
"""The label of positions that do not count in the loss."""


@dataclass(frozen=True)
class Output:
    """One array that a head computes. `part` has the parameters of its last layer: outputs of the same part mean the same.

    `padding` is the output's value at padding. Where all positions of a row compete, as for the start and end of an answer, it
    is -inf, which means the lowest number of the output's type.
    """

    grain: Grain
    part: str = ""
    padding: float = 0.0


@dataclass(frozen=True)
class Head:
    """One class of BERT."""

    parts: tuple[str, ...]  # prefixes of the parameters that it adds to the embeddings and layers
    output: type[outputs.ModelOutput]
    outputs: Mapping[str, Output]
    labels: Mapping[str, Grain]  # the label arguments of a forward, in the order of the outputs that they belong to
    tasks: tuple[str, ...]  # the first one is the default task
    classes: int | None = None  # outputs of its classifier; None: one for each label of the configuration


POOLER, WORDS, NEXT, CLASSIFIER, ANSWERS = (
    "bert.pooler.",
    "cls.predictions.",
    "cls.seq_relationship.",
    "classifier.",
    "qa_outputs.",
)

HEADS: dict[str, Head] = {
    "Model": Head(
        (POOLER,),
        outputs.BaseModelOutputWithPoolingAndCrossAttentions,
        {"last_hidden_state": Output("token"), "pooler_output": Output("row", POOLER)},
        {},
        ("feature-extraction", "sentence-similarity", "sentence-embedding"),
    ),
    "ForPreTraining": Head(
        (POOLER, WORDS, NEXT),
        outputs.BertForPreTrainingOutput,
        {"prediction_logits": Output("place", WORDS), "seq_relationship_logits": Output("row", NEXT)},
        {"labels": "token", "next_sentence_label": "row"},
        ("fill-mask", "next-sentence-prediction", "sentence-scoring", "pretraining"),
    ),
    "ForMaskedLM": Head(
        (WORDS,),
        outputs.MaskedLMOutput,
        {"logits": Output("place", WORDS)},
        {"labels": "token"},
        ("fill-mask", "sentence-scoring"),
    ),
    "LMHeadModel": Head(
        (WORDS,),
        outputs.CausalLMOutputWithCrossAttentions,
        {"logits": Output("place", WORDS)},
        {"labels": "token"},
        ("sentence-scoring", "fill-mask", "text-generation"),
    ),
    "ForNextSentencePrediction": Head(
        (POOLER, NEXT),
        outputs.NextSentencePredictorOutput,
        {"logits": Output("row", NEXT)},
        {"labels": "row"},
        ("next-sentence-prediction",),
    ),
    "ForSequenceClassification": Head(
        (POOLER, CLASSIFIER),
        outputs.SequenceClassifierOutput,
        {"logits": Output("row", CLASSIFIER)},
        {"labels": "row"},
        ("text-classification", "zero-shot-classification"),
    ),
    "ForMultipleChoice": Head(
        (POOLER, CLASSIFIER),
        outputs.MultipleChoiceModelOutput,
        {"logits": Output("row", CLASSIFIER)},
        {"labels": "group"},
        ("multiple-choice",),
        classes=1,
    ),
    "ForTokenClassification": Head(
        (CLASSIFIER,),
        outputs.TokenClassifierOutput,
        {"logits": Output("token", CLASSIFIER)},
        {"labels": "token"},
        ("token-classification",),
    ),
    "ForQuestionAnswering": Head(
        (ANSWERS,),
        outputs.QuestionAnsweringModelOutput,
        {name: Output("token", ANSWERS, padding=-math.inf) for name in ("start_logits", "end_logits")},
        {"start_positions": "row", "end_positions": "row"},
        ("question-answering",),
    ),
}
"""Class suffix -> head. The class name is "Bert" and the suffix."""


PAIR = "EncoderDecoderModel"
"""The class of two BERTs, a Model that reads and an LMHeadModel that writes."""

PAIR_TASKS = ("summarization", "text2text-generation")


PARTS = tuple(dict.fromkeys(part for head in HEADS.values() for part in head.parts))
"""The parts that not all classes have."""


def head_of(architecture: str) -> str:
    """The class suffix of a class name, in any framework.

    >>> head_of("TFBertForMaskedLM"), head_of("BertModel"), head_of("FlaxBertForCausalLM")
    ('ForMaskedLM', 'Model', 'LMHeadModel')
    """
    head = architecture.removeprefix("TF").removeprefix("Flax").removeprefix("Bert")
    head = "LMHeadModel" if head == "ForCausalLM" else head
    if head not in HEADS:
        raise UsageError(
            f"{architecture!r} is not a class of BERT: choose one of {', '.join('Bert' + known for known in HEADS)}."
            f"{did_you_mean('Bert' + head, ['Bert' + known for known in HEADS])}"
        )
    return head


def a_class(head: str) -> str:
    """The name of the PyTorch class, after its article.

    >>> a_class("ForMaskedLM"), a_class(PAIR)
    ('a BertForMaskedLM', 'an EncoderDecoderModel')
    """
    return f"an {PAIR}" if head == PAIR else f"a Bert{head}"


def tasks_of(head: str) -> list[str]:
    """The tasks that a class can do, the main one first. Every class of BERT can do what BertModel can.

    >>> tasks_of("ForMaskedLM")
    ['fill-mask', 'sentence-scoring', 'feature-extraction', 'sentence-similarity', 'sentence-embedding']
    """
    if head == PAIR:
        return list(PAIR_TASKS)
    return list(dict.fromkeys([*HEADS[head].tasks, *HEADS["Model"].tasks]))


def counterparts(head: str, other: str, names: Iterable[str]) -> dict[str, str]:
    """Outputs of one class -> the outputs of another class that are computed by the same part.

    >>> counterparts("ForMaskedLM", "ForPreTraining", ["logits"])
    {'logits': 'prediction_logits'}
    """
    if head == other:
        return {name: name for name in names}
    there = {output.part: name for name, output in HEADS[other].outputs.items()}
    return {name: there[HEADS[head].outputs[name].part] for name in names}


@dataclass(frozen=True)
class Writing:
    """How an engine continues each row, or answers it, with new words."""

    settings: Mapping[str, object] = field(default_factory=dict)  # of GenerationConfig
    usual: Mapping[str, object] = field(default_factory=dict)  # the same, for what `settings` leaves out
    seed: int | None = None  # of sampling; None: a random one


@dataclass(frozen=True)
class Ask:
    """The outputs that are requested from an engine.

    >>> Ask(("logits",), layers=(12,)).grains("ForMaskedLM")
    {'logits': 'place', 'hidden_states': 'token'}
    """

    outputs: tuple[str, ...] = ()  # outputs of the head, by their names in HEADS
    layers: tuple[
        int, ...
    ] = ()  # layers to return hidden states of, [T, layers, H]: 0 is the embeddings, 1 the first layer
    pooled: bool = False  # the pooler's output for each row, [N, H]
    log_probs: bool = False  # log-probabilities of the target words, [M], instead of logits for the whole vocabulary
    writing: Writing | None = None  # new words for each row, [N, texts, words], -1 after the end of the longest text

    def grains(self, head: str) -> dict[str, Grain]:
        """The names of the arrays to return, and what each has one entry for."""
        found = {name: HEADS[head].outputs[name].grain for name in self.outputs}
        further: dict[str, tuple[object, Grain]] = {
            "hidden_states": (self.layers, "token"),
            "pooler_output": (self.pooled, "row"),
            "log_probs": (self.log_probs, "place"),
            "sequences": (self.writing, "row"),
        }
        return found | {name: grain for name, (wanted, grain) in further.items() if wanted}

    def check(self, head: str, pooler: bool, labels: bool) -> None:
        """Raises UsageError for an output that the class does not have, a missing pooler, or a batch without labels."""
        if self.pooled and not pooler:
            advice = Setting("pooling", "mean")
            raise UsageError(
                "pooling needs a pooler, and this model has no pooler: type ", advice, ", or load a model with one."
            )
        if self.log_probs and not labels:
            raise UsageError('log_probs needs positions in each row, and the words there as the target "labels".')
        for name in self.outputs:
            if name not in HEADS[head].outputs:
                raise UsageError(f"Bert{head} has no output {name!r}: choose {', '.join(HEADS[head].outputs)}.")
