"""Values as lines of JSON."""

from __future__ import annotations

import json
import re
from typing import Any

_HALF = re.compile("[\ud800-\udfff]")


def line_of(value: Any) -> bytes:
    r"""A value as a line of JSON. Infinities and NaN become null, and lone surrogates are escaped.

    >>> line_of([0.5, float("inf")])
    b'[0.5, null]\n'
    >>> json.loads(line_of(["a" + chr(0xD800)])) == ["a" + r"\ud800"]
    True
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        nulls = json.loads(json.dumps(value), parse_constant=lambda name: None)
        text = json.dumps(nulls, ensure_ascii=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which UTF-8 cannot encode
        return _HALF.sub(lambda half: f"\\\\u{ord(half[0]):x}", text).encode() + b"\n"
