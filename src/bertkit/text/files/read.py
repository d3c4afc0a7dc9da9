"""The files of a tokenizer <-> its description.

A tokenizer is in any of `tokenizer.json`, `vocab.txt`, `tokenizer_config.json`, `special_tokens_map.json` and
`added_tokens.json`, as long as one of the first two is there. Where they disagree:

- The vocabulary is that of tokenizer.json for `BertTokenizerFast`, and that of vocab.txt for `BertTokenizer`.
- The arguments of a call go before tokenizer_config.json, and its do_lower_case, strip_accents and
  tokenize_chinese_chars go before tokenizer.json, by their defaults, too. Only where there is no
  tokenizer_config.json does tokenizer.json say how text is normalized.
- special_tokens_map.json and added_tokens.json count only where tokenizer_config.json has no added_tokens_decoder.
- In `BertTokenizer` an added token has the id that the files say, in `BertTokenizerFast` the next free one.
- `model_max_length` is that of tokenizer_config.json, else max_position_embeddings of config.json, else 512.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Any

from bertkit.disk import whole_file
from bertkit.errors import TokenizerError, UsageError
from bertkit.hub import Place, parse_object, read_text
from bertkit.text.files import additions, settings, tokenizer_json
from bertkit.text.files.description import DEFAULT_LENGTH
from bertkit.text.files.description import TokenizerFiles as TokenizerFiles
from bertkit.text.files.settings import Settings
from bertkit.text.files.template import bert_template
from bertkit.text.vocabulary import AddedToken, Vocabulary, missing_unk
from bertkit.text.wordpiece.characters import Rules
from bertkit.text.wordpiece.unicode import Compat

BERT = ("BertTokenizer", "BertTokenizerFast")
"""What `tokenizer_class` is in a file of BERT's."""

ANY = (None, "PreTrainedTokenizer", "PreTrainedTokenizerFast", "TokenizersBackend")
"""What it may be where the model is a BERT. Any other is accepted where its tokenizer.json is a plain BERT one."""

MOST_BYTES_OF_JSON = 256 * 2**20

_NOTHING: Settings = MappingProxyType({})


def read_files(place: Place, *, fast: bool = True, overrides: Settings = _NOTHING) -> TokenizerFiles:
    """The tokenizer at a place, as the fast or the slow class reads its files.

    `overrides` are settings that go before those of the files, such as `{"do_lower_case": False}`.
    """
    settings.check_arguments(overrides)
    config = _object(place, "tokenizer_config.json")
    merged = {**config, **overrides}
    parsed = _parsed(place)
    _check_class(config.get("tokenizer_class"), place, plain=parsed is not None and parsed.foreign is None)
    of_json = parsed is not None and (fast or _find(place, "vocab.txt") is None)
    files = parsed if parsed is not None and of_json else _from_lines(place, parsed)
    if _find(place, "tokenizer_config.json"):
        files.rules = Rules(clean=files.rules.clean or not fast)
    files.rules = replace(files.rules, compat="fast" if fast else "slow")
    files.clean_up = not (fast and of_json)  # as transformers: the decoder of tokenizer.json cleans up by itself
    settings.apply(files, merged, place.where)
    tokens_map, added = (_object(place, name) for name in ("special_tokens_map.json", "added_tokens.json"))
    additions.apply(files, additions.Sources(merged, overrides, tokens_map, added, place.where), fast)
    _settle(files, place, of_json)
    files.model_max_length = settings.max_length(merged, place.where) or _positions(place)
    return files


def write_files(
    directory: str | os.PathLike[str],
    files: TokenizerFiles,
    prefix: str = "",
    *,
    own: Collection[Compat] = ("fast", "slow"),
) -> list[Path]:
    """Write all the files that a tokenizer can be read from, and return their paths.

    A folder that does not exist is made. `prefix` goes before each name, with a "-" in between. `own` are the values of
    `compat` that need not be written, as the class that will read the files has them itself.
    """
    check_folder(directory)
    Path(directory).mkdir(parents=True, exist_ok=True)
    texts = {
        "tokenizer_config.json": _sorted_json(settings.compose(files, own)),
        "special_tokens_map.json": _sorted_json(_tokens_map(files)),
        "tokenizer.json": tokenizer_json.compose(files),
    }
    extra = {token.content: index for index, token in files.added.items() if index >= len(files.vocabulary.tokens)}
    if extra:
        texts["added_tokens.json"] = _sorted_json(extra)
    start = f"{prefix}-" if prefix else ""
    paths = {Path(directory) / f"{start}{name}": text for name, text in texts.items()}
    for path, text in paths.items():
        with whole_file(path) as file:
            file.write(text.encode())
    if files.foreign is not None:  # of which a list of pieces is a part, that the slow class would take for the whole
        return list(paths)
    vocabulary = Path(directory) / f"{start}vocab.txt"
    files.vocabulary.write(vocabulary)
    return [*paths, vocabulary]


