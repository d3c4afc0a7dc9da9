"""The tokens of a tokenizer: ids <-> tokens, and ids -> text.

Ids do not hold the case and the whitespace of a text, so decoding is not exact: pieces are joined to words, words are
joined by spaces, and `clean_up` removes the spaces before English punctuation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from bertkit.errors import UsageError
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.panics import as_errors
from bertkit.text.vocabulary import AddedToken

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")

_CLEANED = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")


@dataclass
class Tokens:
    """The vocabulary, the added tokens and the special tokens. A tokenizer makes a new object when they change."""

    _files: TokenizerFiles
    _slow: bool

    @cached_property
    def added_ids(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return {token.content: index for index, token in sorted(self._files.added.items())}

    @cached_property
    def backend(self) -> Tokenizer:
        """The tokenizer as a `tokenizers.Tokenizer`."""
        from bertkit.text.files.compose import to_backend

        return to_backend(self._files)

    # Ids and tokens.

    def id_of(self, token: str) -> int | None:
        """Return the id of a token. Unknown tokens get the id of the unknown token."""
        index = self.added_ids.get(token)
        if index is None:
            index = self._files.vocabulary.ids.get(token)
        if index is None:
            unknown = self._files.special.get("unk_token")
            return None if unknown is None or unknown.content == token else self.id_of(unknown.content)
        return index

    def ids_of(self, tokens: Any) -> Any:
        """Return the id of a token, or a list of ids for several tokens."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self.id_of(tokens)
        if isinstance(tokens, Iterable):
            tokens = list(tokens)
            if all(isinstance(token, str) for token in tokens):
                return [self.id_of(token) for token in tokens]
        raise UsageError(
            f'{tokens!r} is not a token: type tokenizer.convert_tokens_to_ids(["the", "##s"]), or one string.'
        )

    def token_of(self, index: int) -> str | None:
        """Return the token of an id. For an unknown id the slow tokenizer returns `[UNK]`, the fast one None."""
        added = self._files.added.get(index)
        if added is not None:
            return added.content
        tokens = self._files.vocabulary.tokens
        if 0 <= index < len(tokens):
            return tokens[index]
        unknown = self._files.special.get("unk_token")
        return unknown.content if self._slow and unknown is not None else None

    def tokens_of(self, ids: Any, skip_special_tokens: bool) -> Any:
        """Return the token of an id, or a list of tokens for several ids."""
        if hasattr(ids, "__index__") and not getattr(ids, "shape", None):
            return self.token_of(ids.__index__())
        skipped = {self.id_of(token.content) for token in self.special()} if skip_special_tokens else ()
        found = id_list(ids, "tokenizer.convert_ids_to_tokens")
        return [self.token_of(index) for index in found if index not in skipped]

    def names(self, ids: list[int]) -> list[str]:
        """Return the tokens of valid ids."""
        added, tokens = self._files.added, self._files.vocabulary.tokens
        return [added[index].content if index in added else tokens[index] for index in ids]

    # Special tokens.

    def special_id(self, name: str) -> int | None:
        """Return the id of a special token by its attribute, such as "cls_token"."""
        token = self._files.special.get(name)
        return None if token is None else self.id_of(token.content)

    def special_by_name(self) -> dict[str, AddedToken | list[AddedToken]]:
        """Return the special tokens by their attributes."""
        special = self._files.special
        named: dict[str, AddedToken | list[AddedToken]] = {
            name: special[name] for name in SPECIAL_NAMES if name in special
        }
        if self._files.additional:
            named["additional_special_tokens"] = list(self._files.additional)
        return named

    def special(self) -> list[AddedToken]:
        """Return every special token once."""
        special = self._files.special
        named = [special[name] for name in SPECIAL_NAMES if name in special]
        return list({token.content: token for token in reversed([*named, *self._files.additional])}.values())[::-1]

    # Decoding.

    def decode(self, ids: Any, skip_special_tokens: bool, clean: bool | None, spaces: bool) -> str:
        """Return ids as text. `spaces`: the slow tokenizer puts spaces around added tokens. `clean`: see `clean_up`."""
        found = id_list(ids)
        if self._files.foreign is not None:
            with as_errors("The tokenizers library cannot decode these ids"):
                text = str(self.backend.decode(found, skip_special_tokens=skip_special_tokens))
        elif self._slow:
            text = self._decode_slow(found, skip_special_tokens, spaces)
        else:
            special = {index for index, token in self._files.added.items() if token.special and skip_special_tokens}
            tokens = [self.token_of(index) for index in found if index not in special]
            text = join_and_clean(
                [token for token in tokens if token is not None], self._files.prefix, self._files.decoder_clean_up
            )
        return clean_up(text) if (self._files.clean_up if clean is None else clean) else text

    def join(self, tokens: Sequence[str]) -> str:
        """Return tokens as text: pieces joined to words, words joined by spaces."""
        if not isinstance(tokens, (list, tuple)) or not all(isinstance(token, str) for token in tokens):
            raise UsageError(
                f'{tokens!r:.80} is not a list of tokens: type tokenizer.convert_tokens_to_string(["un", "##able"]).'
            )
        if self._files.foreign is not None:
            with as_errors("The tokenizers library cannot join these tokens"):
                return str(self.backend.decoder.decode(tokens))
        if self._slow:
            return join_pieces(tokens, self._files.prefix)
        return join_and_clean(tokens, self._files.prefix, self._files.decoder_clean_up)

    def _decode_slow(self, ids: list[int], skip_special_tokens: bool, spaces: bool) -> str:
        """Decode as the slow tokenizer does: added tokens are separate words, additional special tokens only if they are new."""
        special = {token.content for token in self.special()}
        tokens = [token for token in map(self.token_of, ids) if token is not None]
        if skip_special_tokens:
            tokens = [token for token in tokens if token not in special]
        size = len(self._files.vocabulary)
        additional = {token.content for token in self._files.additional if (self.id_of(token.content) or 0) >= size}
        apart = (set(self.added_ids) - special) | additional
        return join_around_added(tokens, apart, self._files.prefix, " " if spaces else "")


