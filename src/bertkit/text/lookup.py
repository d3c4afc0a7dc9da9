"""The part of a tokenizer that knows its tokens: ids and tokens both ways, added tokens, ids back to text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from bertkit.errors import UsageError
from bertkit.text import decoding
from bertkit.text.adding import add, add_missing_special_tokens
from bertkit.text.special import NAMES, SpecialTokens, added_token
from bertkit.text.vocabulary import AddedToken

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CACHED = ("_engine", "_plain_engine", "_frames", "backend_tokenizer", "_added_ids")


class Lookup(SpecialTokens):
    """Tokens, ids and text."""

    _slow: ClassVar[bool]

    @cached_property
    def _added_ids(self) -> dict[str, int]:
        return {token.content: index for index, token in sorted(self._files.added.items())}

    def _refresh(self) -> None:
        for name in _CACHED:
            self.__dict__.pop(name, None)

    @property
    def vocab_size(self) -> int:
        """How many tokens the vocabulary has, without added ones; `len(tokenizer)` counts those too."""
        return len(self._files.vocabulary)

    def __len__(self) -> int:
        return len(self._files.vocabulary) + sum(token not in self._files.vocabulary for token in self._added_ids)

    def __bool__(self) -> bool:
        return True

    @property
    def vocab(self) -> dict[str, int]:
        """The id of every token: `tokenizer.vocab["here"]`."""
        return self._files.vocabulary.ids | self._added_ids

    def get_vocab(self) -> dict[str, int]:
        """The id of every token, added ones too."""
        return self.vocab

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """The token of every id of the vocabulary."""
        return {index: token for token, index in self._files.vocabulary.ids.items()}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(sorted(self._files.added.items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return dict(self._added_ids)

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return dict(self._added_ids)

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token, or a list of ids for a list of tokens. A token that there is not has the id of `[UNK]`."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._id(tokens)
        if isinstance(tokens, Iterable):
            tokens = list(tokens)
            if all(isinstance(token, str) for token in tokens):
                return [self._id(token) for token in tokens]
        raise UsageError(
            f'{tokens!r} is no token: type tokenizer.convert_tokens_to_ids(["the", "##s"]), or one string.'
        )

    def _id(self, token: str) -> int | None:
        index = self._added_ids.get(token)
        if index is None:
            index = self._files.vocabulary.ids.get(token)
        if index is None:
            unknown = self._files.special.get("unk_token")
            return None if unknown is None or unknown.content == token else self._id(unknown.content)
        return index

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """The token of an id, or a list of tokens for a list of ids.

        An id that there is not gives `[UNK]` for BertTokenizer and None for BertTokenizerFast.
        """
        if hasattr(ids, "__index__") and not getattr(ids, "shape", None):
            return self._token(ids.__index__())
        skipped = set(self.all_special_ids) if skip_special_tokens else ()
        found = decoding.id_list(ids, "tokenizer.convert_ids_to_tokens")
        return [self._token(index) for index in found if index not in skipped]

    def _token(self, index: int) -> str | None:
        added = self._files.added.get(index)
        if added is not None:
            return added.content
        tokens = self._files.vocabulary.tokens
        if 0 <= index < len(tokens):
            return tokens[index]
        return self.unk_token if self._slow else None

    def _names(self, ids: list[int]) -> list[str]:
        """The tokens of ids that an engine gave."""
        added, tokens = self._files.added, self._files.vocabulary.tokens
        return [added[index].content if index in added else tokens[index] for index in ids]

    def add_tokens(
        self,
        new_tokens: str | AddedToken | Sequence[str | AddedToken],
        special_tokens: bool = False,
        *,
        claim_unused: bool = False,
    ) -> int:
        """Add tokens that are found in raw text before it is split into words; how many of them were new.

        The model's embedding then has to grow to `len(tokenizer)`, unless `claim_unused=True` lets the new tokens take
        the places that BERT's vocabularies keep free as `[unused0]`, `[unused1]`, ...
        """
        tokens = new_tokens if isinstance(new_tokens, (list, tuple, set, frozenset, dict)) else [new_tokens]
        special = special_tokens or None
        named = set(self.all_special_tokens)
        wanted = [added_token(token, bool(special) or str(token) in named) for token in tokens]
        count = add(self._files, wanted, lower=self._files.lowers_added, claim_unused=claim_unused)
        if self._slow:  # which takes every special token for one of its additional ones
            self._files.additional += [token for token in wanted if token.special and token.content not in named]
        self._refresh()
        return count

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, str | AddedToken | Sequence[str | AddedToken]],
        replace_additional_special_tokens: bool = True,
        *,
        claim_unused: bool = False,
    ) -> int:
        """Set special tokens by the names of their attributes, and add those that are new; how many that were.

        tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]", "[/ENT]"]})
        """
        if not isinstance(special_tokens_dict, Mapping):
            raise UsageError(
                f"{special_tokens_dict!r} is no dictionary: type "
                'tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]"]}).'
            )
        wanted: list[AddedToken] = []
        for name, value in special_tokens_dict.items():
            if name == "additional_special_tokens":
                wanted += self._set_additional(value, replace_additional_special_tokens)
            elif name in NAMES:
                token = added_token(value, special=True)
                self._files.special[name] = token
                wanted.append(token)
            else:
                raise UsageError(f"{name!r} is none of {', '.join(NAMES)}, additional_special_tokens.")
        count = add(self._files, wanted, claim_unused=claim_unused)
        self._refresh()
        return count

    def _set_additional(self, tokens: Any, replace_all: bool) -> list[AddedToken]:
        if not isinstance(tokens, (list, tuple)):
            raise UsageError(f"additional_special_tokens={tokens!r} is no list: type [{tokens!r}].")
        have = [] if replace_all else self._files.additional
        contents = {token.content for token in have}
        new = [token for token in (added_token(item, special=True) for item in tokens) if token.content not in contents]
        if new:
            self._files.additional = [*have, *new]
        return new

    def _add_missing(self) -> None:
        add_missing_special_tokens(self._files)
        self._refresh()

    @cached_property
    def backend_tokenizer(self) -> Tokenizer:
        """The same as a `tokenizers.Tokenizer`; changes to it do not reach this tokenizer."""
        from bertkit.text.wordpiece.rust import to_backend

        return to_backend(self._files)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Tokens as text: pieces joined to words, words by blanks."""
        if not isinstance(tokens, (list, tuple)) or not all(isinstance(token, str) for token in tokens):
            raise UsageError(
                f'{tokens!r:.80} is no list of tokens: type tokenizer.convert_tokens_to_string(["un", "##able"]).'
            )
        if self._files.foreign is not None:
            return str(self.backend_tokenizer.decoder.decode(tokens))
        return decoding.join_pieces(tokens, self._files.prefix) if self._slow else self._joined(tokens)

    def _joined(self, tokens: list[str]) -> str:
        return decoding.join_and_clean(tokens, self._files.prefix, self._files.decoder_clean_up)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> str:
        """Ids as text. `token_ids` is an id, a list, an array or a tensor of one row.

        `clean_up_tokenization_spaces` takes away blanks before English punctuation; None: as the tokenizer's own setting.
        """
        ids = decoding.id_list(token_ids)
        clean = (
            self.clean_up_tokenization_spaces if clean_up_tokenization_spaces is None else clean_up_tokenization_spaces
        )
        if self._files.foreign is not None:
            text = str(self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))
        elif self._slow:
            tokens = self.convert_ids_to_tokens(ids)
            if skip_special_tokens:
                skipped = set(self.all_special_tokens)
                tokens = [token for token in tokens if token not in skipped]
            blank = " " if spaces_between_special_tokens else ""
            text = decoding.join_around_added(tokens, self._apart(), self._files.prefix, blank)
        else:
            special = {index for index, token in self._files.added.items() if token.special and skip_special_tokens}
            tokens = [self._token(index) for index in ids if index not in special]
            text = self._joined([token for token in tokens if token is not None])
        return decoding.clean_up(text) if clean else text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> list[str]:
        """`decode` for each row of a batch."""
        if isinstance(sequences, (str, bytes)) or not hasattr(sequences, "__iter__"):
            raise UsageError(
                f"{sequences!r} is no batch of rows of ids: type tokenizer.batch_decode([[101, 2023, 102]])."
            )
        flags = (skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens)
        return [self.decode(row, *flags) for row in sequences]

    def _apart(self) -> set[str]:
        """The added tokens that stand by themselves in decoded text."""
        size = self.vocab_size
        ordinary = set(self._added_ids) - set(self.all_special_tokens)
        return ordinary | {token for token in self.additional_special_tokens if self._id(token) >= size}  # type: ignore[operator]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Take away the blanks before English punctuation."""
        return decoding.clean_up(out_string)

    @property
    def clean_up_tokenization_spaces(self) -> bool:
        """Whether `decode` takes away the blanks before English punctuation."""
        return self._files.clean_up

    @clean_up_tokenization_spaces.setter
    def clean_up_tokenization_spaces(self, value: bool) -> None:
        self._files.clean_up = bool(value)
