"""Check the texts of a call and bring them into one form.

    "a text"                                     one text
    ["a text", "another"]                        a batch
    [("a text", "its pair"), ...]                a batch of pairs
    ["a", "text"]       is_split_into_words      one text
    [["a", "text"], []] is_split_into_words      a batch

The argument text_pair has the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

from bertkit.errors import UsageError, described

Words: TypeAlias = "list[str] | tuple[str, ...]"
TextInput: TypeAlias = "str | Sequence[str] | Sequence[Sequence[str]] | Sequence[Sequence[Sequence[str]]]"
Kind = Literal["texts", "words", "ids"]
_TYPES = {list, tuple}


class Inputs(NamedTuple):
    """A batch of inputs in one form."""

    first: Sequence[Any]  # [N] strings, lists of words or lists of ids, depending on `kind`
    second: Sequence[Any] | None
    kind: Kind
    batched: bool  # False: the input was one text or pair, not a batch of one


def read(text: Any, pair: Any, split: bool) -> Inputs:
    """Return the inputs of a call, which are one text or pair, or a batch, depending on their types.

    >>> read(["a text", "another"], None, False)
    Inputs(first=['a text', 'another'], second=None, kind='texts', batched=True)
    """
    if pair is None and not split:
        if type(text) is str:
            return Inputs((text,), None, "texts", batched=False)
        if type(text) is list and set(map(type, text)) == {str}:
            return Inputs(text, None, "texts", batched=True)
    text, pair = _listed(text), _listed(pair)
    if not _is_batch(text, split):
        return _text_only(read_one(text, pair, split))
    if pair is not None and (not isinstance(pair, (list, tuple)) or len(pair) != len(text)):
        received = f"has {len(pair)}" if isinstance(pair, (list, tuple)) else f"is {described(pair)}"
        raise UsageError(
            f"A batch of {len(text)} texts needs {len(text)} second texts, but text_pair {received}: type "
            "tokenizer([text, ...], [second, ...])."
        )
    return _text_only(read_batch(text if pair is None else list(zip(text, pair, strict=True)), split))


def read_one(text: object, pair: object, split: bool) -> Inputs:
    """Return one text or pair as inputs. A text is a string, a list of words, a list of tokens or a list of ids."""
    text, pair = _listed(text), _listed(pair)
    second = None if pair is None else (pair,)
    return _checked(Inputs((text,), second, _kind(text, split), batched=False))


def read_batch(batch: object, split: bool) -> Inputs:
    """Return a batch of texts, or of pairs, as inputs."""
    batch = _listed(batch)
    if not isinstance(batch, (list, tuple)):
        raise UsageError(f"A batch is a list of texts, not {described(batch)}: type [text, ...].")
    first: Sequence[Any] = batch
    second: Sequence[Any] | None = None
    if len(batch) and _is_pair(batch[0], split):
        odd = next((item for item in batch if not (type(item) in _TYPES and len(item) == 2)), None)
        if odd is not None:
            raise UsageError(
                f"A batch of pairs contains {described(odd)}, which is not a pair: type [(text, second), ...]."
            )
        first, second = [item[0] for item in batch], [item[1] for item in batch]
    kind: Kind = _kind(first[0], split) if len(first) else "words" if split else "texts"
    return _checked(Inputs(first, second, kind, batched=True))


def _text_only(inputs: Inputs) -> Inputs:
    """Raise UsageError for lists of ids or tokens, which only encode_plus and batch_encode_plus accept."""
    if inputs.kind == "ids":
        raise UsageError(_wrong_text(0, inputs.first[0], batched=True))
    return inputs


def _listed(value: Any) -> Any:
    """Return columns of tables and arrays of strings as lists, and other values unchanged."""
    if value is None or isinstance(value, (str, list, tuple, bytes, bytearray, dict)):
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, Sequence) else value


def _is_batch(text: Any, split: bool) -> bool:
    if not isinstance(text, (list, tuple)):
        return False
    return not split or (len(text) > 0 and isinstance(text[0], (list, tuple)))


def _is_pair(item: Any, split: bool) -> bool:
    """Whether the first item of a batch is a pair of texts or of lists of ids, or with `split` a pair of lists of words."""
    if not isinstance(item, (list, tuple)) or len(item) != 2:
        return False
    lists = all(isinstance(side, (list, tuple)) for side in item)
    return lists or (not split and all(isinstance(side, (str, list, tuple)) for side in item))


def _kind(item: Any, split: bool) -> Kind:
    if split:
        return "words"
    return "ids" if isinstance(item, (list, tuple)) else "texts"


def _checked(inputs: Inputs) -> Inputs:
    for side in (inputs.first,) if inputs.second is None else (inputs.first, inputs.second):
        if inputs.kind == "texts":
            _check_texts(side, inputs.batched)
        elif inputs.kind == "words":
            _check_words(side)
        else:
            _check_ids(side)
    return inputs


def _check_texts(texts: Sequence[Any], batched: bool) -> None:
    if not set(map(type, texts)) <= {str}:
        odd = next((item for item in enumerate(texts) if not isinstance(item[1], str)), None)
        if odd is not None:
            raise UsageError(_wrong_text(*odd, batched))


def _wrong_text(index: int, item: object, batched: bool) -> str:
    where = f"Number {index} of the batch" if batched else "The text"
    right = 'tokenizer("a text") or tokenizer(["a text", "another"])'
    if isinstance(item, (list, tuple)):
        right = 'tokenizer([["a", "text"]], is_split_into_words=True), or tokenizer([("a text", "its pair")])'
    if isinstance(item, (bytes, bytearray)):
        right = "tokenizer(text.decode())"
    if item is None:
        right += ", without None"
    return f"{where} is {described(item)}, and a text must be a string: type {right}."


def _check_words(batch: Sequence[Any]) -> None:
    for index, words in enumerate(batch):
        if not isinstance(words, (list, tuple)):
            raise UsageError(
                f"Text {index} is {described(words)}, and with is_split_into_words=True a text must be a list of words: type "
                'tokenizer(["a", "text"], is_split_into_words=True), or leave is_split_into_words out.'
            )
        odd = [word for word in words if not isinstance(word, str)]
        if odd:
            raise UsageError(
                f"Text {index} contains {described(odd[0])}, and a word must be a string: type "
                'tokenizer([["a", "text"], ["another"]], is_split_into_words=True).'
            )


def _check_ids(batch: Sequence[Any]) -> None:
    for index, ids in enumerate(batch):
        whole = isinstance(ids, (list, tuple)) and all(isinstance(item, (str, int)) for item in ids)
        if not whole or len({isinstance(item, str) for item in ids}) > 1 or not all(map(_is_token, ids)):
            raise UsageError(
                f"Text {index} is {described(ids)}, which is not a list of ids or tokens: type a string, [101, 2023], or "
                '["a", "text"] with is_split_into_words=True.'
            )


def _is_token(item: str | int) -> bool:
    return isinstance(item, str) or 0 <= item < 2**31
