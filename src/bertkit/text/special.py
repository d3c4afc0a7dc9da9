"""The special tokens of a tokenizer as its attributes: `cls_token`, `cls_token_id`, `all_special_tokens`, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from bertkit.errors import UsageError
from bertkit.text.vocabulary import AddedToken

if TYPE_CHECKING:
    from bertkit.text.files.description import TokenizerFiles

NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def added_token(token: object, special: bool) -> AddedToken:
    """A string, or an AddedToken of ours or of the `tokenizers` library, as an AddedToken."""
    if isinstance(token, str):
        return AddedToken(token, special=special)
    if isinstance(token, AddedToken) or all(hasattr(token, name) for name in ("content", "single_word", "lstrip")):
        names = ("content", "single_word", "lstrip", "rstrip", "normalized")
        return AddedToken(**{name: getattr(token, name) for name in names}, special=special or token.special)  # type: ignore[attr-defined]
    raise UsageError(
        f'{token!r} ({type(token).__name__}) is no token: type a string or AddedToken("[ENT]", special=True).'
    )


class _Token:
    """An attribute such as `cls_token`: a string, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: SpecialTokens | None, kind: type | None = None) -> Any:
        if owner is None:
            return self
        token = owner._files.special.get(self.name)
        return None if token is None else token.content

    def __set__(self, owner: SpecialTokens, token: object) -> None:
        owner._set_special(self.name, None if token is None else added_token(token, special=True))


class _TokenId:
    """An attribute such as `cls_token_id`: the id of that token, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, owner: SpecialTokens | None, kind: type | None = None) -> Any:
        if owner is None:
            return self
        token = owner._files.special.get(self.name)
        return None if token is None else owner.convert_tokens_to_ids(token.content)

    def __set__(self, owner: SpecialTokens, index: int | None) -> None:
        token = None if index is None else owner.convert_ids_to_tokens(index)
        if index is not None and owner.convert_tokens_to_ids(token) != index:
            raise UsageError(
                f'{self.name}_id={index!r} is no id of a token: type tokenizer.{self.name} = "[ENT]", which gets one.'
            )
        setattr(owner, self.name, token)


class SpecialTokens:
    """The part of a tokenizer that knows its special tokens."""

    _files: TokenizerFiles

    bos_token, bos_token_id = _Token(), _TokenId()
    eos_token, eos_token_id = _Token(), _TokenId()
    unk_token, unk_token_id = _Token(), _TokenId()
    sep_token, sep_token_id = _Token(), _TokenId()
    pad_token, pad_token_id = _Token(), _TokenId()
    cls_token, cls_token_id = _Token(), _TokenId()
    mask_token, mask_token_id = _Token(), _TokenId()

    pad_token_type_id = 0

    @property
    def additional_special_tokens(self) -> list[str]:
        """Special tokens beside those that have a name."""
        return [token.content for token in self._files.additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[str | AddedToken] | None) -> None:
        self._files.additional = [added_token(token, special=True) for token in tokens or ()]
        self._refresh()

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Their ids."""
        return cast("list[int]", self.convert_tokens_to_ids(self.additional_special_tokens))

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Sequence[int]) -> None:
        self.additional_special_tokens = self.convert_ids_to_tokens(list(ids))

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens by the names of their attributes.

        `special_tokens_map_extended` has them as AddedToken.
        """
        named: dict[str, str | list[str]] = {}
        for name, token in self.special_tokens_map_extended.items():
            named[name] = [str(item) for item in token] if isinstance(token, list) else str(token)
        return named

    @property
    def special_tokens_map_extended(self) -> dict[str, AddedToken | list[AddedToken]]:
        """The special tokens by the names of their attributes, with how they are looked for."""
        special = self._files.special
        named: dict[str, AddedToken | list[AddedToken]] = {name: special[name] for name in NAMES if name in special}
        if self._files.additional:
            named["additional_special_tokens"] = list(self._files.additional)
        return named

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """Every special token once, with how it is looked for."""
        special = self._files.special
        named = [special[name] for name in NAMES if name in special]
        return list({token.content: token for token in reversed([*named, *self._files.additional])}.values())[::-1]

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once."""
        return [token.content for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return cast("list[int]", self.convert_tokens_to_ids(self.all_special_tokens))

    def _set_special(self, name: str, token: AddedToken | None) -> None:
        if token is None:
            self._files.special.pop(name, None)
        else:
            self._files.special[name] = token
        self._refresh()

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """See the tokenizer."""
        raise NotImplementedError

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """See the tokenizer."""
        raise NotImplementedError

    def _refresh(self) -> None:
        """Forget what was built from the special tokens."""
        raise NotImplementedError
