"""Tokens that a tokenizer gets beside its vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from bertkit.errors import UsageError
from bertkit.text.files.description import ATTRIBUTES, TokenizerFiles
from bertkit.text.tokens import SPECIAL_NAMES
from bertkit.text.vocabulary import AddedToken, Vocabulary, as_token, check_added, give_ids

_UNUSED = re.compile(r"\[unused\d+\]")


def add(files: TokenizerFiles, tokens: Iterable[AddedToken], *, lower: bool = False, claim_unused: bool = False) -> int:
    """Add tokens to a description; the number of those that are new to the vocabulary.

    A token of the vocabulary keeps its id and is only looked for in the raw text from now on. `lower`: ordinary tokens
    are taken in lower case. `claim_unused`: new tokens take the places of `[unused0]`, `[unused1]`, ... rather than new
    ids, so that no embedding has to grow.

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
    """Make every special token an added token with an id."""
    named = [files.special[name] for name in ATTRIBUTES if name in files.special]
    have = {token.content for token in files.added.values()}
    missing = [token for token in [*named, *files.additional] if token.content not in have]
    if missing:
        add(files, missing)


def add_special_tokens(
    files: TokenizerFiles, tokens: Mapping[str, Any], replace_additional: bool, claim_unused: bool
) -> int:
    """Set special tokens by their attributes, and add those that are new; the number of the new ones."""
    if not isinstance(tokens, Mapping):
        raise UsageError(
            f"{tokens!r} is no dictionary: type "
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
            raise UsageError(f"{name!r} is none of {', '.join(SPECIAL_NAMES)}, additional_special_tokens.")
    return add(files, wanted, claim_unused=claim_unused)


def _set_additional(files: TokenizerFiles, tokens: Any, replace_all: bool) -> list[AddedToken]:
    if not isinstance(tokens, (list, tuple)):
        raise UsageError(f"additional_special_tokens={tokens!r} is no list: type [{tokens!r}].")
    have = [] if replace_all else files.additional
    contents = {token.content for token in have}
    new = [token for token in (as_token(item, special=True) for item in tokens) if token.content not in contents]
    if new:
        files.additional = [*have, *new]
    return new


def _claimed(files: TokenizerFiles, new: list[str]) -> Vocabulary:
    """The vocabulary with new tokens in unused places."""
    tokens = list(files.vocabulary.tokens)
    free = [index for index, token in enumerate(tokens) if _UNUSED.fullmatch(token) and index not in files.added]
    if len(free) < len(new):
        raise UsageError(
            f"{len(new)} tokens are new, and the vocabulary has {len(free)} places of the kind [unused1] left: leave "
            "claim_unused out, and enlarge the model's embedding to len(tokenizer)."
        )
    for index, content in zip(free, new, strict=False):
        tokens[index] = content
    return Vocabulary(tokens)
