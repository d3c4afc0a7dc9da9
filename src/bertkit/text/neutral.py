"""Arguments of other libraries' tokenizers that have no effect here: their defaults are accepted, other values are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bertkit.errors import UsageError, received
from bertkit.text.files.settings import Settings


class Arguments(Settings, total=False):
    """The settings of a tokenizer, and the arguments that have no effect."""

    chat_template: None
    config: object
    extra_special_tokens: Any
    from_slow: bool | None
    legacy: bool | None
    proxies: None
    resume_download: bool | None
    tokenizer_object: None
    tokenizer_type: str | None
    use_auth_token: str | bool | None
    _commit_hash: str | None
    _from_auto: bool
    _from_pipeline: str | None


class _Neutral(NamedTuple):
    """The accepted values of an argument without an effect, and what to do instead of passing another value."""

    values: tuple[Any, ...]
    advice: str = "leave it out."


_SWITCH = (None, False, True)
_NEUTRAL = {
    "chat_template": _Neutral((None,), "BERT has no chat template: leave it out."),
    "from_slow": _Neutral((None, False), 'to read only vocab.txt, type BertTokenizerFast("vocab.txt").'),
    "legacy": _Neutral(_SWITCH),
    "legacy_format": _Neutral(_SWITCH),
    "proxies": _Neutral((None,), "set the environment variable HTTPS_PROXY."),
    "resume_download": _Neutral(_SWITCH),
    "tokenizer_file": _Neutral((None,), "to read one file, type BertTokenizerFast(tokenizer_file=path)."),
    "tokenizer_object": _Neutral(
        (None,), 'type tokenizer.save("tokenizer.json") and BertTokenizerFast(tokenizer_file="tokenizer.json").'
    ),
    "tokenizer_type": _Neutral((None, "bert")),
    "vocab_file": _Neutral((None,), 'to read one file, type BertTokenizer("vocab.txt").'),
}
_ANY = ("_commit_hash", "_from_auto", "_from_pipeline")  # passed by transformers itself


def settings_in(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are settings. Raises UsageError if an argument without an effect has an unsupported value.

    >>> settings_in({"do_lower_case": False, "from_slow": False, "extra_special_tokens": ["[ENT]"]})
    {'do_lower_case': False, 'additional_special_tokens': ['[ENT]']}
    """
    for name, neutral in _NEUTRAL.items():
        if name in arguments and not any(
            arguments[name] is value or arguments[name] == value for value in neutral.values
        ):
            raise UsageError(received(name, arguments[name]), " is not supported: ", neutral.advice)
    config = arguments.get("config")
    if config is not None and getattr(config, "model_type", "bert") != "bert":
        raise UsageError(
            f"config has model_type {config.model_type!r}, not 'bert': pass the configuration of a BERT model."
        )
    dropped = (*_NEUTRAL, *_ANY, "config", "use_auth_token")
    settings = {name: value for name, value in arguments.items() if name not in dropped}
    extra = settings.pop("extra_special_tokens", None)
    if extra and "additional_special_tokens" not in settings:
        settings["additional_special_tokens"] = list(extra.values()) if isinstance(extra, Mapping) else extra
    return settings
