"""`tokenizer_config.json` and the arguments of `from_pretrained`, which have the same names, to and from a description."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from bertkit.errors import TokenizerError, UsageError, did_you_mean
from bertkit.text.files.description import ATTRIBUTES, DEFAULT_LENGTH, TokenizerFiles
from bertkit.text.vocabulary import AddedToken
from bertkit.text.wordpiece.unicode import Compat

Settings = Mapping[str, Any]

LONGEST = 10**15
"""A longer `model_max_length` means that nobody set one; other libraries write 1e30."""


def check_arguments(given: Settings) -> None:
    """Refuse an argument that no tokenizer has, or a value that it cannot have."""
    for name, value in given.items():
        if name not in NAMES:
            raise UsageError(f"A tokenizer has no setting {name!r}.{did_you_mean(name, NAMES)}")
        if not _is_accepted(name, value):
            raise UsageError(f"{name}={value!r:.80} cannot be: it takes {_KINDS[name][1]}.")


def apply(files: TokenizerFiles, settings: Settings, where: str) -> None:
    """Set the fields that settings are for; those that are absent or null stay. `where` names the file in the errors."""
    for name, value in settings.items():
        if not _is_accepted(name, value):
            raise TokenizerError(f"{where} has {name} {value!r:.80}, where {_KINDS[name][1]} is expected.")
    given = {name: value for name, value in settings.items() if value is not None}
    rules = {field: given[name] for name, field in RULES.items() if name in given}
    files.rules = replace(files.rules, **rules)
    for name in FIELDS:
        if name in given:
            put(files, name, given[name])
    files.extra = {name: value for name, value in settings.items() if name not in NAMES and name not in _OF_THE_FILES}
    if not isinstance(files.extra.get("extra_special_tokens"), dict) or not files.extra["extra_special_tokens"]:
        files.extra.pop("extra_special_tokens", None)  # a list of them is another name of additional_special_tokens


def put(files: TokenizerFiles, name: str, value: Any) -> None:
    """Set the field that a setting is for."""
    setattr(files, FIELDS[name], _LISTS[name](value) if name in _LISTS else value)


def max_length(settings: Settings, where: str) -> int | None:
    """The longest input that settings tell of, None where they tell of none."""
    value = settings.get("model_max_length", settings.get("max_len"))
    if value is None or (isinstance(value, (int, float)) and value > LONGEST):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 1 or value % 1:
        raise TokenizerError(f"{where} has model_max_length {value!r:.80}, where a whole number above 0 is expected.")
    return int(value)


def known_length(length: int) -> int | None:
    """A `model_max_length`, None where it is that of nobody."""
    return length if length <= LONGEST else None


def compose(files: TokenizerFiles, own: Collection[Compat]) -> dict[str, Any]:
    """The content of a `tokenizer_config.json`. `own`: the behaviours that need not be written, as a class has them itself."""
    settings = {name: getattr(files.rules, field) for name, field in RULES.items()}
    if files.rules.compat in own:
        del settings["compat"]
    if files.rules.clean:
        del settings["clean_text"]
    settings |= {name: getattr(files, field) for name, field in FIELDS.items()}
    settings |= {name: token.content for name, token in files.special.items()}
    if files.additional:
        settings["additional_special_tokens"] = [token.content for token in files.additional]
    return (
        {"extra_special_tokens": {}}
        | files.extra
        | settings
        | {
            "added_tokens_decoder": {str(index): _flags(token) for index, token in sorted(files.added.items())},
            "model_max_length": files.model_max_length or DEFAULT_LENGTH,
            "never_split": list(files.never_split) or None,
            "tokenizer_class": "BertTokenizer",
        }
    )


def _is_accepted(name: str, value: object) -> bool:
    return value is None or name not in _KINDS or _KINDS[name][0](value)


def _flags(token: AddedToken) -> dict[str, Any]:
    return dict(sorted(token.to_dict().items()))


# What the settings are.


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_side(value: object) -> bool:
    return value in ("left", "right")


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


_BOOL = (_is_bool, "true or false")
_SIDE = (_is_side, '"left" or "right"')
_KINDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "do_lower_case": _BOOL,
    "strip_accents": _BOOL,
    "tokenize_chinese_chars": _BOOL,
    "clean_text": _BOOL,
    "do_basic_tokenize": _BOOL,
    "clean_up_tokenization_spaces": _BOOL,
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    "split_special_tokens": _BOOL,
    "never_split": (_is_list_of_strings, "a list of strings"),
    "model_input_names": (_is_list_of_strings, "a list of strings"),
    "compat": (("fast", "slow", "google").__contains__, '"fast", "slow" or "google"'),
}
RULES = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "chinese",
    "clean_text": "clean",
    "compat": "compat",
}
"""The settings that are fields of `Rules`."""

FIELDS = {
    "do_basic_tokenize": "do_basic_tokenize",
    "clean_up_tokenization_spaces": "clean_up",
    "padding_side": "padding_side",
    "truncation_side": "truncation_side",
    "split_special_tokens": "split_special_tokens",
    "never_split": "never_split",
    "model_input_names": "model_input_names",
}
"""The settings that are fields of `TokenizerFiles`."""

_LISTS: dict[str, Callable[[Any], Any]] = {"never_split": tuple, "model_input_names": list}
"""Those that are lists, which the description has for itself."""

NAMES = frozenset(
    [*_KINDS, *ATTRIBUTES, "model_max_length", "max_len", "additional_special_tokens", "added_tokens_decoder"]
)
"""The settings that bertkit knows; others that a file has are kept, and those of a call refused."""

# Told by the files themselves, or of the machine that wrote them.
_OF_THE_FILES = frozenset(
    [
        "tokenizer_class",
        "name_or_path",
        "special_tokens_map_file",
        "tokenizer_file",
        "vocab_file",
        "init_inputs",
        "is_local",
        "local_files_only",
    ]
)
