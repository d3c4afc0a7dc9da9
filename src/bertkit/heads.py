"""The table of heads: the nine classes of BERT, each described once.

A row says which parts a class adds to the embeddings and layers, what it returns, which labels it takes and what it is used for.
Loading, the reference, the engines and the classes of each framework all read this table. A new head is one row here, a class
with two methods in each framework, and a function in `reference/`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from bertkit import outputs
from bertkit.errors import Setting, UsageError, did_you_mean

Grain = Literal["row", "token", "place", "group"]
"""What an array has one entry for: a row, a token, a place where the words are predicted, or a group of rows."""

IGNORED = -100
"""The label of what has none."""


@dataclass(frozen=True)
class Output:
    """One array that a head makes. `part` holds the parameters of its last step: outputs of the same part mean the same.

    `padding` is what the output holds at padding. Zero is no answer where all positions of a row compete, as they do for the
    start and the end of an answer: -inf stands for the lowest number of the output's type.
    """

    grain: Grain
    part: str = ""
    padding: float = 0.0


@dataclass(frozen=True)
class Head:
    """One class."""

    parts: tuple[str, ...]  # what it adds to the embeddings and layers
    output: type[outputs.ModelOutput]
    outputs: Mapping[str, Output]
    labels: Mapping[str, Grain]  # the label arguments of a forward, in the order of the outputs that they belong to
    tasks: tuple[str, ...]  # the first is the main one
    classes: int | None = None  # of its classifier; None: as many as the configuration has labels


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
        ("feature-extraction", "sentence-similarity"),
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
        ("sentence-scoring", "fill-mask"),
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
"""Class suffix -> its row."""


PARTS = tuple(dict.fromkeys(part for head in HEADS.values() for part in head.parts))
"""What one class has and another leaves out."""


def head_of(architecture: str) -> str:
    """The class suffix of a class name, in any framework.

    >>> head_of("TFBertForMaskedLM"), head_of("BertModel"), head_of("FlaxBertForCausalLM")
    ('ForMaskedLM', 'Model', 'LMHeadModel')
    """
    head = architecture.removeprefix("TF").removeprefix("Flax").removeprefix("Bert")
    head = "LMHeadModel" if head == "ForCausalLM" else head
    if head not in HEADS:
        raise UsageError(
            f"{architecture!r} is no class of BERT; they are {', '.join('Bert' + known for known in HEADS)}."
            f"{did_you_mean('Bert' + head, ['Bert' + known for known in HEADS])}"
        )
    return head


def tasks_of(head: str) -> list[str]:
    """The tasks that a class can do, the main one first. Every class can do what BertModel can.

    >>> tasks_of("ForMaskedLM")
    ['fill-mask', 'sentence-scoring', 'feature-extraction', 'sentence-similarity']
    """
    return list(dict.fromkeys([*HEADS[head].tasks, *HEADS["Model"].tasks]))


def counterparts(head: str, other: str, names: Iterable[str]) -> dict[str, str]:
    """Outputs of one class -> the outputs of another class that are made by the same part.

    >>> counterparts("ForMaskedLM", "ForPreTraining", ["logits"])
    {'logits': 'prediction_logits'}
    """
    there = {output.part: name for name, output in HEADS[other].outputs.items()}
    return {name: name if head == other else there[HEADS[head].outputs[name].part] for name in names}


@dataclass(frozen=True)
class Ask:
    """What an engine is asked for.

    >>> Ask(("logits",), layers=(12,)).grains("ForMaskedLM")
    {'logits': 'place', 'hidden_states': 'token'}
    """

    outputs: tuple[str, ...] = ()  # of the head, by their names in HEADS
    layers: tuple[int, ...] = ()  # whose hidden states [T, layers, H]: 1 is the first layer, 0 the embeddings
    pooled: bool = False  # the vector [N, H] that the pooler makes of each row
    log_probs: bool = False  # [M], of the words in the targets, instead of logits for the whole vocabulary

    def grains(self, head: str) -> dict[str, Grain]:
        """The arrays that answer it, and what each has one entry for."""
        found = {name: HEADS[head].outputs[name].grain for name in self.outputs}
        further: dict[str, tuple[object, Grain]] = {
            "hidden_states": (self.layers, "token"),
            "pooler_output": (self.pooled, "row"),
            "log_probs": (self.log_probs, "place"),
        }
        return found | {name: grain for name, (wanted, grain) in further.items() if wanted}

    def check(self, head: str, pooler: bool, labels: bool) -> None:
        """Raises UsageError for what a class cannot answer, without a pooler, or for a batch without labels at its places."""
        if self.pooled and not pooler:
            advice = Setting("pooling", "mean")
            raise UsageError(
                "pooling needs a pooler, and this model has no pooler: type ", advice, ", or load one that has."
            )
        if self.log_probs and not labels:
            raise UsageError("log_probs need positions in each row, and the words there as the target named labels.")
        for name in self.outputs:
            if name not in HEADS[head].outputs:
                raise UsageError(f"Bert{head} has no output {name!r}; it has {', '.join(HEADS[head].outputs)}.")
