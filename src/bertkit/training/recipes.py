"""Recipes: TOML files with arguments of `finetune`. Those of bertkit are in recipes/, one for each well-known dataset."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

from bertkit.errors import UsageError, did_you_mean
from bertkit.training.options import check_names

_OWN = ("task", "model", "train", "eval", "out", "labels", "about")


def names() -> list[str]:
    """Return the names of bertkit's recipes."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def read_recipe(name: str) -> dict[str, Any]:
    """Return the arguments in a recipe: the name of one of bertkit's, such as "sst2" or "SST-2", or a file.

    >>> read_recipe("mrpc")["task"]
    'text-classification'
    """
    path = Path(name)
    own = {known.replace("-", ""): known for known in names()}.get(name.lower().replace("-", ""))
    if own is None and not path.is_file():
        raise UsageError(
            f"There is no recipe {name!r}: type one of {', '.join(names())}, or a file.{did_you_mean(name, names())}"
        )
    text = (_folder() / f"{own}.toml").read_text("utf-8") if own else path.read_text("utf-8")
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{name} is not TOML: {error}.") from error
    check_names({key: value for key, value in values.items() if key not in _OWN})
    return {key: value for key, value in values.items() if key != "about"}


def _folder() -> Any:
    return files("bertkit.training") / "recipes"
