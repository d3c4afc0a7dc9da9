"""Count the functions and files that a reader must open to follow a call."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import bertkit

PACKAGE = Path(bertkit.__file__).parent


def passed_through(call: Callable[[], object]) -> list[tuple[str, str]]:
    """Return (file, qualified name) of each function of bertkit that a call enters, in the order of first use.

    Functions, methods and properties count once. Comprehensions, generator expressions and lambdas do not count, as they are read
    inside another function. Imports do not count, as the call runs once before.
    """
    call()
    found: dict[CodeType, None] = {}

    def profile(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event == "call" and not code.co_name.startswith("<") and Path(code.co_filename).is_relative_to(PACKAGE):
            found[code] = None

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(before)
    names = [code.co_qualname for code in found]
    files = [Path(code.co_filename).relative_to(PACKAGE).as_posix() for code in found]
    return list(zip(files, names, strict=True))
