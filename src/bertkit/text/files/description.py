"""TokenizerFiles: the description of a tokenizer, which is the content of its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bertkit.hub import Place
from bertkit.text.files.template import Template
from bertkit.text.vocabulary import AddedToken, Vocabulary
from bertkit.text.wordpiece.characters import Rules

Side = Literal["left", "right"]

DEFAULT_LENGTH = 512
"""The default maximum number of tokens of a BERT."""

USUAL_COLUMNS = ["input_ids", "token_type_ids", "attention_mask"]
"""The columns that a call returns by default."""

USUAL_PREFIX = "##"
"""The prefix of a piece that is not the first of its word."""

_UNUSED = re.compile(r"\[unused\d+\]")

SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
"""BERT's special tokens by attribute. Missing ones are added in this order."""

ATTRIBUTES = ("bos_token", "eos_token", *SPECIAL)
"""The attributes that are a special token."""


def special_tokens() -> dict[str, AddedToken]:
    """Return BERT's default special tokens by attribute."""
    return {name: AddedToken(content, special=True) for name, content in SPECIAL.items()}


class JsonFiles(NamedTuple):
    """The JSON files of a place by name, and the settings for the tokenizer."""

    place: Place
    paths: Mapping[str, Path]
    texts: Mapping[str, str]
    objects: Mapping[str, dict[str, Any]]
    settings: Mapping[str, Any]  # those of tokenizer_config.json, updated by the arguments of the call
    overrides: Mapping[str, Any]  # the arguments of the call


@dataclass
class TokenizerFiles:
    """The content of the files of a tokenizer."""

    vocabulary: Vocabulary
    rules: Rules = field(default_factory=Rules)
    special: dict[str, AddedToken] = field(default_factory=special_tokens)  # by attribute, such as "cls_token"
    additional: list[AddedToken] = field(default_factory=list)  # additional_special_tokens
    added: dict[int, AddedToken] = field(default_factory=dict)  # by id: the special tokens, and those of add_tokens
    do_basic_tokenize: bool = True  # False: the slow tokenizer only splits at whitespace
    never_split: tuple[str, ...] = ()  # words that the slow tokenizer does not split
    model_max_length: int = DEFAULT_LENGTH
    padding_side: Side = "right"
    truncation_side: Side = "right"
    model_input_names: list[str] = field(default_factory=lambda: list(USUAL_COLUMNS))
    split_special_tokens: bool = False  # special tokens in a text are split like other text
    clean_up: bool = True  # clean_up_tokenization_spaces
    decoder_clean_up: bool = True  # the same setting of the decoder in tokenizer.json, used by the fast tokenizer
    prefix: str = USUAL_PREFIX  # of a piece that is not the first of its word
    max_chars: int = 100  # a longer word is unknown
    unk: str = "[UNK]"  # the token for unknown words
    template: Template | None = None  # None: BERT's default
    truncation: Mapping[str, Any] | None = None  # the sections of tokenizer.json, kept on saving
    padding: Mapping[str, Any] | None = None
    foreign: str | None = None  # the text of a tokenizer.json that only the tokenizers library can run
    extra: dict[str, Any] = field(default_factory=dict)  # other keys of tokenizer_config.json, kept on saving

    @property
    def lowers_added(self) -> bool:
        """Whether added tokens that are not special are lower-cased, since the text is lower-cased before the search."""
        return self.rules.lowercase and self.rules.compat != "fast" and self.do_basic_tokenize

    @property
    def unused_ids(self) -> list[int]:
        """The ids of `[unused0]`, `[unused1]`, ..., in their order."""
        tokens = enumerate(self.vocabulary.tokens)
        return [index for index, token in tokens if _UNUSED.fullmatch(token) and index not in self.added]

    def id_of(self, token: str) -> int | None:
        """Return the id of an added token or of a token in the vocabulary, or None."""
        return next(
            (index for index, added in self.added.items() if added.content == token), self.vocabulary.ids.get(token)
        )
