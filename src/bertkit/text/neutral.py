"""Arguments that scripts pass and that change nothing: they are accepted where they say the default, and refused elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from bertkit.errors import UsageError, received
from bertkit.text.files.settings import Settings


class Arguments(Settings, total=False):
    """The settings, and the arguments that may say their default."""

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
    """The values that change nothing, and what to do instead of another."""

    values: tuple[Any, ...]
    advice: str = "leave it out."


_SWITCH = (None, False, True)
_NEUTRAL = {
    "chat_template": _Neutral((None,), "BERT does not chat: leave it out."),
    "from_slow": _Neutral((None, False), 'to read vocab.txt alone, type BertTokenizerFast("vocab.txt").'),
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
_ANY = ("_commit_hash", "_from_auto", "_from_pipeline")  # what transformers' own calls pass on


def settle(given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that are settings, without use_auth_token. Raises UsageError for a value that would change something.

    >>> settle({"do_lower_case": False, "from_slow": False, "extra_special_tokens": ["[ENT]"]})
    {'do_lower_case': False, 'additional_special_tokens': ['[ENT]']}
    """
    for name, neutral in _NEUTRAL.items():
        if name in given and not any(given[name] is value or given[name] == value for value in neutral.values):
            raise UsageError(received(name, given[name]), " is not possible: ", neutral.advice)
    config = given.get("config")
    if config is not None and getattr(config, "model_type", "bert") != "bert":
        raise UsageError(
            "config is that of a model of type ", repr(getattr(config, "model_type", None)), ", not of a BERT."
        )
    dropped = (*_NEUTRAL, *_ANY, "config", "use_auth_token")
    settings = {name: value for name, value in given.items() if name not in dropped}
    extra = settings.pop("extra_special_tokens", None)
    if extra and "additional_special_tokens" not in settings:
        settings["additional_special_tokens"] = list(extra.values()) if isinstance(extra, Mapping) else extra
    return settings