def check_folder(directory: str | os.PathLike[str]) -> None:
    """An error where a folder cannot be written to. One that does not exist is made, and taken away again."""
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
    """special_tokens_map.json: a token is a string, or an object where it has flags of its own."""
    values: dict[str, Any] = {name: _mapped(token) for name, token in files.special.items()}
    if files.additional:
        values["additional_special_tokens"] = [_mapped(token) for token in files.additional]
    return values


def _mapped(token: AddedToken) -> str | dict[str, Any]:
    if token == AddedToken(token.content, special=True):
        return token.content
    return {name: value for name, value in token.to_dict().items() if name != "special"}


# Reading, step by step.


def _find(place: Place, name: str) -> Path | None:
    """The path of a file of this kind. A user who named a file wants that one and no other of its kind."""
    kind = "tokenizer.json" if place.file and place.file.suffix == ".json" else "vocab.txt"
    if place.file is not None:
        return place.file if name == kind else None
    return place.find(name)


def _object(place: Place, name: str) -> dict[str, Any]:
    path = _find(place, name)
    return {} if path is None else parse_object(_text(path), str(path), TokenizerError)


def _parsed(place: Place) -> TokenizerFiles | None:
    """What tokenizer.json says."""
    path = _find(place, "tokenizer.json")
    return None if path is None else tokenizer_json.parse(_text(path), str(path))


def _from_lines(place: Place, parsed: TokenizerFiles | None) -> TokenizerFiles:
    """What vocab.txt says, under the rules and the added tokens of tokenizer.json."""
    files = TokenizerFiles(
        Vocabulary.from_file(_find(place, "vocab.txt") or place.fetch("tokenizer.json", "vocab.txt"))
    )
    if parsed is not None:
        files.rules, files.added = parsed.rules, parsed.added
    return files


def _check_class(name: object, place: Place, plain: bool) -> None:
    """Refuse the tokenizer of another model, unless its `tokenizer.json` is that of a BERT."""
    model = _model(place).get("model_type")
    if plain or name in BERT or (name in ANY and model in (None, "bert")):
        return
    is_of = f"belongs to a model of type {model!r:.80}" if name in ANY else f"has a {name!r:.80}"
    raise TokenizerError(
        f"The tokenizer of {place.where} {is_of}, and bertkit is BERT alone: it reads a BertTokenizer, "
        "and others whose tokenizer.json is that of a BERT."
    )


def _settle(files: TokenizerFiles, place: Place, of_json: bool) -> None:
    """What only all files together tell: the unknown token, and whether a text is surrounded as BERT does it."""
    path = _find(place, "tokenizer.json")
    if path is None or not of_json:
        files.unk = files.special["unk_token"].content
        if files.unk not in files.vocabulary:
            raise missing_unk(files.unk, place.where)
        return
    if files.template is None:
        raise TokenizerError(f"{path} has a post_processor that is not understood.")
    if files.template != bert_template(*(_id(files, name) for name in ("cls_token", "sep_token"))):
        files.foreign = _text(path)
    if files.foreign is None:
        files.template = None


def _id(files: TokenizerFiles, name: str) -> int:
    index = files.id_of(files.special[name].content)
    assert index is not None  # every special token that the vocabulary lacks was added
    return index


def _model(place: Place) -> dict[str, Any]:
    """The configuration of the model beside the tokenizer."""
    path = place.find("config.json")
    return {} if path is None else parse_object(_text(path), str(path), TokenizerError)


def _positions(place: Place) -> int:
    value = _model(place).get("max_position_embeddings")
    return value if type(value) is int and 0 < value <= settings.LONGEST else DEFAULT_LENGTH


def _text(path: Path) -> str:
    return read_text(path, MOST_BYTES_OF_JSON, TokenizerError)
