"""The cases of the conformance suite: configurations, weights and inputs, all made from seeds.

`tests/oracles/torch_transformers4.py` runs them in an environment with transformers 4.57.6, and records the outputs. The tests in
this folder run them in bertkit and in transformers 5.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tiny

from bertkit.config import BertConfig
from bertkit.heads import HEADS
from bertkit.parameters import expand, kept_heads

Arrays = dict[str, np.ndarray]
ROWS, LENGTH, CHOICES, ENCODED = 3, 9, 2, 6  # sequences, tokens of each, choices of each, tokens of the encoder
LENGTHS = (9, 5, 7)
OF_TOKENS = ("ForMaskedLM", "LMHeadModel", "ForPreTraining", "ForTokenClassification")  # heads with labels of tokens
LABELS = ("labels", "next_sentence_label", "start_positions", "end_positions")
ATTENTIONS = ("attentions", "cross_attentions")


@dataclass(frozen=True)
class Case:
    """A class, its configuration, and the arguments of one forward."""

    name: str
    head: str
    given: dict[str, Any] = field(default_factory=dict)  # fields of the configuration
    inputs: Arrays = field(default_factory=dict)
    only4: bool = False  # transformers 5 no longer supports it
    differentiable: bool = True
    cached: bool = False  # also computed token by token, with a cache

    @property
    def config(self) -> BertConfig:
        """A tiny configuration. All sizes differ. Without dropout, training and evaluation give the same outputs."""
        sizes = {"vocab_size": 41, "hidden_size": 16, "num_attention_heads": 4, "intermediate_size": 20}
        labels = {"num_labels": 2 if self.head == "ForQuestionAnswering" else 3}
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        return tiny.config(**(sizes | labels | dropout | {"max_position_embeddings": 12} | self.given))

    @property
    def whole_weights(self) -> Arrays:
        """The weights before pruning, large enough that each parameter changes the outputs."""
        config = self.config
        config.pruned_heads = {}
        found = {}
        for name, parameter in expand(config, self.head).items():
            found[name] = tiny.numbers(name, parameter.shape) * np.float32(0.3)
            if parameter.kind == "norm":
                found[name] += 1
        return found

    @property
    def weights(self) -> Arrays:
        """The weights after pruning, cut out of the whole weights."""
        config, found = self.config, self.whole_weights
        width = config.hidden_size // config.num_attention_heads
        for layer in config.pruned_heads:
            rows = np.concatenate([np.arange(head * width, (head + 1) * width) for head in kept_heads(config, layer)])
            prefix = f"bert.encoder.layer.{layer}.attention."
            for name in [name for name in found if name.startswith(prefix + "self.") and "distance" not in name]:
                found[name] = found[name][rows]
            found[prefix + "output.dense.weight"] = found[prefix + "output.dense.weight"][:, rows]
        return found

    @property
    def real(self) -> np.ndarray:
        """True at tokens that are not padding, [B, L]. With a mask of pairs, all are real."""
        mask = self.inputs.get("attention_mask")
        if mask is None or (mask.ndim == 3 and self.head != "ForMultipleChoice"):
            array = self.inputs.get("input_ids", self.inputs.get("inputs_embeds"))
            shape = array.shape[:3] if self.head == "ForMultipleChoice" else array.shape[:2]
            return np.ones((np.prod(shape[:-1]), shape[-1]), bool)
        if self.head == "ForMultipleChoice":
            mask = mask.reshape(-1, mask.shape[-1])
        return mask.astype(bool)

    @property
    def pools_first(self) -> bool:
        """Whether each first position is real: transformers pools it then, as bertkit does."""
        return bool(self.real[:, 0].all())


def cases() -> dict[str, Case]:
    """All cases by name."""
    found: dict[str, Case] = {}

    def add(name: str, head: str = "Model", given: dict[str, Any] | None = None, **options: Any) -> None:
        inputs = {key: value for key, value in options.pop("inputs").items() if value is not None}
        found[f"{head}/{name}"] = Case(f"{head}/{name}", head, given or {}, inputs, **options)

    for head in HEADS:
        decoder = {"is_decoder": True} if head == "LMHeadModel" else {}
        add("plain", head, decoder, inputs=tokens(head) | labels(head))
        add("padded", head, decoder, inputs=tokens(head) | types(head) | padding(head) | labels(head, padding(head)))
    base, right = tokens("Model"), padding("Model")
    mask = right["attention_mask"]
    left = mask[:, ::-1].copy()
    for kind, array in (
        ("left padding", left),
        ("holes", numbers("holes", 0, 2, mask.shape) | (np.arange(LENGTH) < 1)),
    ):
        add(kind, inputs=base | {"attention_mask": array})
    add("empty row", inputs=base | {"attention_mask": mask * np.array([[1], [0], [1]])})
    pairs = mask[:, None] * mask[:, :, None] * (numbers("pairs", 0, 3, (ROWS, LENGTH, LENGTH)) > 0)
    isolated = {"attention_mask": pairs.copy()}
    pairs |= np.eye(LENGTH, dtype=int)
    # A position that may attend to none attends to all with the same weight. Fused attention has a wrong gradient there.
    add("mask of pairs, some positions attend to none", inputs=base | isolated, only4=True)
    add("mask of pairs", inputs=base | {"attention_mask": pairs}, only4=True)
    add("mask of pairs, decoder", given={"is_decoder": True}, inputs=base | {"attention_mask": pairs}, only4=True)
    add("positions", inputs=base | right | {"position_ids": numbers("positions", 0, 12, (ROWS, LENGTH))})
    add("embedded", inputs=right | {"inputs_embeds": states("embedded", LENGTH)})
    for act in ("gelu_new", "gelu_pytorch_tanh", "relu", "silu", "tanh"):
        add(act, "ForMaskedLM", {"hidden_act": act}, inputs=base | right | labels("ForMaskedLM", right))
    add("feed-forward in chunks", given={"chunk_size_feed_forward": 3}, inputs=base | right)
    # Not in transformers 5.
    of_heads = {"head_mask": np.array([1, 0.5, 0, 1], np.float32)}
    of_layers = {"head_mask": np.array([[1, 0.5, 0, 1], [0, 1, 1, 0.25]], np.float32)}
    pruned = {"pruned_heads": {0: [1], 1: [0, 3]}}
    add("head mask", inputs=base | right | of_heads, only4=True)
    add("head mask by layer", inputs=base | right | of_layers, only4=True)
    add("pruned", given=pruned, inputs=base | right, only4=True)
    add("pruned", "ForMaskedLM", pruned, inputs=base | right | labels("ForMaskedLM", right), only4=True)
    add(
        "head mask",
        "ForSequenceClassification",
        inputs=base | of_layers | labels("ForSequenceClassification"),
        only4=True,
    )
    for kind in ("relative_key", "relative_key_query"):
        given = {"position_embedding_type": kind}
        add(kind, given=given, inputs=base | right, only4=True)
        add(f"{kind}, left padding", given=given, inputs=base | {"attention_mask": left}, only4=True)
        add(f"{kind}, decoder", given=given | {"is_decoder": True}, inputs=base | right, only4=True, cached=True)
        add(kind, "ForMaskedLM", given, inputs=base | labels("ForMaskedLM"), only4=True)
    # Decoders.
    decoder = {"is_decoder": True}
    both = decoder | {"add_cross_attention": True}
    encoder = {"encoder_hidden_states": states("encoder", ENCODED)}
    seen = {"encoder_attention_mask": (np.arange(ENCODED) < np.array([[6], [3], [4]])).astype(int)}
    add("decoder", given=decoder, inputs=base | right, cached=True)
    add("decoder, left padding", given=decoder, inputs=base | {"attention_mask": left}, cached=True)
    add("decoder, cross-attention", given=both, inputs=base | right | encoder, cached=True)
    add("decoder, masked cross-attention", given=both, inputs=base | right | encoder | seen, cached=True)
    add("decoder without an encoder", given=both, inputs=base | right)
    add("decoder, cross-attention, head mask", given=both, inputs=base | right | encoder | of_layers, only4=True)
    add(
        "decoder, cross-attention, relative_key",
        given=both | {"position_embedding_type": "relative_key"},
        inputs=base | encoder,
        only4=True,
    )
    lm = base | right | labels("LMHeadModel", right)
    add("masked cross-attention", "LMHeadModel", both, inputs=lm | encoder | seen, cached=True)
    add("not a decoder", "LMHeadModel", inputs=lm)
    add("labels on padding", "LMHeadModel", decoder, inputs=base | right | labels("LMHeadModel"))
    before = {"attention_mask": left}  # the last padding predicts the first word, and may attend to none
    add("left padding", "LMHeadModel", decoder, inputs=base | before | labels("LMHeadModel", before))
    # Heads and losses.
    add("labels on padding", "ForMaskedLM", inputs=base | right | labels("ForMaskedLM"))
    add("no labels", "ForMaskedLM", inputs=base | right)
    add("all labels -100", "ForMaskedLM", inputs=base | {"labels": np.full((ROWS, LENGTH), -100)}, differentiable=False)
    add("untied", "ForMaskedLM", {"tie_word_embeddings": False}, inputs=base | right | labels("ForMaskedLM", right))
    masked = labels("ForPreTraining", right)
    add("no next_sentence_label", "ForPreTraining", inputs=base | right | {"labels": masked["labels"]})
    add("no labels", "ForPreTraining", inputs=base | {"next_sentence_label": masked["next_sentence_label"]})
    add("labels on padding", "ForTokenClassification", inputs=base | right | labels("ForTokenClassification"))
    empty = {"attention_mask": mask * np.array([[1], [0], [1]])}
    for head in ("ForTokenClassification", "ForQuestionAnswering"):
        add("row of padding, labels on padding", head, inputs=base | empty | labels(head))
    classes, shape = "ForSequenceClassification", (ROWS, 3)
    real, yes = states("numbers", 3)[:, 0, :3], numbers("yes", 0, 2, shape).astype(np.float32)
    for kind, given, wanted in (
        ("regression", {"num_labels": 1}, real[:, 0]),
        ("regression, a column", {"num_labels": 1}, real[:, :1]),
        ("regression of several numbers", {"problem_type": "regression"}, real),
        ("single label", {"problem_type": "single_label_classification"}, np.array([2, -100, 1])),
        ("multi-label", {"problem_type": "multi_label_classification"}, yes),
        ("multi-label, no problem_type", {}, yes),
    ):
        add(kind, classes, given, inputs=base | right | {"labels": wanted})
    qa = "ForQuestionAnswering"
    outside = {"start_positions": np.array([-3, 2, 9]), "end_positions": np.array([8, 40, 0])}
    add("positions outside", qa, inputs=base | right | outside)
    add("positions as a column", qa, inputs=base | {name: array[:, None] for name, array in labels(qa).items()})
    add("no end_positions", qa, inputs=base | {"start_positions": np.array([0, 1, 2])})
    embedded = states("choices", CHOICES * LENGTH).reshape(ROWS, CHOICES, LENGTH, -1)
    add(
        "embedded",
        "ForMultipleChoice",
        inputs=padding("ForMultipleChoice") | labels("ForMultipleChoice") | {"inputs_embeds": embedded},
    )
    return found


# Inputs.


def numbers(seed: str, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random whole numbers, seeded by a name."""
    return np.random.default_rng(zlib.crc32(seed.encode())).integers(low, high, shape)


