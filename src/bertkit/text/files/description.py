"""What a tokenizer is: what its files say."""

from __future__ import annotations

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
"""The longest input by default: BERT's."""

USUAL_COLUMNS = ["input_ids", "token_type_ids", "attention_mask"]
"""What a call returns by default."""

USUAL_PREFIX = "##"
"""What begins a piece that is not the first of its word."""

SPECIAL = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
"""BERT's special tokens, by the attribute that holds them, in the order in which they are added where they are missing."""

ATTRIBUTES = ("bos_token", "eos_token", *SPECIAL)
"""All attributes that hold a special token."""


def special_tokens() -> dict[str, AddedToken]:
    """BERT's own special tokens, by attribute."""
    return {name: AddedToken(content, special=True) for name, content in SPECIAL.items()}


class Found(NamedTuple):
    """The JSON files of a place, by name."""

    place: Place
    paths: Mapping[str, Path]
    texts: Mapping[str, str]
    objects: Mapping[str, dict[str, Any]]
    settings: Mapping[str, Any]  # of tokenizer_config.json and the arguments of the call
    overrides: Mapping[str, Any]  # the latter alone


@dataclass
class TokenizerFiles:
    """All that the files of a tokenizer say."""

    vocabulary: Vocabulary
    rules: Rules = field(default_factory=Rules)
    special: dict[str, AddedToken] = field(default_factory=special_tokens)  # by attribute, such as "cls_token"
    additional: list[AddedToken] = field(default_factory=list)  # additional_special_tokens
    added: dict[int, AddedToken] = field(default_factory=dict)  # by id: the special tokens, and those of add_tokens
    do_basic_tokenize: bool = True  # False: the slow tokenizer only splits at blanks
    never_split: tuple[str, ...] = ()  # words that the slow tokenizer leaves alone
    model_max_length: int = DEFAULT_LENGTH
    padding_side: Side = "right"
    truncation_side: Side = "right"
    model_input_names: list[str] = field(default_factory=lambda: list(USUAL_COLUMNS))
    split_special_tokens: bool = False  # special tokens in a text are text
    clean_up: bool = True  # clean_up_tokenization_spaces
    decoder_clean_up: bool = True  # the same, of the decoder in tokenizer.json, which the fast tokenizer always runs
    prefix: str = USUAL_PREFIX  # of a piece that is not the first of its word
    max_chars: int = 100  # a longer word is unknown
    unk: str = "[UNK]"  # the token of an unknown word
    template: Template | None = None  # None: BERT's own
    truncation: Mapping[str, Any] | None = None  # the sections of tokenizer.json, kept on saving
    padding: Mapping[str, Any] | None = None
    foreign: str | None = None  # the text of a tokenizer.json that is not a plain BERT one
    extra: dict[str, Any] = field(
        default_factory=dict
    )  # keys of tokenizer_config.json that no field is for, kept on saving

    @property
    def lowers_added(self) -> bool:
        """Whether ordinary tokens are added in lower case, in which text is when they are looked for."""
        return self.rules.lowercase and self.rules.compat != "fast" and self.do_basic_tokenize

    def id_of(self, token: str) -> int | None:
        """The id of an added token or of one of the vocabulary."""
        return next(
            (index for index, added in self.added.items() if added.content == token), self.vocabulary.ids.get(token)
        )
