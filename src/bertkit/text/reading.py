"""Text files and JSON files of a bounded size, and sentences about those that are neither."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from bertkit.errors import TokenizerError

MOST_BYTES_OF_JSON = 256 * 2**20

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_text(path: str | os.PathLike[str], most_bytes: int) -> str:
    """The text of a UTF-8 file, without its byte-order mark."""
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise TokenizerError(f"{path} is not a file.")
        if status.st_size > most_bytes:
            raise TokenizerError(
                f"{path} has {status.st_size} bytes, and bertkit reads up to {most_bytes} of such a file."
            )
        text = Path(path).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise TokenizerError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise TokenizerError(
            f"{path} is not text in UTF-8 (byte {error.start}): it is a binary file, or a text to be saved as UTF-8."
        ) from error
    _check_text(text, path)
    return text


def _check_text(text: str, path: str | os.PathLike[str]) -> None:
    if "\0" in text:
        raise TokenizerError(f"{path} is a binary file, or a text in UTF-16: save it as UTF-8.")
    if text.startswith("version https://git-lfs.github.com/spec/"):
        raise TokenizerError(
            f"{path} is not the file but Git LFS's note of where it is. Type in its folder: git lfs pull"
        )
    if text[:15].lower().startswith(("<!doctype html", "<html")):
        raise TokenizerError(f"{path} is a web page, saved under the name of a file: download the file itself.")


def read_object(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object that a JSON file holds."""
    return parse_object(read_text(path, MOST_BYTES_OF_JSON), str(path))


def parse_object(text: str, where: str) -> dict[str, Any]:
    """The object that is written as JSON. `where` names the file in the errors."""
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise TokenizerError(
            f"{where} has half of a character in it (a lone surrogate, \\ud800 to \\udfff)."
        ) from error
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{where} is not JSON ({error}): download or write it again.") from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{where} holds a {type(value).__name__}, where an object {{...}} is expected.")
    return value
