"""Ids and tokens -> text.

Text that went through BERT is lower-cased and has lost its blanks, so what comes back reads alike, no more: pieces are
joined to words, words by blanks, and `clean_up` takes away the blanks that English has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from bertkit.errors import UsageError

_CLEANED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


def clean_up(text: str) -> str:
    """Take away the blanks before English punctuation and contractions.

    >>> clean_up("it is n't so , is it ?")
    "it isn't so, is it?"
    """
    for spaced in _CLEANED:
        text = text.replace(spaced, spaced.strip())
    return text


def join_pieces(tokens: Sequence[str], prefix: str = "##") -> str:
    """Tokens as text, the pieces of a word joined.

    >>> join_pieces(["un", "##aff", "##able", "people"])
    'unaffable people'
    """
    return " ".join(tokens).replace(" " + prefix, "").strip()


def join_and_clean(tokens: Sequence[str], prefix: str = "##", clean: bool = True) -> str:
    """Tokens as text the way the `tokenizers` library does it, which cleans up token by token.

    >>> join_and_clean(["un", "##aff", "##able", "people", "."])
    'unaffable people.'
    """
    words = []
    for index, token in enumerate(tokens):
        if index:
            token = token[len(prefix) :] if token.startswith(prefix) else " " + token
        words.append(_cleaned(token) if clean else token)
    return "".join(words)


@lru_cache(2**16)
def _cleaned(token: str) -> str:
    """A token with its blank, cleaned up; most texts have few that are new."""
    return clean_up(token.replace(" do not", " don't"))


def join_around_added(tokens: Sequence[str], added: Iterable[str], prefix: str, blank: str) -> str:
    """Tokens as text the way the slow tokenizer does it: each added token stands by itself, with `blank` around it."""
    apart = set(added)
    parts: list[str] = []
    run: list[str] = []
    for token in [*tokens, None]:
        if token is not None and token not in apart:
            run.append(token)
            continue
        joined = join_pieces(run, prefix)
        if joined or (run and token is None):
            parts.append(joined)
        run = []
        if token is not None:
            parts.append(token)
    return blank.join(parts)


def id_list(ids: Any, call: str = "tokenizer.decode") -> list[int]:
    """One id, a list, an array or a tensor of ids as a list. `call` is what to type with a list of ids instead."""
    ids = _plain(ids)
    if isinstance(ids, int):
        return [ids]
    if isinstance(ids, (list, tuple, range)):
        found = [_plain(item) for item in ids]
        if all(isinstance(item, int) for item in found):
            return found
        if all(isinstance(item, (list, tuple)) for item in found):
            raise UsageError(
                "A batch of rows of ids came: type tokenizer.batch_decode(rows), which gives a list of texts."
            )
    shown = repr(ids) if len(repr(ids)) <= 60 else repr(ids)[:57] + "..."
    raise UsageError(f"{shown} is no list of ids: type {call}([101, 2023, 102]).")


def _plain(value: Any) -> Any:
    """An array or a tensor as Python's own."""
    if type(value) is int:
        return value
    if hasattr(value, "numpy"):  # also TensorFlow's tensors, which have no tolist
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value