def clean_up(text: str) -> str:
    """Remove the spaces before English punctuation and contractions.

    >>> clean_up("it is n't so , is it ?")
    "it isn't so, is it?"
    """
    for spaced in _CLEANED:
        text = text.replace(spaced, spaced.strip())
    return text


def join_pieces(tokens: Sequence[str], prefix: str = "##") -> str:
    """Return tokens as text, with the pieces of a word joined.

    >>> join_pieces(["un", "##aff", "##able", "people"])
    'unaffable people'
    """
    return " ".join(tokens).replace(" " + prefix, "").strip()


def join_and_clean(tokens: Sequence[str], prefix: str = "##", clean: bool = True) -> str:
    """Return tokens as text as the `tokenizers` library does, which removes spaces before punctuation token by token.

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
    """Clean up a token with the space before it. Results are cached, since tokens repeat."""
    return clean_up(token.replace(" do not", " don't"))


def join_around_added(tokens: Sequence[str], added: Iterable[str], prefix: str, blank: str) -> str:
    """Return tokens as text as the slow tokenizer does: `blank` separates each added token from the text around it.

    >>> join_around_added(["un", "##able", "[X]", "to"], ["[X]"], "##", " ")
    'unable [X] to'
    """
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
    """Return one id, or a list, an array or a tensor of ids, as a list. `call` is the call to advise in the error.

    >>> id_list(range(3))
    [0, 1, 2]
    """
    if type(ids) is list and set(map(type, ids)) == {int}:
        return ids
    ids = _plain(ids)
    if isinstance(ids, int):
        return [ids]
    if isinstance(ids, (list, tuple, range)):
        found = [_plain(item) for item in ids]
        if all(isinstance(item, int) for item in found):
            return found
        if all(isinstance(item, (list, tuple)) for item in found):
            raise UsageError(
                "The ids are a batch of rows: type tokenizer.batch_decode(rows), which returns a list of texts."
            )
    shown = repr(ids) if len(repr(ids)) <= 60 else repr(ids)[:57] + "..."
    raise UsageError(f"{shown} is not a list of ids: type {call}([101, 2023, 102]).")


def _plain(value: Any) -> Any:
    """Return an array or a tensor as Python numbers."""
    if type(value) is int:
        return value
    if hasattr(value, "numpy"):  # also TensorFlow's tensors, which have no tolist
        value = value.numpy()
    return value.tolist() if hasattr(value, "tolist") else value
