"""The description of a tokenizer -> its files."""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from bertkit.errors import UsageError
from bertkit.hub.disk import whole_file
from bertkit.text.files import settings
from bertkit.text.files.compose import compose
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.vocabulary import AddedToken
from bertkit.text.wordpiece.unicode import Compat


def write_files(
    directory: str | os.PathLike[str],
    files: TokenizerFiles,
    prefix: str = "",
    *,
    own: Collection[Compat] = ("fast", "slow"),
) -> list[Path]:
    """Write all files of a tokenizer, and return their paths.

    The folder is created if it does not exist. `prefix` and a "-" are put before each name. `own` are the values of `compat`
    that are not written, as the class that will read the files has them by default.
    """
    check_folder(directory)
    Path(directory).mkdir(parents=True, exist_ok=True)
    texts = {
        "tokenizer_config.json": _sorted_json(settings.compose(files, own)),
        "special_tokens_map.json": _sorted_json(_tokens_map(files)),
        "tokenizer.json": compose(files),
    }
    extra = {token.content: index for index, token in files.added.items() if index >= len(files.vocabulary.tokens)}
    if extra:
        texts["added_tokens.json"] = _sorted_json(extra)
    start = f"{prefix}-" if prefix else ""
    paths = {Path(directory) / f"{start}{name}": text for name, text in texts.items()}
    for path, text in paths.items():
        with whole_file(path) as file:
            file.write(text.encode())
    if files.foreign is not None:  # without vocab.txt, which the slow class would read as a complete tokenizer
        return list(paths)
    vocabulary = Path(directory) / f"{start}vocab.txt"
    files.vocabulary.write(vocabulary)
    return [*paths, vocabulary]


def check_folder(directory: str | os.PathLike[str]) -> None:
    """Raise UsageError if a folder cannot be written to. A folder that does not exist is created and removed again."""
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{directory} is a file, not a directory: choose another name.")
    made = [part for part in (folder, *folder.parents) if not part.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UsageError(f"{directory} cannot be written to ({error.strerror}): choose another directory.") from error
    finally:
        for part in made:
            with suppress(OSError):
                part.rmdir()


def _sorted_json(value: object) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _tokens_map(files: TokenizerFiles) -> dict[str, Any]:
    """Return the content of special_tokens_map.json: strings, or objects for tokens with other flags than the default."""
    values: dict[str, Any] = {name: _mapped(token) for name, token in files.special.items()}
    if files.additional:
        values["additional_special_tokens"] = [_mapped(token) for token in files.additional]
    return values


def _mapped(token: AddedToken) -> str | dict[str, Any]:
    if token == AddedToken(token.content, special=True):
        return token.content
    return {name: value for name, value in token.to_dict().items() if name != "special"}
