"""The `tokenizers` library panics where it did not expect something, with an exception that `except Exception` misses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bertkit.errors import TokenizerError


@contextmanager
def as_errors(what: str) -> Iterator[None]:
    """A TokenizerError, which begins with `what`, for a panic and for the errors of the `tokenizers` library."""
    try:
        yield
    except BaseException as error:
        panic = type(error).__module__ == "pyo3_runtime"
        if panic or type(error) is Exception:  # the library raises nothing more special
            raise TokenizerError(f"{what}: {error!s:.500}.") from error
        raise
