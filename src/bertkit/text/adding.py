"""Tokens that a tokenizer gets beside its vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from bertkit.errors import UsageError
from bertkit.text.description import ATTRIBUTES, TokenizerFiles
from bertkit.text.vocabulary import AddedToken, Vocabulary

_UNUSED = re.compile(r"\[unused\d+\]")


def add(files: TokenizerFiles, tokens: Iterable[AddedToken], *, lower: bool = False, claim_unused: bool = False) -> int:
    """Add tokens to a description; the number of those that are new to the vocabulary.

    A token of the vocabulary keeps its id and is only looked for in the raw text from now on. `lower`: ordinary tokens
    are taken in lower case. `claim_unused`: new tokens take the places of `[unused0]`, `[unused1]`, ... rather than new
    ids, so that no embedding has to grow.
    """
    ids = {token.content: index for index, token in files.added.items()}
    wanted: dict[str, AddedToken] = {}
    for token in tokens:
        if lower and token.normalized and not token.special:
            token = replace(token, content=token.content.lower())
        if token.content:
            wanted.setdefault(token.content, token)
    new = [content for content in wanted if content not in ids and content not in files.vocabulary]
    places = _claimed(files, new) if claim_unused else range(_next(files), _next(files) + len(new))
    chosen = dict(zip(new, places, strict=True))
    for content, token in wanted.items():
        index = chosen.get(content, ids.get(content, files.vocabulary.ids.get(content, -1)))
        files.added[index] = token
    return len(new)


def add_missing_special_tokens(files: TokenizerFiles) -> None:
    """See to it that every special token is an added token with an id."""
    named = [files.special[name] for name in ATTRIBUTES if name in files.special]
    have = {token.content for token in files.added.values()}
    add(files, [token for token in [*named, *files.additional] if token.content not in have])


def _next(files: TokenizerFiles) -> int:
    """The first id beyond all."""
    return max(len(files.vocabulary.tokens), max(files.added, default=-1) + 1)


def _claimed(files: TokenizerFiles, new: list[str]) -> list[int]:
    """The ids of unused places, in which the new tokens now stand."""
    tokens = list(files.vocabulary.tokens)
    free = [index for index, token in enumerate(tokens) if _UNUSED.fullmatch(token) and index not in files.added]
    if len(free) < len(new):
        raise UsageError(
            f"{len(new)} tokens are new, and the vocabulary has {len(free)} places of the kind [unused1] left: leave "
            "claim_unused out, and enlarge the model's embedding to len(tokenizer)."
        )
    for index, content in zip(free, new, strict=False):
        tokens[index] = content
    if new:
        files.vocabulary = Vocabulary(tokens)
    return free[: len(new)]
