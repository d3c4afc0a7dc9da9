"""Read the special and added tokens from the four files that may contain them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bertkit.errors import TokenizerError
from bertkit.text.files.description import ATTRIBUTES, SPECIAL, JsonFiles, TokenizerFiles
from bertkit.text.vocabulary import AddedToken, check_added, check_id, check_ids, give_ids, read_token

_OPTIONAL = ("bos_token", "eos_token", "pad_token", "mask_token")


def apply(files: TokenizerFiles, found: JsonFiles, fast: bool) -> None:
    """Set `special`, `additional` and `added` of a description, whose `added` holds the tokens of tokenizer.json."""
    decoder = found.settings.get("added_tokens_decoder")
    named = dict(found.settings) if decoder is not None else _with_map(found)
    special = {name: _named(name, named, found.place.where) for name in ATTRIBUTES}
    additional = _additional(named, found.place.where)
    contents = {token.content for token in [*special.values(), *additional] if token}
    if decoder is not None:
        by_id = _decoder(decoder, found.place.where)
    else:
        by_id = _encoder(found.objects.get("added_tokens.json", {}), contents, found.place.where) | files.added
    by_id = {index: token for index, token in sorted(by_id.items(), key=lambda item: item[0]) if token.content}
    files.added = _with_next_ids(files, by_id, contents) if fast else by_id
    present = {token.content for token in files.added.values()}
    missing = [token for token in [*special.values(), *additional] if token and token.content not in present]
    give_ids(missing, files.vocabulary, files.added)
    check_added(files.added, found.place.where)
    files.added = dict(sorted(files.added.items(), key=lambda item: item[0]))
    flags = {token.content: token for token in files.added.values()}
    files.special = {name: flags[token.content] for name, token in special.items() if token}
    files.additional = [flags[token.content] for token in additional]


def _with_next_ids(files: TokenizerFiles, by_id: Mapping[int, AddedToken], special: set[str]) -> dict[int, AddedToken]:
    """Return the tokens of tokenizer.json, then new and changed ones of the other files. Each new token gets the next free id."""
    added: dict[int, AddedToken] = {}
    first = [token for token in files.added.values() if token.content]
    changed = set(by_id.values()).difference(first)
    tokens = [*first, *(token for token in by_id.values() if token in changed)]
    give_ids(
        (replace(token, special=True) if token.content in special else token for token in tokens),
        files.vocabulary,
        added,
    )
    return added


def _with_map(found: JsonFiles) -> dict[str, Any]:
    """Return the settings, updated by special_tokens_map.json, where older versions stored the special tokens."""
    named = dict(found.settings)
    for name, value in found.objects.get("special_tokens_map.json", {}).items():
        if found.overrides.get(name):
            continue
        if name == "additional_special_tokens":
            value = [*_list(named.get(name), name, found.place.where), *_list(value, name, found.place.where)]
        named[name] = {**value, "special": True} if isinstance(value, dict) else value
    return named


def _named(name: str, named: Mapping[str, Any], where: str) -> AddedToken | None:
    """Return the token of an attribute. With null, [PAD] and [MASK] are unset, and required tokens get their defaults."""
    value = named.get(name, SPECIAL.get(name))
    if value is None:
        return None if name in _OPTIONAL else AddedToken(SPECIAL[name], special=True)
    token = read_token(value, f"{where}: {name}")
    if not token.content:
        raise TokenizerError(f"{where} has an empty {name}: write a token, such as {SPECIAL.get(name, '[ENT]')!r}.")
    return token


def _additional(named: Mapping[str, Any], where: str) -> list[AddedToken]:
    values = _list(named.get("additional_special_tokens"), "additional_special_tokens", where)
    extra = named.get("extra_special_tokens")  # a list, or an object name -> token
    values += _list(list(extra.values()) if isinstance(extra, dict) else extra, "extra_special_tokens", where)
    tokens: dict[str, AddedToken] = {}
    for value in values:
        token = read_token(value, f"{where}: additional_special_tokens")
        tokens.setdefault(token.content, token)
    tokens.pop("", None)
    return list(tokens.values())


def _list(value: object, name: str, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise TokenizerError(f"{where} has {name} {value!r:.80}, but a list of tokens is expected.")
    return list(value)


def _decoder(values: object, where: str) -> dict[int, AddedToken]:
    """Read `added_tokens_decoder`: {"103": {"content": "[MASK]", ...}}."""
    if not isinstance(values, Mapping):
        raise TokenizerError(f"{where} has added_tokens_decoder {values!r:.80}, but an object of tokens is expected.")
    found = {}
    for key, value in values.items():
        index = int(key) if isinstance(key, str) and key.isdecimal() and len(key) < 10 else key
        found[check_id(index, f"{where}: added_tokens_decoder")] = read_token(value, f"{where}: added_tokens_decoder")
    return found


def _encoder(values: Mapping[str, Any], special: set[str], where: str) -> dict[int, AddedToken]:
    """Read added_tokens.json: {"[ENT]": 30522}."""
    check_ids(values, f"{where}: added_tokens.json")
    return {index: AddedToken(token, special=token in special) for token, index in values.items()}
