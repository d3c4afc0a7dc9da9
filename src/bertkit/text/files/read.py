"""The files of a tokenizer -> its description.

This module reads the files of a plain BERT, as bertkit and transformers write them: a `tokenizer_config.json`, and a
`tokenizer.json` that is BERT's except for its vocabulary, special tokens and normalizer. general.py reads all other files.
It could read the plain ones too, with the same result, but more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeGuard

from bertkit.errors import TokenizerError
from bertkit.hub import Place, parse_object, read_text
from bertkit.text.files.description import DEFAULT_LENGTH, SPECIAL, JsonFiles, TokenizerFiles
from bertkit.text.files.general import describe
from bertkit.text.files.settings import LONGEST, apply, check_arguments, max_length
from bertkit.text.vocabulary import FLAGS, Vocabulary, read_token

MOST_BYTES_OF_JSON = 256 * 2**20

_NAMES = ("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", "added_tokens.json")
_FIELDS = {"id", "content", *FLAGS}  # the keys of an added token
_NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})


def read_files(place: Place, *, fast: bool = True, overrides: Mapping[str, Any] = _NO_SETTINGS) -> TokenizerFiles:
    """Read the tokenizer at a place, for the fast or the slow class.

    `overrides` are settings that override those in the files, such as `{"do_lower_case": False}`.
    """
    if overrides:
        check_arguments(overrides)
    found = _find(place, overrides)
    files = (_read_plain(found) if fast else None) or describe(found, fast)
    files.model_max_length = max_length(found.settings, place.where) or _positions(found)
    files.prefix = overrides.get("wordpieces_prefix") or files.prefix
    return files


def _find(place: Place, overrides: Mapping[str, Any]) -> JsonFiles:
    """Read the JSON files of a place. If the user named a file, only that file and config.json are read."""
    if place.file is None:
        paths = {name: path for name in _NAMES if (path := place.find(name))}
    else:
        paths = {"tokenizer.json": place.file} if place.file.suffix == ".json" else {}
    if config := place.find("config.json"):
        paths["config.json"] = config
    texts = {name: read_text(path, MOST_BYTES_OF_JSON, TokenizerError) for name, path in paths.items()}
    objects = {name: parse_object(text, str(paths[name]), TokenizerError) for name, text in texts.items()}
    settings = {**objects.get("tokenizer_config.json", {}), **overrides}
    return JsonFiles(place, paths, texts, objects, settings, overrides)


def _positions(found: JsonFiles) -> int:
    """Return the maximum number of tokens of the model."""
    value = found.objects.get("config.json", {}).get("max_position_embeddings")
    return value if type(value) is int and 0 < value <= LONGEST else DEFAULT_LENGTH


def _read_plain(found: JsonFiles) -> TokenizerFiles | None:
    """Return the description in plain files, or None if the files are not plain."""
    whole = found.objects.get("tokenizer.json", {})
    model, tokens = whole.get("model"), whole.get("added_tokens")
    names = {name: found.settings.get(name, content) for name, content in SPECIAL.items()}
    if not _is_plain_model(model, names) or not _is_plain_normalizer(whole.get("normalizer")):
        return None
    ids, cls, sep = model["vocab"], names["cls_token"], names["sep_token"]
    sections = plain_sections((cls, ids[cls]), (sep, ids[sep]))
    if any(whole.get(name) != section for name, section in sections.items()):
        return None
    if not isinstance(tokens, list) or not all(_is_plain_token(token, ids, names) for token in tokens):
        return None
    if not _is_plain_config(found, names, tokens):
        return None
    where = str(found.paths["tokenizer.json"])
    added = {token["id"]: read_token(token, where) for token in sorted(tokens, key=lambda token: int(token["id"]))}
    by_content = {token.content: token for token in added.values()}
    files = TokenizerFiles(
        Vocabulary.from_ids(ids, where),
        special={name: by_content[content] for name, content in names.items()},
        added=added,
        unk=model["unk_token"],
        clean_up=False,  # the decoder of tokenizer.json already cleans up
    )
    apply(files, found.settings, found.place.where)
    return files


def plain_sections(cls: tuple[str, int | None], sep: tuple[str, int | None]) -> dict[str, Any]:
    """Return the sections of a plain `tokenizer.json`. `cls` and `sep` are the special tokens and their ids.

    >>> plain_sections(("[CLS]", 2), ("[SEP]", 3))["post_processor"]["single"][0]
    {'SpecialToken': {'id': '[CLS]', 'type_id': 0}}
    """
    start, end = ({"SpecialToken": {"id": token, "type_id": 0}} for token, _ in (cls, sep))
    single = [start, {"Sequence": {"id": "A", "type_id": 0}}, end]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}, {"SpecialToken": {"id": sep[0], "type_id": 1}}]
    tokens = {token: {"id": token, "ids": [index], "tokens": [token]} for token, index in (cls, sep)}
    return {
        "truncation": None,
        "padding": None,
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
    }


def _is_plain_model(model: Any, names: Mapping[str, Any]) -> TypeGuard[dict[str, Any]]:
    """Whether the model is WordPiece with default settings, and its vocabulary contains the special tokens."""
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        return False
    usual = {"type": "WordPiece", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}
    tokens = [model.get("unk_token"), *names.values()]
    return (model | usual) == model and all(isinstance(token, str) and token in model["vocab"] for token in tokens)


def _is_plain_normalizer(normalizer: Any) -> bool:
    """Whether the normalizer has only settings that tokenizer_config.json overrides."""
    if not isinstance(normalizer, dict) or normalizer.get("strip_accents") not in (True, False, None):
        return False
    flags = (normalizer.get("lowercase"), normalizer.get("handle_chinese_chars"))
    usual = normalizer.get("type") == "BertNormalizer" and normalizer.get("clean_text") is True
    return usual and all(isinstance(flag, bool) for flag in flags)


def _is_plain_token(token: Any, ids: Mapping[str, int], names: Mapping[str, Any]) -> bool:
    """Whether an added token is in the vocabulary, with the same id."""
    if not isinstance(token, dict) or token.keys() != _FIELDS or not isinstance(token["content"], str):
        return False
    is_special = token["special"] is True or token["content"] not in names.values()
    has_id = type(token["id"]) is int and ids.get(token["content"]) == token["id"]
    return is_special and bool(token["content"]) and has_id


def _is_plain_config(found: JsonFiles, names: Mapping[str, Any], tokens: list[dict[str, Any]]) -> bool:
    """Whether the other files have the same special and added tokens as tokenizer.json."""
    further = ("bos_token", "eos_token", "additional_special_tokens", "extra_special_tokens")
    if "tokenizer_config.json" not in found.objects or any(found.settings.get(name) for name in further):
        return False
    if not {token["content"] for token in tokens} >= set(names.values()):
        return False
    decoder = found.settings.get("added_tokens_decoder")
    if decoder is None:
        return (
            not found.objects.get("added_tokens.json") and found.objects.get("special_tokens_map.json", names) == names
        )
    by_id = {str(token["id"]): {name: token[name] for name in token if name != "id"} for token in tokens}
    return bool(decoder == by_id)
