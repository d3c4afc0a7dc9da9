"""Add tokens and special tokens to a tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bertkit.errors import UsageError
from bertkit.text.files.description import ATTRIBUTES, TokenizerFiles
from bertkit.text.tokens import SPECIAL_NAMES
from bertkit.text.vocabulary import AddedToken, Vocabulary, as_token, check_added, give_ids


def add(files: TokenizerFiles, tokens: Iterable[AddedToken], *, lower: bool = False, claim_unused: bool = False) -> int:
    """Add tokens to a description. Returns the number of tokens that are new to the vocabulary.

    A token of the vocabulary keeps its id, and is from now on also found in the raw text. `lower`: lower-case the tokens
    that are not special. `claim_unused`: give new tokens the ids of `[unused0]`, `[unused1]`, ... instead of new ids, so
    that the embedding keeps its size.

    >>> files = TokenizerFiles(Vocabulary(["[UNK]", "[unused0]", "a"]))
    >>> add(files, [AddedToken("a"), AddedToken("b")], claim_unused=True), sorted(files.added)
    (1, [1, 2])
    """
    known = {token.content for token in files.added.values()}
    wanted: dict[str, AddedToken] = {}
    for token in tokens:
        if lower and token.normalized and not token.special:
            token = replace(token, content=token.content.lower())
        if token.content:
            wanted.setdefault(token.content, token)
    new = [content for content in wanted if content not in known and content not in files.vocabulary]
    if new and claim_unused:
        files.vocabulary = _claimed(files, new)
    added = dict(files.added)
    give_ids(wanted.values(), files.vocabulary, added)
    check_added(added, "The tokenizer")
    files.added = added
    return len(new)


def add_missing_special_tokens(files: TokenizerFiles) -> None:
    """Add the special tokens that are not added tokens yet."""
    named = [files.special[name] for name in ATTRIBUTES if name in files.special]
    present = {token.content for token in files.added.values()}
    missing = [token for token in [*named, *files.additional] if token.content not in present]
    if missing:
        add(files, missing)


def add_special_tokens(
    files: TokenizerFiles, tokens: Mapping[str, Any], replace_additional: bool, claim_unused: bool
) -> int:
    """Set special tokens by their attributes. Returns the number of tokens that are new to the vocabulary."""
    if not isinstance(tokens, Mapping):
        raise UsageError(
            f"{tokens!r} is not a dictionary: type "
            'tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]}).'
        )
    wanted: list[AddedToken] = []
    for name, value in tokens.items():
        if name in ("additional_special_tokens", "extra_special_tokens"):
            wanted += _set_additional(files, value, replace_additional)
        elif name in SPECIAL_NAMES:
            files.special[name] = as_token(value, special=True)
            wanted.append(files.special[name])
        else:
            known = ", ".join([*SPECIAL_NAMES, "additional_special_tokens"])
            raise UsageError(f"Unknown special token {name!r}: choose one of {known}.")
    return add(files, wanted, claim_unused=claim_unused)


def _set_additional(files: TokenizerFiles, tokens: Any, replace_all: bool) -> list[AddedToken]:
    if not isinstance(tokens, (list, tuple)):
        raise UsageError(f"additional_special_tokens={tokens!r} is not a list: type [{tokens!r}].")
    kept = [] if replace_all else files.additional
    contents = {token.content for token in kept}
    new = [token for token in (as_token(item, special=True) for item in tokens) if token.content not in contents]
    if new:
        files.additional = [*kept, *new]
    return new


def _claimed(files: TokenizerFiles, new: list[str]) -> Vocabulary:
    """Return the vocabulary with new tokens in place of [unused0], [unused1], ..."""
    tokens = list(files.vocabulary.tokens)
    free = files.unused_ids
    if len(free) < len(new):
        raise UsageError(
            f"{len(new)} tokens are new, and the vocabulary has only {len(free)} unused tokens such as [unused1]: leave "
            "claim_unused out, and enlarge the model's embedding to len(tokenizer)."
        )
    for index, content in zip(free, new, strict=False):
        tokens[index] = content
    return Vocabulary(tokens)