def states(seed: str, length: int) -> np.ndarray:
    """Random floats [B, length, H], seeded by a name."""
    return tiny.numbers(seed, (ROWS, length, 16))


def shape(head: str) -> tuple[int, ...]:
    """The shape of input_ids: [B, L], or [B, choices, L]."""
    return (ROWS, CHOICES, LENGTH) if head == "ForMultipleChoice" else (ROWS, LENGTH)


def tokens(head: str) -> Arrays:
    """Ids without the padding token: only the mask marks padding."""
    return {"input_ids": numbers("words", 1, 41, shape(head))}


def types(head: str) -> Arrays:
    """Random token types 0 and 1."""
    return {"token_type_ids": numbers("types", 0, 2, shape(head))}


def padding(head: str) -> Arrays:
    """A mask of three lengths, with padding on the right. Each further choice of a sequence is one token shorter."""
    lengths = np.array(LENGTHS)[:, None]
    if head == "ForMultipleChoice":
        lengths = lengths[:, None] - np.arange(CHOICES)[:, None]
    return {"attention_mask": (np.arange(LENGTH) < lengths).astype(int)}


def labels(head: str, padded: Arrays | None = None) -> Arrays:
    """All labels of a class. A third of the labels of tokens are -100. padded: a mask, at whose padding labels are -100, too."""
    if head == "Model":
        return {}
    if head == "ForQuestionAnswering":
        return {"start_positions": np.array([1, 0, 3]), "end_positions": np.array([7, 4, 3])}
    if head not in OF_TOKENS:
        return {"labels": np.array([1, 0, 1])}
    of_tokens = numbers("labels", 0, 3 if head == "ForTokenClassification" else 41, (ROWS, LENGTH))
    of_tokens[numbers("no label", 0, 3, of_tokens.shape) == 0] = -100
    if padded:
        of_tokens[padded["attention_mask"] == 0] = -100
    return {"labels": of_tokens} | ({"next_sentence_label": np.array([1, 0, 0])} if head == "ForPreTraining" else {})


