"""The exceptions are those in the tree of the module's docstring, with the same built-in base classes."""

from __future__ import annotations

import inspect

import pytest

from bertkit import errors
from bertkit.errors import BertkitError, MissingExtraError, did_you_mean


def test_the_drawing_is_the_tree() -> None:
    drawn = {
        line.split("(")[0].strip("│├└─ ").split()[0]: line
        for line in (errors.__doc__ or "").splitlines()
        if "Error" in line
    }
    classes = {
        name: kind for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)
    }
    assert drawn.keys() == classes.keys()
    for name, kind in classes.items():
        assert issubclass(kind, BertkitError)
        for base in kind.__bases__:
            if base.__module__ == "builtins" and name != "BertkitError":
                assert f"({base.__name__})" in drawn[name]


def test_a_missing_extra_says_what_to_type() -> None:
    with pytest.raises(
        ImportError, match=r'BertModel needs torch, which is not installed. Type: pip install "bertkit\[torch\]"'
    ):
        raise MissingExtraError("torch", "torch", "BertModel")


def test_did_you_mean() -> None:
    assert did_you_mean("bert", ["gpt"]) == ""
