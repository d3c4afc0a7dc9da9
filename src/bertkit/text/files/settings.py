"""The settings of a tokenizer, in `tokenizer_config.json` and as arguments of constructors and `from_pretrained`.

Both have the same names. One table lists the valid values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypedDict

from bertkit.errors import Setting, TokenizerError, UsageError, did_you_mean
from bertkit.text.files.description import ATTRIBUTES, DEFAULT_LENGTH, USUAL_PREFIX, TokenizerFiles
from bertkit.text.vocabulary import AddedToken, as_token
from bertkit.text.wordpiece.unicode import Compat

LONGEST = 10**15
"""A larger `model_max_length` means "not set"; other libraries write 1e30."""


class Settings(TypedDict, total=False):
    """The settings, all optional; documented in the constructor of `BertTokenizer`."""

    do_lower_case: bool
    do_basic_tokenize: bool
    never_split: Iterable[str] | None
    bos_token: str | AddedToken | None
    eos_token: str | AddedToken | None
    unk_token: str | AddedToken
    sep_token: str | AddedToken
    pad_token: str | AddedToken
    cls_token: str | AddedToken
    mask_token: str | AddedToken
    additional_special_tokens: Iterable[str | AddedToken] | None
    tokenize_chinese_chars: bool
    strip_accents: bool | None
    clean_text: bool
    clean_up_tokenization_spaces: bool
    wordpieces_prefix: str
    compat: str | None
    model_max_length: int | None
    padding_side: str
    truncation_side: str
    model_input_names: list[str]
    split_special_tokens: bool
    name_or_path: str


class _Kind(NamedTuple):
    """The valid values of a setting: a check, a description, and advice for invalid values."""

    accepts: Callable[[Any], bool]
    expected: str
    advice: str = ""


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_list_of_strings(value: Any) -> bool:
    is_list = isinstance(value, Collection) and not isinstance(value, (str, bytes, Mapping))
    return is_list and all(isinstance(item, str) for item in value)


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes))


def _is_length(value: object) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and (value > LONGEST or value == int(value) >= 1)
    )


def _is_string(value: object) -> bool:
    return isinstance(value, str)


_FLAG = _Kind(_is_bool, "true or false", "Type {name}=True, or leave it out.")
_SIDE = _Kind(("right", "left").__contains__, "one of 'right', 'left'")
_COMPAT = _Kind(("fast", "slow", "google").__contains__, "one of 'fast', 'slow', 'google'")
_STRINGS = _Kind(_is_list_of_strings, "a list of strings", 'Type {name}=["..."].')
_TOKENS = _Kind(_is_list, "a list of tokens", "Type {name}=[{value!r:.80}].")
_LENGTH = _Kind(_is_length, "an integer above 0", "Type model_max_length=512.")
_PREFIX = _Kind(_is_string, "a string", 'Type wordpieces_prefix="##".')

_OF_FILES: dict[str, _Kind] = {
    "do_lower_case": _FLAG,
    "strip_accents": _FLAG,
    "tokenize_chinese_chars": _FLAG,
    "clean_text": _FLAG,
    "compat": _COMPAT,
    "do_basic_tokenize": _FLAG,
    "clean_up_tokenization_spaces": _FLAG,
    "padding_side": _SIDE,
    "truncation_side": _SIDE,
    "split_special_tokens": _FLAG,
    "never_split": _STRINGS,
    "model_input_names": _STRINGS,
    "wordpieces_prefix": _PREFIX,
}
_KINDS = _OF_FILES | {
    "model_max_length": _LENGTH,
    "additional_special_tokens": _TOKENS,
}
RULES = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "chinese",
    "clean_text": "clean",
    "compat": "compat",
}
"""Names of settings -> fields of `Rules`."""

FIELDS = {
    "do_basic_tokenize": "do_basic_tokenize",
    "clean_up_tokenization_spaces": "clean_up",
    "padding_side": "padding_side",
    "truncation_side": "truncation_side",
    "split_special_tokens": "split_special_tokens",
    "never_split": "never_split",
    "model_input_names": "model_input_names",
    "model_max_length": "model_max_length",
}
"""Names of settings -> fields of `TokenizerFiles`."""

_LISTS: dict[str, Callable[[Any], Any]] = {"never_split": tuple, "model_input_names": list}
"""The settings that are lists, and the type in which the description keeps them."""

_OF_CALLS = frozenset([*Settings.__annotations__, "max_len", "added_tokens_decoder"])
"""The settings that `from_pretrained` accepts."""

# These keys are in other files as well, or describe the computer that wrote the file.
_NOT_KEPT = frozenset(
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


def change(files: TokenizerFiles, settings: Mapping[str, Any]) -> None:
    """Apply the settings of a constructor to a description.

    >>> from bertkit.text.vocabulary import Vocabulary
    >>> files = TokenizerFiles(Vocabulary(["[UNK]"]))
    >>> change(files, {"padding_side": "left"}), files.padding_side
    (None, 'left')
    """
    if not settings:
        return
    check_arguments(settings, frozenset(Settings.__annotations__))
    settings = {name: value for name, value in settings.items() if value is not None or name == "strip_accents"}
    if "model_max_length" in settings:
        settings["model_max_length"] = max_length(settings, "The call") or DEFAULT_LENGTH
    _set(files, settings)
    files.prefix = settings.get("wordpieces_prefix", files.prefix)
    files.special = files.special | {name: as_token(settings[name], True) for name in ATTRIBUTES if name in settings}
    if "unk_token" in settings:
        files.unk = files.special["unk_token"].content
    if "additional_special_tokens" in settings:
        files.additional = [as_token(token, True) for token in settings["additional_special_tokens"]]


def check_arguments(settings: Mapping[str, Any], names: Collection[str] = _OF_CALLS) -> None:
    """Raise UsageError for an unknown setting, and for an invalid value."""
    for name, value in settings.items():
        if name not in names:
            raise UsageError(f"Unknown setting {name!r} of a tokenizer.{did_you_mean(name, names)}")
        kind = _KINDS.get(name)
        if kind is not None and value is not None and not kind.accepts(value):
            advice = kind.advice.format(name=name, value=value)
            raise UsageError(
                Setting(name, value, f"{value!r:.80}"), f" is invalid: it must be {kind.expected}. {advice}".rstrip()
            )


def apply(files: TokenizerFiles, settings: Mapping[str, Any], where: str) -> None:
    """Apply the settings of a file to a description. `where` names the file in the errors."""
    for name, kind in _OF_FILES.items():
        value = settings.get(name)
        if value is not None and not kind.accepts(value):
            raise TokenizerError(f"{where} has {name} {value!r:.80}, but {kind.expected} is expected.")
    _set(files, {name: settings[name] for name in _OF_FILES if settings.get(name) is not None})
    files.extra = {name: value for name, value in settings.items() if name not in _OF_CALLS and name not in _NOT_KEPT}
    if not isinstance(files.extra.get("extra_special_tokens"), dict) or not files.extra["extra_special_tokens"]:
        files.extra.pop("extra_special_tokens", None)  # as a list, it is another name of additional_special_tokens


def max_length(settings: Mapping[str, Any], where: str) -> int | None:
    """Return `model_max_length` in the settings of a file, or None if it is not set."""
    value = settings.get("model_max_length", settings.get("max_len"))
    if value is None or (isinstance(value, (int, float)) and value > LONGEST):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 1 or value % 1:
        raise TokenizerError(f"{where} has model_max_length {value!r:.80}, but an integer above 0 is expected.")
    return int(value)


def settings_of(files: TokenizerFiles, own: Collection[Compat]) -> dict[str, Any]:
    """Return the settings of a tokenizer. `own`: values of `compat` that are left out, as the class's default."""
    settings = {name: getattr(files.rules, field) for name, field in RULES.items()}
    if files.rules.compat in own:
        del settings["compat"]
    if files.rules.clean:
        del settings["clean_text"]
    if files.prefix != USUAL_PREFIX:
        settings["wordpieces_prefix"] = files.prefix
    settings |= {name: getattr(files, field) for name, field in FIELDS.items()}
    settings["never_split"] = list(files.never_split) or None
    settings |= {name: token.content for name, token in files.special.items()}
    if files.additional:
        settings["additional_special_tokens"] = [token.content for token in files.additional]
    return settings


def compose(files: TokenizerFiles, own: Collection[Compat]) -> dict[str, Any]:
    """Return the content of a `tokenizer_config.json`. `own`: as in `settings_of`."""
    decoder = {str(index): dict(sorted(token.to_dict().items())) for index, token in sorted(files.added.items())}
    rest = {"added_tokens_decoder": decoder, "tokenizer_class": "BertTokenizer"}
    return {"extra_special_tokens": {}} | files.extra | settings_of(files, own) | rest


def _set(files: TokenizerFiles, settings: Mapping[str, Any]) -> None:
    """Set the fields of a description to checked values."""
    rules = {field: settings[name] for name, field in RULES.items() if name in settings}
    if rules:
        files.rules = replace(files.rules, **rules)
    for name, field in FIELDS.items():
        if name in settings:
            setattr(files, field, _LISTS[name](settings[name]) if name in _LISTS else settings[name])
