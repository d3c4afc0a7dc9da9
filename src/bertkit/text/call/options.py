"""The options of a call: their checks, and the shape of the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import is_
from types import NoneType
from typing import Any, Literal, NamedTuple, TypedDict, cast

import numpy as np

from bertkit.errors import Setting, UsageError, did_you_mean, received
from bertkit.text.call.cutting import Side, Strategy

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
"""The largest accepted number of tokens."""


class CallOptions(TypedDict, total=False):
    """The options of all encoding methods, documented in `BertTokenizer.__call__`."""

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
"""All options at their defaults."""


class Shape(NamedTuple):
    """The truncation and padding of the rows of a call."""

    padding: Padding | None
    truncation: Strategy | None
    max_length: int | None
    multiple: int
    side: Side
    warning: tuple[str, str] | None = None  # kind and text

    def width(self, longest: int) -> int:
        """Return the length of padded rows, where the longest row has `longest` tokens; 0 without padding."""
        if self.padding is None:
            return 0
        width = longest if self.padding == "longest" else self.max_length or 0
        return -(-width // self.multiple) * self.multiple if self.multiple else width


def options_of(arguments: CallOptions) -> Options:
    """Return the checked options of a call, with defaults for those that were not passed."""
    refuse_unknown(set(arguments) - set(Options._fields), Options._fields)
    options = Options(**cast(dict[str, Any], arguments))
    check(options)
    return options


def check(options: Options) -> None:
    """Raise UsageError for an option with an invalid value."""
    if not {type(getattr(options, name)) for name in _FLAGS} <= _FLAG_TYPES:
        _check_flags(options)
    if type(options.padding) is not bool:
        choice("padding", options.padding, PADDINGS)
    if type(options.truncation) is not bool:
        choice("truncation", options.truncation, TRUNCATIONS)
    if not all(map(is_, (options.max_length, options.stride, options.pad_to_multiple_of), (None, 0, None))):
        _check_numbers(options)
    if options.padding_side is not None:
        _check_side(options.padding_side)


def refuse_unknown(unknown: Iterable[str], known: Iterable[str]) -> None:
    """Raise UsageError for the first unknown argument."""
    for name in unknown:
        near = f" Type {RETIRED[name]} instead." if name in RETIRED else did_you_mean(name, known)
        raise UsageError(f"Unknown argument {name!r}.{near}")


@lru_cache(1024, typed=True)
def shape_of(
    padding: Any,
    truncation: Any,
    max_length: int | None,
    multiple: int | None,
    side: Side,
    model_max_length: int,
    can_pad: bool,
) -> Shape:
    """Return the truncation and padding for checked options.

    >>> shape_of(True, True, None, None, "right", 512, can_pad=True)[:3]
    ('longest', 'longest_first', 512)
    """
    pads, cuts = PADDINGS[getattr(padding, "value", padding)], TRUNCATIONS[getattr(truncation, "value", truncation)]
    warning = None
    if max_length is not None and max_length > MOST:
        if pads == "max_length":
            raise UsageError(
                f"Rows cannot be padded to {max_length} tokens: type an integer such as ",
                Setting("max_length", 128),
                ".",
            )
        max_length = MOST
    if max_length is not None and cuts is None:
        if (
            padding is False and truncation is None
        ):  # as in transformers, max_length truncates if both are at their defaults
            cuts, warning = "longest_first", _CUTS
        elif pads == "longest":
            warning = _IDLE
    elif max_length is None and (pads == "max_length" or cuts is not None):
        max_length = model_max_length
    if pads is not None and not can_pad:
        raise UsageError(
            'The tokenizer has no padding token: type tokenizer.pad_token = "[PAD]", or leave padding out.'
        )
    if pads and cuts:
        _check_multiple(max_length, multiple)
    return Shape(pads, cuts, max_length, multiple or 0, side, warning)


_CUTS = (
    "implied truncation",
    "Texts are truncated, since max_length was passed without truncation: type truncation=True to avoid this warning.",
)
_IDLE = (
    "idle max_length",
    'max_length has no effect with padding=True and no truncation: type truncation=True, or padding="max_length".',
)


def _check_multiple(max_length: int | None, multiple: int | None) -> None:
    if multiple and max_length is not None and max_length % multiple:
        raise UsageError(
            "Rows are padded to a multiple of ",
            f"{multiple} and truncated to ",
            received("max_length", max_length),
            ", which is not such a multiple: type ",
            Setting("max_length", max_length // multiple * multiple or multiple),
            ".",
        )


def choice(name: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    """Return the entry of `choices` for the value of an option. Raises UsageError for a value that is not in it."""
    value = getattr(value, "value", value)  # an enumeration such as transformers' PaddingStrategy
    if value.__class__ in (bool, str, None.__class__) and value in choices:
        return choices[value]
    known = [choice for choice in choices if choice is not None]
    near = (
        did_you_mean(value, [choice for choice in known if isinstance(choice, str)]) if isinstance(value, str) else ""
    )
    raise UsageError(received(name, value), f" is invalid: choose one of {', '.join(map(repr, known))}.{near}")


def _check_flags(options: Options) -> None:
    for name in _FLAGS:
        value = getattr(options, name)
        if not isinstance(value, (bool, np.bool_, NoneType)):
            raise UsageError(
                received(name, value), " must be True or False: type ", Setting(name, True), ", or leave it out."
            )


def _check_numbers(options: Options) -> None:
    for name in ("max_length", "stride", "pad_to_multiple_of"):
        value = getattr(options, name)
        if value is None and name != "stride":
            continue
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
            raise UsageError(
                received(name, value), " is not a number of tokens: type an integer such as ", Setting(name, 128), "."
            )
        if value > MOST and name != "max_length":
            raise UsageError(
                received(name, value),
                " is too large: type an integer such as ",
                Setting(name, 128),
                ".",
            )


def _check_side(side: object) -> None:
    if not (isinstance(side, str) and side in ("left", "right")):
        raise UsageError(received("padding_side", side), ' is invalid: type "right" or "left".')
