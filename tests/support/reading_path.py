"""What a reader has to open who wants to follow one call from its first line to its last."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

import bertkit

PACKAGE = Path(bertkit.__file__).parent


def passed_through(call: Callable[[], object]) -> list[tuple[str, str]]:
    """(file, qualified name) of each function of bertkit that the call enters, in the order of the first time.

    Counted are functions, methods and properties, each once. Comprehensions, generator expressions and lambdas are not:
    they are read in the line where they stand. Nor is what happens at import: the call is made once before.
    """
    call()
    found: dict[CodeType, None] = {}

    def hear(frame: FrameType, event: str, arg: object) -> None:
        code = frame.f_code
        if event == "call" and not code.co_name.startswith("<") and Path(code.co_filename).is_relative_to(PACKAGE):
            found[code] = None

    before = sys.getprofile()
    sys.setprofile(hear)
    try:
        call()
    finally:
        sys.setprofile(before)
    names = [code.co_qualname for code in found]
    files = [Path(code.co_filename).relative_to(PACKAGE).as_posix() for code in found]
    return list(zip(files, names, strict=True))
