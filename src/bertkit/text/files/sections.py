"""The truncation and padding sections of `tokenizer.json`. They are not used here, but kept for the `tokenizers` library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bertkit.errors import TokenizerError

Section = Mapping[str, Any]


def read_section(whole: Mapping[str, Any], name: str, where: str) -> Section | None:
    """Return a section, or None for null. Raises TokenizerError for a section that the library would refuse."""
    value = whole.get(name)
    if value is None:
        return None
    if name == "truncation" and isinstance(value, dict):
        value = {"direction": "Right", **value}  # older files have no direction
    if not isinstance(value, dict) or not all(accepts(value.get(key)) for key, accepts in _SECTIONS[name].items()):
        raise TokenizerError(f'{where} has an invalid section "{name}": {value!r:.80}. Set it to null.')
    return value


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**32


def _is_strategy(value: object) -> bool:
    return value == "BatchLongest" or (
        isinstance(value, dict) and value.keys() == {"Fixed"} and _is_count(value["Fixed"])
    )


def _is_direction(value: object) -> bool:
    return value in ("Left", "Right")


_SECTIONS: dict[str, dict[str, Callable[[object], bool]]] = {
    "truncation": {
        "direction": _is_direction,
        "max_length": _is_count,
        "strategy": ("LongestFirst", "OnlyFirst", "OnlySecond").__contains__,
        "stride": _is_count,
    },
    "padding": {
        "direction": _is_direction,
        "strategy": _is_strategy,
        "pad_to_multiple_of": lambda value: value is None or _is_count(value),
        "pad_id": _is_count,
        "pad_type_id": _is_count,
        "pad_token": lambda value: isinstance(value, str),
    },
}