# Outputs.


OBJECTIVE = (
    "last_hidden_state",
    "pooler_output",
    "logits",
    "prediction_logits",
    "seq_relationship_logits",
    "start_logits",
)


def objective(case: Case, outputs: Any) -> Iterator[tuple[Any, np.ndarray]]:
    """The outputs whose weighted sum is differentiated if there is no loss, with their weights, zeros at padding."""
    for name in OBJECTIVE:
        value = outputs.get(name)
        if value is not None and (name != "pooler_output" or case.pools_first):
            yield value, visible(case, name, tiny.numbers(f"objective {name}", tuple(value.shape)))


def projections(name: str, gradient: np.ndarray) -> np.ndarray:
    """A gradient as three numbers: its products with random vectors."""
    directions = tiny.numbers(f"directions {name}", (3, gradient.size))
    return (directions.astype(np.float64) @ gradient.reshape(-1).astype(np.float64)).astype(np.float32)


def visible(case: Case, name: str, array: np.ndarray) -> np.ndarray:
    """An output with zeros at padding, where implementations may differ: at tokens, or at the queries of [B, A, L, L]."""
    real = case.real
    if name in ATTENTIONS:  # of the layers
        return np.where(real[:, None, :, None], array, np.float32(0))
    if array.shape[:2] == real.shape and array.ndim > 1 and name not in ("pooler_output", "seq_relationship_logits"):
        return np.where(real.reshape(real.shape + (1,) * (array.ndim - 2)), array, np.float32(0))
    return array
