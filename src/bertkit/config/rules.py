"""What a BertConfig may say: the values of each field, and which contradict each other."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from itertools import chain
from types import NoneType
from typing import TYPE_CHECKING, Any

from bertkit.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from bertkit.config.bert import BertConfig

_Range = tuple[tuple[type[Any], ...], float, float, str]

ACTIVATIONS = ("gelu", "gelu_new", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh")
"""`gelu` is the exact one (erf), `gelu_new` and `gelu_pytorch_tanh` its tanh approximation, `swish` another name of `silu`."""

ATTENTION = ("sdpa", "eager", "flash_attention_2")
"""How attention is computed: by fused kernels, or as it is written in the paper. The last is another name of the first."""

POSITIONS = ("absolute", "relative_key", "relative_key_query")
PROBLEMS = (None, "regression", "single_label_classification", "multi_label_classification")

# Valid numbers: types, least, most, and the text of an error. bool is refused, although it is an int in Python. Maxima keep a
# small file from requesting endless memory.
_MOST_LAYERS, _MOST_LABELS = 9_999, 1_000_000
_LARGEST = sys.float_info.max
_COUNT: _Range = ((int,), 1, 2**31 - 1, "a whole number from 1 to 2,147,483,647")
_CHANCE: _Range = ((int, float), 0, math.nextafter(1, 0), "a number from 0 up to, not including, 1")
_RANGES: dict[str, _Range] = {
    "vocab_size": _COUNT,
    "hidden_size": _COUNT,
    "num_hidden_layers": ((int,), 1, _MOST_LAYERS, f"a whole number from 1 to {_MOST_LAYERS:,}"),
    "num_attention_heads": _COUNT,
    "intermediate_size": _COUNT,
    "max_position_embeddings": _COUNT,
    "type_vocab_size": _COUNT,
    "hidden_dropout_prob": _CHANCE,
    "attention_probs_dropout_prob": _CHANCE,
    "classifier_dropout": ((int, float, NoneType), *_CHANCE[1:3], f"None or {_CHANCE[3]}"),
    "initializer_range": ((int, float), 0, _LARGEST, "a number, 0 or above"),
    "layer_norm_eps": ((int, float), math.nextafter(0, 1), _LARGEST, "a number above 0"),
    "chunk_size_feed_forward": ((int,), 0, math.inf, "a whole number, 0 or above"),
}
_SWITCH = (True, False, None)  # null in a file means False
_CHOICES: dict[str, tuple[object, ...]] = {
    "hidden_act": ACTIVATIONS,
    "position_embedding_type": POSITIONS,
    "problem_type": PROBLEMS,
    **dict.fromkeys(("is_decoder", "add_cross_attention", "use_cache", "tie_word_embeddings"), _SWITCH),
    **dict.fromkeys(("output_hidden_states", "return_dict"), _SWITCH),
}


def check(config: BertConfig) -> None:
    """Raises ConfigError for an invalid value, or values that contradict each other."""
    for name, (types, least, most, accepted) in _RANGES.items():
        value = getattr(config, name)
        if isinstance(value, types) and not isinstance(value, bool) and (value is None or least <= value <= most):
            continue
        raise ConfigError(f"{name} is {value!r:.80}, and must be {accepted}.")
    for name, choices in _CHOICES.items():
        if (value := getattr(config, name)) not in choices:
            words = [c for c in choices if isinstance(c, str)]
            near = did_you_mean(value[:80], words) if isinstance(value, str) else ""
            raise ConfigError(f"{name} is {value!r:.80}, and must be one of {', '.join(map(str, choices))}.{near}")
    for sentence in chain(_of_shape(config), _of_tokens(config), _of_labels(config)):
        raise ConfigError(sentence)


def _of_shape(config: BertConfig) -> Iterator[str]:
    """A sentence for each contradiction of sizes and switches."""
    layers, heads, hidden = config.num_hidden_layers, config.num_attention_heads, config.hidden_size
    if hidden % heads:
        yield (
            f"hidden_size {hidden} is not a multiple of num_attention_heads {heads}: choose for example "
            f"hidden_size={max(1, round(hidden / heads)) * heads}."
        )
    for layer, gone in config.pruned_heads.items():
        if not 0 <= layer < layers or any(not 0 <= head < heads for head in gone):
            yield (
                f"pruned_heads has {gone!r:.80} for layer {layer}, and layers are 0 to {layers - 1}, heads 0 to {heads - 1}."
            )
        elif len(gone) == heads:
            yield f"pruned_heads removes all {heads} heads of layer {layer}: keep at least one."
    if config.add_cross_attention and not config.is_decoder:
        yield "add_cross_attention=True requires a decoder: add is_decoder=True."


def _of_tokens(config: BertConfig) -> Iterator[str]:
    """A sentence for each invalid number of a special token."""
    pad = config.pad_token_id
    if pad is not None and not (type(pad) is int and 0 <= pad < config.vocab_size):
        yield f"pad_token_id is {pad!r:.80}, and must be None or below vocab_size {config.vocab_size}."
    for name in ("bos_token_id", "eos_token_id"):
        given = getattr(config, name)
        if not all(type(token) is int for token in (given if isinstance(given, list) else [given or 0])):
            yield f"{name} is {given!r:.80}, and must be None or the number of a token."


def _of_labels(config: BertConfig) -> Iterator[str]:
    """A sentence for each invalid label or name of a class."""
    labels, classes = config.id2label, config.architectures
    if labels.keys() != set(range(len(labels))):
        numbers = ", ".join(map(str, sorted(labels)[:8])) + (", ..." if len(labels) > 8 else "")
        yield (
            f"id2label has the numbers {numbers}, and {len(labels)} labels must be numbered from 0 to {len(labels) - 1}: "
            "change the numbers, or pass only num_labels."
        )
    for label in labels.values():
        if not isinstance(label, (str, int, float)):
            yield f"id2label has the label {label!r:.80}, and a label must be a string."
    if classes is not None and not (isinstance(classes, list) and all(isinstance(name, str) for name in classes)):
        yield f"architectures is {classes!r:.80}, and must be None or names of classes: ['BertForMaskedLM']."


# Labels and pruned heads, as callers and files spell them.


def read_labels(
    count: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, Any] | None
) -> dict[str, dict[int, str] | dict[str, int]]:
    """id2label and label2id, from any of the three arguments."""
    if isinstance(count, int) and count > _MOST_LABELS:
        raise ConfigError(f"num_labels is {count!r:.80}, and must be at most {_MOST_LABELS:,}.")
    try:
        if id2label:
            pairs = [(int(i), label) for i, label in id2label.items()]
        elif label2id:
            pairs = [(int(i), label) for label, i in label2id.items()]
        else:
            pairs = [(i, f"LABEL_{i}") for i in range(2 if count is None else count)]
        names = dict(pairs)
        numbers = {
            label: int(i) for label, i in (label2id.items() if label2id else zip(names.values(), names, strict=True))
        }
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"Labels must be id2label={{0: 'first', 1: 'second', ...}}, or a num_labels above 0: {error}."
        ) from error
    if len(names) != len(pairs):
        raise ConfigError("Two labels have the same number, such as '0' and '00': number them 0, 1, 2, ...")
    if len(names) > _MOST_LABELS:
        raise ConfigError(f"There are {len(names)} labels, and must be at most {_MOST_LABELS:,}.")
    if not names or (count is not None and count != len(names)):
        raise ConfigError(
            f"num_labels is {count!r:.80}, and id2label has {len(names)}: pass one of them, or equal numbers."
        )
    return {"id2label": names, "label2id": numbers}


def read_pruned(heads: Any) -> dict[int, list[int]]:
    """Pruned heads by layer, sorted, each once."""
    try:
        if any(isinstance(of_layer, str) for of_layer in heads.values()):
            raise TypeError("a string is not a list of heads")
        return {int(layer): sorted({int(head) for head in of_layer}) for layer, of_layer in heads.items()}
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"pruned_heads is {heads!r:.80}, and must be {{layer: [heads]}}, such as {{0: [2, 5]}}."
        ) from error


def without_old_labels(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a file, without its labels if the overrides have other labels or another number of them."""
    count = overrides.get("num_labels")
    if not overrides.keys() & {"id2label", "label2id"} and count in (None, len(values.get("id2label") or ())):
        return dict(values)
    return {name: value for name, value in values.items() if name not in ("num_labels", "id2label", "label2id")}
