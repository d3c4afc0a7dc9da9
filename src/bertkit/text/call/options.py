"""The options of a call: checked, and what they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import NoneType
from typing import Any, Literal, NamedTuple, TypedDict, cast

import numpy as np

from bertkit.errors import UsageError, did_you_mean
from bertkit.text.call.rows import Side, Strategy

Padding = Literal["longest", "max_length"]

PADDINGS: Mapping[Any, Padding | None] = {
    False: None, "do_not_pad": None, None: None, True: "longest", "longest": "longest", "max_length": "max_length",
}  # fmt: skip
TRUNCATIONS: Mapping[Any, Strategy | None] = {
    False: None, "do_not_truncate": None, None: None, True: "longest_first", "longest_first": "longest_first",
    "only_first": "only_first", "only_second": "only_second",
}  # fmt: skip
RETIRED = {
    "pad_to_max_length": 'padding="max_length"',
    "truncation_strategy": 'truncation="longest_first", "only_first" or "only_second"',
    "max_len": "max_length",
    "max_seq_length": "max_length",
    "return_offset_mapping": "return_offsets_mapping",
    "return_token_type_id": "return_token_type_ids",
}
MOST = 2**31 - 1
"""More tokens than a text can have."""


class CallOptions(TypedDict, total=False):
    """The options that every method of encoding takes; `BertTokenizer.__call__` explains them."""

    add_special_tokens: bool
    padding: bool | str
    truncation: bool | str | None
    max_length: int | None
    stride: int
    is_split_into_words: bool
    pad_to_multiple_of: int | None
    padding_side: Side | None
    return_tensors: str | None
    return_token_type_ids: bool | None
    return_attention_mask: bool | None
    return_overflowing_tokens: bool
    return_special_tokens_mask: bool
    return_offsets_mapping: bool
    return_length: bool
    verbose: bool
    split_special_tokens: bool | None


class Options(NamedTuple):
    """The options of a call with their defaults."""

    add_special_tokens: bool = True
    padding: Any = False
    truncation: Any = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: Side | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None


_FLAGS = (
    "add_special_tokens",
    "is_split_into_words",
    "return_token_type_ids",
    "return_attention_mask",
    "return_overflowing_tokens",
    "return_special_tokens_mask",
    "return_offsets_mapping",
    "return_length",
    "verbose",
    "split_special_tokens",
)
_FLAG_TYPES = {bool, NoneType}


PLAIN = Options()
"""A call that wishes nothing."""


class Shape(NamedTuple):
    """How long rows are to be."""

    padding: Padding | None
    truncation: Strategy | None
    max_length: int | None
    multiple: int
    side: Side


def options_of(given: CallOptions) -> Options:
    """The options of a call, with the defaults of those that were not given."""
    refuse_unknown(set(given) - set(Options._fields), Options._fields)
    options = Options(**cast(dict[str, Any], given))
    check_flags(options)
    return options


def check_flags(options: Options) -> None:
    """Refuse a flag that is neither True nor False."""
    if {type(getattr(options, name)) for name in _FLAGS} <= _FLAG_TYPES:
        return
    for name in _FLAGS:
        value = getattr(options, name)
        if not isinstance(value, (bool, np.bool_, NoneType)):
            raise UsageError(f"{name}={value!r} is neither True nor False: type {name}=True, or leave it out.")


def refuse_unknown(unknown: Iterable[str], known: Iterable[str]) -> None:
    """An error where there is a name that no option has."""
    for name in unknown:
        near = f" Type {RETIRED[name]} instead." if name in RETIRED else did_you_mean(name, known)
        raise UsageError(f"There is no argument {name!r}.{near}")


def shape_of(
    options: Options, model_max_length: int, padding_side: Side, can_pad: bool, say: Callable[[str, str], None]
) -> Shape:
    """What `padding`, `truncation`, `max_length` and the rest ask for together.

    `say(kind, sentence)` warns, once for each kind.
    """
    padding = choice("padding", options.padding, PADDINGS)
    truncation = choice("truncation", options.truncation, TRUNCATIONS)
    max_length, multiple = options.max_length, options.pad_to_multiple_of
    _check_numbers(max_length, options.stride, multiple)
    if max_length is not None and max_length > MOST:
        if padding == "max_length":
            raise UsageError(f"Rows cannot be padded to {max_length} tokens: type an integer such as max_length=128.")
        max_length = MOST
    if max_length is not None and truncation is None:
        truncation = _implied_truncation(options, padding, say)
    elif max_length is None and (padding == "max_length" or truncation is not None):
        max_length = model_max_length
    if padding is not None and not can_pad:
        raise UsageError('There is no padding token: type tokenizer.pad_token = "[PAD]", or leave padding out.')
    if padding and truncation and multiple and max_length is not None and max_length % multiple:
        raise UsageError(
            f"Rows are cut to max_length={max_length} and padded to a multiple of {multiple}, which {max_length} is not: "
            f"type max_length={max_length // multiple * multiple or multiple}."
        )
    return Shape(padding, truncation, max_length, multiple or 0, _side(options.padding_side) or padding_side)


def width_of(shape: Shape, longest: int) -> int:
    """How wide rows are, the longest of which has `longest` tokens; 0 where there is no padding."""
    if shape.padding is None:
        return 0
    width = longest if shape.padding == "longest" else shape.max_length or 0
    return -(-width // shape.multiple) * shape.multiple if shape.multiple else width


def _implied_truncation(options: Options, padding: Padding | None, say: Callable[[str, str], None]) -> Strategy | None:
    """What a `max_length` means without a truncation: only when nothing at all is said, it cuts."""
    if padding is None and options.padding is False and options.truncation is None:
        say(
            "implied truncation",
            "max_length came without truncation, and texts are cut: type truncation=True to say so.",
        )
        return "longest_first"
    if padding == "longest":
        say(
            "idle max_length",
            "max_length does nothing beside padding=True without truncation: type truncation=True to cut, or "
            'padding="max_length" to pad up to it.',
        )
    return None


def choice(name: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    """What a value means, or an error that lists those that mean something."""
    value = getattr(value, "value", value)  # an enumeration such as transformers' PaddingStrategy
    if value.__class__ in (bool, str, None.__class__) and value in choices:
        return choices[value]
    known = [choice for choice in choices if choice is not None]
    near = (
        did_you_mean(value, [choice for choice in known if isinstance(choice, str)]) if isinstance(value, str) else ""
    )
    raise UsageError(f"{name}={value!r} is none of {', '.join(map(repr, known))}.{near}")


def _check_numbers(max_length: object, stride: object, multiple: object) -> None:
    for name, value in (("max_length", max_length), ("stride", stride), ("pad_to_multiple_of", multiple)):
        if value is None and name != "stride":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise UsageError(f"{name}={value!r} is no number of tokens: type an integer such as {name}=128.")
        if value > MOST and name != "max_length":
            raise UsageError(f"{name}={value} is more than any text has tokens: type an integer such as {name}=128.")


def _side(side: Any) -> Side | None:
    if side is not None and not (isinstance(side, str) and side in ("left", "right")):
        raise UsageError(f'padding_side={side!r} is no side: type "right" or "left".')
    return cast("Side | None", side)
