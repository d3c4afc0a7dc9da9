"""The settings of a server, as arguments or as environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bertkit.errors import Setting, UsageError, received
from bertkit.serve.queue import Limits

_SAGEMAKER = "/opt/ml/model"
"""Where SageMaker puts the model."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a server. `bertkit serve --help` describes each.

    >>> Settings(models={"two": "DIR"}, timeout=10).limits.requests
    512
    """

    models: Mapping[str, str] = field(
        default_factory=dict
    )  # name in requests -> directory or Hub id; the first is the default
    task: str | None = None  # of the first model; None: the main task of its class
    engine: str = "auto"
    precision: str = "auto"
    device: str | None = None
    revision: str = "main"
    api_key: str | None = field(default=None, repr=False)
    max_batch_tokens: int | None = None  # None: 2,048 on a CPU, 16,384 on a GPU
    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    max_input_length: int = 8_192
    max_new_tokens: int = 256
    auto_truncate: bool = False
    payload_limit: int = 2_000_000
    timeout: float = 30.0
    cors_allow_origin: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.models:
            raise UsageError(
                "A server needs a model: type ", Setting("model", "DIR"), " with its directory or its Hub id."
            )
        if self.api_key is not None and (not self.api_key or not self.api_key.isascii()):
            raise UsageError("The key of the server must be one ASCII character or more: choose another one.")
        for one in fields(self):
            value = getattr(self, one.name)
            if (
                one.type in ("int", "float", "int | None")
                and value is not None
                and (isinstance(value, bool) or not value > 0)
            ):
                raise UsageError(received(one.name, value), " is not above 0: type a larger number.")

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """The settings in environment variables, such as BERTKIT_MAX_BATCH_TOKENS for `max_batch_tokens`.

        >>> Settings.of_environment({"BERTKIT_MODEL": "DIR", "BERTKIT_TIMEOUT": "5", "HF_TASK": "ner"}).timeout
        5.0
        """
        found: dict[str, Any] = {"models": named(models_of_environment(environment))}
        if environment.get("HF_TASK"):
            found["task"] = environment["HF_TASK"]
        for one in fields(cls):
            name = f"BERTKIT_{one.name.upper()}"
            if environment.get(name):
                found[one.name] = _value(name, environment[name], str(one.type))
        return cls(**found)

    @property
    def limits(self) -> Limits:
        """The limits of the queue."""
        return Limits(self.max_batch_tokens, self.max_concurrent_requests, self.max_input_length)


def named(models: list[str]) -> dict[str, str]:
    """The models of a server, from words such as `DIR` and `NAME=DIR`. A directory without a name is named after itself.

    >>> named(["models/names", "films=models/two"])
    {'names': 'models/names', 'films': 'models/two'}
    """
    found: dict[str, str] = {}
    for word in models:
        name, equals, where = word.partition("=")
        if not equals:
            where, name = word, word.rstrip("/").rpartition("/")[2]
        if not name or not where:
            raise UsageError(f"{word!r} is not NAME=DIR: type for example films=DIR, or only the directory.")
        if name in found:
            raise UsageError(f"Two models have the name {name!r}: type NAME=DIR with different names.")
        found[name] = where
    return found


def models_of_environment(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The models in environment variables, or the model that SageMaker has put into a container.

    >>> models_of_environment({"BERTKIT_MODEL": "DIR,films=DIR2"})
    ['DIR', 'films=DIR2']
    """
    given = environment.get("BERTKIT_MODEL") or environment.get("HF_MODEL_ID")
    if given:
        return given.split(",")
    return [_SAGEMAKER] if Path(_SAGEMAKER).is_dir() else []


def _value(name: str, text: str, kind: str) -> Any:
    """The value of an environment variable, for a field of this type."""
    try:
        if kind in ("int", "int | None", "float"):
            return float(text) if kind == "float" else int(text)
    except ValueError as error:
        raise UsageError(f"The environment variable {name} is {text!r:.80}, which is not a number.") from error
    if kind == "bool":
        return text.lower() in ("1", "true", "yes")
    return tuple(text.split(",")) if kind.startswith("tuple") else text
