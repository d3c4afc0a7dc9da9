"""The engine of a tokenizer, and the special tokens around a text."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, cast

from bertkit.errors import UsageError
from bertkit.text.files.description import TokenizerFiles
from bertkit.text.files.template import Part
from bertkit.text.tokens import Tokens
from bertkit.text.vocabulary import AddedToken
from bertkit.text.wordpiece.engine import OwnEngine
from bertkit.text.wordpiece.pieces import Engine

_logger = logging.getLogger("bertkit.text.tokenizer")


@dataclass(frozen=True)
class Frame:
    """The ids of the special tokens of a row: before + A + after, or before + A + between + B + after for a pair."""

    before: tuple[int, ...] = ()
    between: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    second_type: int = 1  # the token type of B and of `after` in a pair

    @cached_property
    def size(self) -> int:
        """The number of special tokens of a row."""
        return len(self.before) + len(self.between) + len(self.after)


@dataclass
class Warner:
    """Logs each kind of warning once, or no warnings with `verbose=False`."""

    verbose: bool = True
    _logged: set[str] = field(default_factory=set)

    def __call__(self, kind: str, message: str) -> None:
        """Log a message, unless one of this kind was logged before."""
        if self.verbose and kind not in self._logged:
            self._logged.add(kind)
            _logger.warning("%s", message)


@dataclass
class Encoder:
    """The engine of a tokenizer, and the special tokens around a text.

    A tokenizer makes a new Encoder when its tokens change. Other settings are read from `files` at each call.
    """

    files: TokenizerFiles
    tokens: Tokens
    warn: Warner

    @cached_property
    def engine(self) -> Engine:
        """The engine, which splits texts into pieces."""
        return _engine(self.files, self.files.added)

    @cached_property
    def plain_engine(self) -> Engine:
        """The engine that splits special tokens in a text like other text."""
        return _engine(self.files, {index: token for index, token in self.files.added.items() if not token.special})

    @cached_property
    def frames(self) -> tuple[Frame, Frame]:
        """The special tokens around one text, and around a pair."""
        template = self.files.template
        if template is not None:
            return _frame(template.single), _frame(template.pair)
        cls, sep = self.tokens.special_id("cls_token"), self.tokens.special_id("sep_token")
        if cls is None or sep is None:
            raise UsageError('cls_token and sep_token are needed around a text: type tokenizer.cls_token = "[CLS]".')
        return Frame((cls,), (), (sep,)), Frame((cls,), (sep,), (sep,))

    @cached_property
    def pad_id(self) -> int:
        """The id of the padding token."""
        return self.tokens.special_id("pad_token") or 0


class HasEncoder(Protocol):
    """A tokenizer with an encoder."""

    @property
    def encoder(self) -> Encoder: ...


def _engine(files: TokenizerFiles, added: Mapping[int, AddedToken]) -> Engine:
    fast = files.rules.compat == "fast"  # ignores never_split and do_basic_tokenize
    # Only the library itself finds tokens in normalized text, and single words, exactly as the library does.
    if files.foreign is not None or (fast and any(token.normalized or token.single_word for token in added.values())):
        from bertkit.text.files.compose import to_backend
        from bertkit.text.wordpiece.rust import RustEngine

        backend = to_backend(files)
        backend.encode_special_tokens = len(added) < len(files.added)
        return RustEngine(backend)
    # Google's code has a limit of 200 characters per word.
    longest = 200 if files.rules.compat == "google" and files.max_chars == 100 else files.max_chars
    return OwnEngine(
        files.vocabulary,
        files.rules,
        added,
        () if fast else files.never_split,
        unk=files.unk,
        prefix=files.prefix,
        max_chars=longest,
        basic=fast or files.do_basic_tokenize,
    )


def _frame(parts: tuple[Part, ...]) -> Frame:
    names = [part for part, _ in parts]
    a, b = names.index("A"), names.index("B") if "B" in names else len(names)
    ids = cast("list[int]", [-1 if isinstance(name, str) else name for name in names])
    if b == len(names):
        return Frame(tuple(ids[:a]), (), tuple(ids[a + 1 :]))
    return Frame(tuple(ids[:a]), tuple(ids[a + 1 : b]), tuple(ids[b + 1 :]), parts[b][1])
