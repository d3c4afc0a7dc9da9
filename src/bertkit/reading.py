"""Text files and JSON files of a bounded size, and sentences about those that are neither.

`refusal` is the error that such a sentence becomes: each room has its own.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from bertkit.errors import BertkitError

Refusal = type[BertkitError]

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: str | os.PathLike[str], most_bytes: int, refusal: Refusal) -> str:
    """The text of a UTF-8 file, without its byte-order mark."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise refusal(f"{path} is not a file.")
        if status.st_size > most_bytes:
            raise refusal(f"{path} has {status.st_size} bytes, and bertkit reads up to {most_bytes} of such a file.")
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise refusal(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise refusal(
            f"{path} is not text in UTF-8 (byte {error.start}): it is a binary file, or a text to be saved as UTF-8."
        ) from error
    _check_text(text, path, refusal)
    return text


def _check_text(text: str, path: str | os.PathLike[str], refusal: Refusal) -> None:
    if "\0" in text:
        raise refusal(f"{path} is a binary file, or a text in UTF-16: save it as UTF-8.")
    if text.startswith("version https://git-lfs.github.com/spec/"):
        raise refusal(f"{path} is not the file but Git LFS's note of where it is. Type in its folder: git lfs pull")
    if text[:15].lower().startswith(("<!doctype html", "<html")):
        raise refusal(f"{path} is a web page, saved under the name of a file: download the file itself.")


def read_object(path: str | os.PathLike[str], most_bytes: int, refusal: Refusal) -> dict[str, Any]:
    """The object that a JSON file holds."""
    return parse_object(read_text(path, most_bytes, refusal), str(path), refusal)


def parse_object(text: str, where: str, refusal: Refusal) -> dict[str, Any]:
    """The object that is written as JSON. `where` names the file in the errors."""
    try:
        value = json.loads(text, object_pairs_hook=_without_repetition)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise refusal(f"{where} has half of a character in it (a lone surrogate, \\ud800 to \\udfff).") from error
    except (ValueError, RecursionError) as error:
        raise refusal(f"{where} is not JSON ({error}): download or write it again.") from error
    if not isinstance(value, dict):
        raise refusal(f"{where} holds a {type(value).__name__}, where an object {{...}} is expected.")
    return value


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, or a ValueError where a key stands twice: whoever wrote it meant one of two things."""
    value = dict(pairs)
    if len(value) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} stands there twice")
    return value
