"""Panics of the `tokenizers` library, which `except Exception` does not catch, as TokenizerErrors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bertkit.errors import TokenizerError


@contextmanager
def as_errors(what: str) -> Iterator[None]:
    """Raise panics and errors of the `tokenizers` library as a TokenizerError that begins with `what`."""
    try:
        yield
    except BaseException as error:
        panic = type(error).__module__ == "pyo3_runtime"
        if panic or type(error) is Exception:  # the library has no exception classes
            raise TokenizerError(f"{what}: {error!s:.500}.") from error
        raise
