"""The settings of a tokenizer: those of `tokenizer_config.json`, and of constructors and `from_pretrained`.

They have the same names, and one table says which values they take.
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
"""A longer `model_max_length` means that none was set; other libraries write 1e30."""


class Settings(TypedDict, total=False):
    """The settings, all of them optional; `BertTokenizer` explains them."""

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
    """The values that a setting takes."""

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


_NO_LIST = "It is no list of tokens: type {name}=[{value!r:.80}]."
_FLAG = _Kind(_is_bool, "true or false", "It is neither True nor False: type {name}=True, or leave it out.")
_SIDE = _Kind(("right", "left").__contains__, "one of 'right', 'left'")
_COMPAT = _Kind(("fast", "slow", "google").__contains__, "one of 'fast', 'slow', 'google'")
_STRINGS = _Kind(_is_list_of_strings, "a list of strings", _NO_LIST)
_TOKENS = _Kind(_is_list, "a list of tokens", _NO_LIST)
_LENGTH = _Kind(_is_length, "a whole number above 0", "It is no number of tokens: type model_max_length=512.")
_PREFIX = _Kind(_is_string, "a string", 'It is no string: type wordpieces_prefix="##".')

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
"""The settings that are fields of `Rules`."""

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
"""The settings that are fields of `TokenizerFiles`."""

_LISTS: dict[str, Callable[[Any], Any]] = {"never_split": tuple, "model_input_names": list}
"""Those that are lists, of which the description keeps a copy."""

_OF_CALLS = frozenset([*Settings.__annotations__, "max_len", "added_tokens_decoder"])
"""The arguments of `from_pretrained`."""

# Other files say these, or they describe the machine that wrote the file.
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
    """Let the settings of a constructor override a description.

    >>> from bertkit.text.vocabulary import Vocabulary
    >>> files = TokenizerFiles(Vocabulary(["[UNK]"]))
    >>> change(files, {"padding_side": "left"}), files.padding_side
    (None, 'left')
    """
    if not settings:
        return
    check_arguments(settings, frozenset(Settings.__annotations__))
    given = {name: value for name, value in settings.items() if value is not None or name == "strip_accents"}
    if "model_max_length" in given:
        given["model_max_length"] = max_length(given, "The call") or DEFAULT_LENGTH
    _set(files, given)
    files.prefix = given.get("wordpieces_prefix", files.prefix)
    files.special = files.special | {name: as_token(given[name], True) for name in ATTRIBUTES if name in given}
    if "unk_token" in given:
        files.unk = files.special["unk_token"].content
    if "additional_special_tokens" in given:
        files.additional = [as_token(token, True) for token in given["additional_special_tokens"]]


def check_arguments(given: Mapping[str, Any], names: Collection[str] = _OF_CALLS) -> None:
    """Raise an error for an unknown argument, and for a value that it does not take."""
    for name, value in given.items():
        if name not in names:
            raise UsageError(f"A tokenizer has no setting {name!r}.{did_you_mean(name, names)}")
        kind = _KINDS.get(name)
        if kind is not None and value is not None and not kind.accepts(value):
            advice = kind.advice.format(name=name, value=value)
            raise UsageError(
                Setting(name, value, f"{value!r:.80}"), f" cannot be: it takes {kind.expected}. {advice}".rstrip()
            )


def apply(files: TokenizerFiles, settings: Mapping[str, Any], where: str) -> None:
    """Set the fields that the settings of a file are for. `where` names the file in the errors."""
    for name, kind in _OF_FILES.items():
        value = settings.get(name)
        if value is not None and not kind.accepts(value):
            raise TokenizerError(f"{where} has {name} {value!r:.80}, where {kind.expected} is expected.")
    _set(files, {name: settings[name] for name in _OF_FILES if settings.get(name) is not None})
    files.extra = {name: value for name, value in settings.items() if name not in _OF_CALLS and name not in _NOT_KEPT}
    if not isinstance(files.extra.get("extra_special_tokens"), dict) or not files.extra["extra_special_tokens"]:
        files.extra.pop("extra_special_tokens", None)  # a list of them is another name of additional_special_tokens


def max_length(settings: Mapping[str, Any], where: str) -> int | None:
    """The longest input that the settings of a file have, None where they have none."""
    value = settings.get("model_max_length", settings.get("max_len"))
    if value is None or (isinstance(value, (int, float)) and value > LONGEST):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 1 or value % 1:
        raise TokenizerError(f"{where} has model_max_length {value!r:.80}, where a whole number above 0 is expected.")
    return int(value)


def settings_of(files: TokenizerFiles, own: Collection[Compat]) -> dict[str, Any]:
    """The settings of a tokenizer. `own`: the behaviours that need not be said, as a class has them itself."""
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
    """The content of a `tokenizer_config.json`. `own`: as in `settings_of`."""
    decoder = {str(index): dict(sorted(token.to_dict().items())) for index, token in sorted(files.added.items())}
    rest = {"added_tokens_decoder": decoder, "tokenizer_class": "BertTokenizer"}
    return {"extra_special_tokens": {}} | files.extra | settings_of(files, own) | rest


def _set(files: TokenizerFiles, given: Mapping[str, Any]) -> None:
    """Set fields to values that were checked."""
    rules = {field: given[name] for name, field in RULES.items() if name in given}
    if rules:
        files.rules = replace(files.rules, **rules)
    for name, field in FIELDS.items():
        if name in given:
            setattr(files, field, _LISTS[name](given[name]) if name in _LISTS else given[name])
