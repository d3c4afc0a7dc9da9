"""BertTokenizer and BertTokenizerFast: text -> the inputs of a model, and ids -> text.

A tokenizer has a description (`TokenizerFiles`), and two parts made from it: `Tokens` converts ids, tokens and text, and
`Encoder` holds the engine and the special tokens around a text. Each of the two classes equals the transformers class of the
same name. They differ in some rare characters, in the result for texts that are too long, and in decoding added tokens.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from operator import is_
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast

from bertkit.errors import UsageError
from bertkit.hub import locate
from bertkit.hub.saving import PushesToHub
from bertkit.interop import PassesForTheirs
from bertkit.text.adding import add, add_missing_special_tokens, add_special_tokens
from bertkit.text.batch_encoding import BatchEncoding
from bertkit.text.call import columns, sequences
from bertkit.text.call.cutting import Side
from bertkit.text.call.encoder import Encoder, Warner
from bertkit.text.call.inputs import Inputs, TextInput, read, read_batch, read_one
from bertkit.text.call.options import PLAIN, CallOptions, Options, check, options_of, refuse_unknown
from bertkit.text.call.padding import pad_columns
from bertkit.text.call.rows import Encodings, encodings
from bertkit.text.files import TokenizerFiles, check_folder, read_files, write_files
from bertkit.text.files.description import USUAL_COLUMNS
from bertkit.text.files.settings import FIELDS, change, settings_of
from bertkit.text.neutral import settings_in
from bertkit.text.parts import BasicTokenizer, WordpieceTokenizer
from bertkit.text.tokens import SPECIAL_NAMES, Tokens, clean_up, id_list
from bertkit.text.vocabulary import AddedToken, Vocabulary, as_token, vocabulary_of
from bertkit.text.wordpiece.pieces import Engine
from bertkit.text.wordpiece.steps import Rules

if TYPE_CHECKING:
    from typing import Self

    from tokenizers import Tokenizer
    from typing_extensions import Unpack

    from bertkit.text.neutral import Arguments

Ids = list[int]
Value = TypeVar("Value")


class _Setting(Generic[Value]):
    """A setting as an attribute. It is stored in the description, and checked when it is set."""

    def __init__(self, doc: str) -> None:
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self.name, self.field = name, FIELDS[name]

    def __get__(self, owner: _Tokenizer | None, kind: type | None = None) -> Value:
        return cast(Value, self if owner is None else getattr(owner._files, self.field))

    def __set__(self, owner: _Tokenizer, value: Value) -> None:
        change(owner._files, {self.name: value})


class _Token:
    """A special token as an attribute, such as `cls_token`: a string, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, owner: _Tokenizer | None, kind: type | None = None) -> Any:
        if owner is None:
            return self
        token = owner._files.special.get(self.name)
        return None if token is None else token.content

    def __set__(self, owner: _Tokenizer, token: object) -> None:
        if token is None:
            owner._files.special.pop(self.name, None)
        else:
            owner._files.special[self.name] = as_token(token, special=True)
        owner._refresh()


class _TokenId:
    """The id of a special token as an attribute, such as `cls_token_id`: an integer, or None."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, owner: _Tokenizer | None, kind: type | None = None) -> Any:
        return self if owner is None else owner._tokens.special_id(self.name)

    def __set__(self, owner: _Tokenizer, index: int | None) -> None:
        token = None if index is None else owner.convert_ids_to_tokens(index)
        if index is not None and owner.convert_tokens_to_ids(token) != index:
            raise UsageError(
                f'{self.name}_id={index!r} is not the id of a token: type tokenizer.{self.name} = "[ENT]" to add a token.'
            )
        setattr(owner, self.name, token)


class _Tokenizer(PassesForTheirs, PushesToHub):
    """The methods that both tokenizers have."""

    _theirs = ("transformers.tokenization_utils_base", "PreTrainedTokenizerBase")
    _pushed = "tokenizer"
    _compat: ClassVar[Literal["slow", "fast"]]
    _slow: ClassVar[bool]
    vocab_files_names: ClassVar[dict[str, str]] = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}

    bos_token, bos_token_id = _Token(), _TokenId()
    eos_token, eos_token_id = _Token(), _TokenId()
    unk_token, unk_token_id = _Token(), _TokenId()
    sep_token, sep_token_id = _Token(), _TokenId()
    pad_token, pad_token_id = _Token(), _TokenId()
    cls_token, cls_token_id = _Token(), _TokenId()
    mask_token, mask_token_id = _Token(), _TokenId()
    pad_token_type_id = 0
    SPECIAL_TOKENS_ATTRIBUTES: ClassVar[list[str]] = [*SPECIAL_NAMES, "additional_special_tokens"]

    model_max_length = _Setting[int]("The maximum number of tokens for the model, including special tokens.")
    model_input_names = _Setting[list[str]]("The columns that a call returns.")
    split_special_tokens = _Setting[bool]("Whether special tokens in a text are split like other text.")
    padding_side = _Setting[Side]('The side, "right" or "left", on which rows are padded.')
    truncation_side = _Setting[Side]('The side, "right" or "left", on which texts are truncated.')
    clean_up_tokenization_spaces = _Setting[bool]("Whether `decode` removes the spaces before English punctuation.")

    # Loading and saving.

    def __init__(
        self,
        vocab_file: str | os.PathLike[str] | Mapping[str, int] | Sequence[str] | Vocabulary | None = None,
        *,
        tokenizer_file: str | os.PathLike[str] | None = None,
        vocab: str | os.PathLike[str] | Mapping[str, int] | Sequence[str] | None = None,
        verbose: bool = True,
        **settings: Unpack[Arguments],
    ) -> None:
        """Make a tokenizer from a `vocab.txt`, or from a `tokenizer.json`.

        Settings and their defaults:

        - splitting a text into words: `do_lower_case=True`, `strip_accents=None` (as do_lower_case),
          `tokenize_chinese_chars=True`, `clean_text=True`, `do_basic_tokenize=True`, `never_split=None` (words that are not
          split), `compat` (the handling of rare characters: "fast", "slow" or "google"; the default depends on the class);
        - special tokens: `unk_token="[UNK]"`, `sep_token`, `pad_token`, `cls_token`, `mask_token`, `bos_token=None`,
          `eos_token=None`, `additional_special_tokens=None`, `split_special_tokens=False`;
        - others: `model_max_length=512`, `padding_side="right"`, `truncation_side="right"`,
          `clean_up_tokenization_spaces=True` (in `decode`), `wordpieces_prefix="##"`, `model_input_names`.

        `vocab` is another name of `vocab_file`. `verbose=False` disables warnings.
        """
        vocab_file = vocab if vocab_file is None else vocab_file
        overrides = settings_in(settings)
        if tokenizer_file is not None:
            files = read_files(locate(tokenizer_file), fast=not self._slow)
            if vocab_file is not None:
                files.vocabulary = vocabulary_of(vocab_file)
        elif vocab_file is None:
            raise UsageError(
                f'A tokenizer needs a vocabulary: type {type(self).__name__}("vocab.txt"), or '
                f'{type(self).__name__}.from_pretrained("bert-base-uncased").'
            )
        else:
            files = TokenizerFiles(vocabulary_of(vocab_file), Rules(compat=self._compat))
        change(files, overrides)
        add_missing_special_tokens(files)
        self._set_up(files, overrides.get("name_or_path", ""), verbose)

    def _set_up(self, files: TokenizerFiles, name_or_path: str = "", verbose: bool = True) -> Self:
        self._files = files
        self.name_or_path = name_or_path
        self._warn = Warner(verbose)
        self.deprecation_warnings: dict[str, bool] = {}  # without an effect; scripts for transformers write to it
        return self

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: object,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str = "main",
        subfolder: str = "",
        use_fast: bool | None = None,
        trust_remote_code: bool | None = False,
        verbose: bool = True,
        **settings: Unpack[Arguments],
    ) -> Self:
        """Load the tokenizer of a model from a folder, a file, a built-in model or the Hub.

        `settings` are those of the constructor, and override those in the files. `use_fast` and `trust_remote_code` are
        accepted and have no effect. `use_auth_token` is another name of `token`.
        """
        overrides = settings_in(settings) if settings else {}
        if init_inputs:
            raise UsageError(
                f"The positional argument {init_inputs[0]!r:.80} is not accepted: pass settings by name, for example "
                "do_lower_case=False."
            )
        place = locate(
            pretrained_model_name_or_path,
            revision=revision,
            subfolder=subfolder,
            cache_dir=cache_dir,
            token=settings.get("use_auth_token") if token is None else token,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        files = read_files(place, fast=not cls._slow, overrides=overrides)
        name = overrides.get("name_or_path", os.fspath(pretrained_model_name_or_path))
        return cls.__new__(cls)._set_up(files, name, verbose)

    def save_pretrained(
        self,
        save_directory: str | os.PathLike[str],
        filename_prefix: str | None = None,
        *,
        legacy_format: bool | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **options: Any,
    ) -> tuple[str, ...]:
        """Write the tokenizer's files into a folder and return their paths.

        All formats are written; `legacy_format` has no effect. `push_to_hub=True` also uploads the files to the repository
        `repo_id`, by default the name of the folder; `options` are passed to `push_to_hub`.
        """
        if options and not push_to_hub:
            refuse_unknown(options, ["save_directory", "filename_prefix", "legacy_format", "push_to_hub", "repo_id"])
        written = write_files(save_directory, self._files, filename_prefix or "", own=[self._compat])
        if push_to_hub:
            self.push_to_hub(repo_id or Path(save_directory).name, **options)
        return tuple(map(str, written))

    def save_vocabulary(self, save_directory: str | os.PathLike[str], filename_prefix: str | None = None) -> tuple[str]:
        """Write `vocab.txt` into a folder and return its path."""
        check_folder(save_directory)
        os.makedirs(save_directory, exist_ok=True)  # noqa: PTH103
        path = os.path.join(save_directory, f"{filename_prefix}-vocab.txt" if filename_prefix else "vocab.txt")  # noqa: PTH118
        self._files.vocabulary.write(path)
        return (path,)

    def train_new_from_iterator(
        self,
        text_iterator: Iterable[str] | Iterable[Iterable[str]],
        vocab_size: int,
        length: int | None = None,
        new_special_tokens: Iterable[str | AddedToken] | None = None,
        special_tokens_map: Mapping[str, str] | None = None,
        *,
        min_frequency: int = 2,
        limit_alphabet: int | None = None,
        unused: int = 0,
        show_progress: bool = False,
    ) -> Self:
        """Return a tokenizer with the same settings and a new vocabulary, trained on texts or on batches of texts.

        `special_tokens_map` renames special tokens. `unused` is the number of unused tokens, `[unused0]`, `[unused1]`, ...
        `length` is accepted and has no effect.
        """
        from bertkit.text.training.retraining import retrain

        files = retrain(
            self._files,
            text_iterator,
            vocab_size,
            new_special_tokens=new_special_tokens or (),
            special_tokens_map=special_tokens_map,
            min_frequency=min_frequency,
            limit_alphabet=limit_alphabet,
            unused=unused,
            progress=show_progress,
        )
        add_missing_special_tokens(files)
        return type(self).__new__(type(self))._set_up(files)

    def __getstate__(self) -> dict[str, Any]:
        return {"_files": self._files, "name_or_path": self.name_or_path, "verbose": self.verbose}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._set_up(state["_files"], state["name_or_path"], state.get("verbose", True))

    # Parts and settings.

    @cached_property
    def _tokens(self) -> Tokens:
        return Tokens(self._files, self._slow)

    @cached_property
    def encoder(self) -> Encoder:
        """The engine, and the special tokens around a text."""
        return Encoder(self._files, self._tokens, self._warn)

    def _refresh(self) -> None:
        """Delete the parts that depend on the tokens. They are made again when they are next used."""
        for part in ("_tokens", "encoder", "basic_tokenizer", "wordpiece_tokenizer"):
            self.__dict__.pop(part, None)

    @property
    def verbose(self) -> bool:
        """Whether warnings are logged."""
        return self._warn.verbose

    @verbose.setter
    def verbose(self, verbose: bool) -> None:
        self._warn.verbose = verbose

    @property
    def init_inputs(self) -> tuple[()]:
        """The positional arguments of the constructor, of which there are none."""
        return ()

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The current settings, for the constructor: `type(tokenizer)(tokenizer.vocab, **tokenizer.init_kwargs)`."""
        return {**settings_of(self._files, [self._compat]), "name_or_path": self.name_or_path}

    @property
    def engine(self) -> Engine:
        """The engine, which splits texts into pieces."""
        return self.encoder.engine

    @property
    def backend_tokenizer(self) -> Tokenizer:
        """The tokenizer as a `tokenizers.Tokenizer`. Changes to it do not change this tokenizer."""
        return self._tokens.backend

    @property
    def is_fast(self) -> bool:
        """Whether overflowing tokens are returned as further rows. Offsets and word ids are available in both classes."""
        return not self._slow

    @property
    def do_lower_case(self) -> bool:
        """Whether text is lower-cased."""
        return self._files.rules.lowercase

    @property
    def do_basic_tokenize(self) -> bool:
        """Whether text is also split at punctuation. BertTokenizerFast always does so."""
        return self._files.do_basic_tokenize

    @property
    def strip_accents(self) -> bool | None:
        """Whether accents are removed; None means the same as `do_lower_case`."""
        return self._files.rules.strip_accents

    @property
    def tokenize_chinese_chars(self) -> bool:
        """Whether each Chinese character is a word."""
        return self._files.rules.chinese

    @property
    def wordpieces_prefix(self) -> str:
        """The prefix of a piece that is not the first of its word: "##"."""
        return self._files.prefix

    # Text -> columns.

    def __call__(
        self,
        text: TextInput | None = None,
        text_pair: TextInput | None = None,
        text_target: TextInput | None = None,
        text_pair_target: TextInput | None = None,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        is_split_into_words: bool = False,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
        return_length: bool = False,
        verbose: bool = True,
        split_special_tokens: bool | None = None,
        **unknown: object,
    ) -> BatchEncoding:
        """Encode a text, a pair of texts, or a batch of them.

        - `padding`: True or "longest" (to the longest row of the batch), "max_length", False; `pad_to_multiple_of`,
          `padding_side` ("right", "left").
        - `truncation`: True or "longest_first" (the longer text of a pair first), "only_first", "only_second", False;
          `max_length` includes special tokens and is `model_max_length` by default.
        - `return_overflowing_tokens`: return the truncated tokens, in BertTokenizerFast as further rows that share `stride`
          tokens with the row before, in BertTokenizer as the column `overflowing_tokens`.
        - `is_split_into_words`: a text is a list of words.
        - `split_special_tokens`: split special tokens in a text, such as "[MASK]", like other text.
        - `return_tensors`: "np", "pt", "tf" or "jax"; None returns lists.
        - `return_token_type_ids`, `return_attention_mask` (None: if in `model_input_names`), `return_special_tokens_mask`,
          `return_offsets_mapping` (the characters of each token), `return_length`: return these columns.
        - `verbose`: whether to log warnings.
        """
        if unknown:
            refuse_unknown(unknown, [*Options._fields, "text", "text_pair", "text_target", "text_pair_target"])
        options = Options(
            add_special_tokens, padding, truncation, max_length, stride, is_split_into_words, pad_to_multiple_of,
            padding_side, return_tensors, return_token_type_ids, return_attention_mask, return_overflowing_tokens,
            return_special_tokens_mask, return_offsets_mapping, return_length, verbose, split_special_tokens,
        )  # fmt: skip
        if text_target is text_pair_target is None:
            if type(text) is str and text_pair is None and all(map(is_, options, PLAIN)) and self._has_usual_columns:
                return self._encode_one(text)
            check(options)
            if text is not None:
                return self._encode(read(text, text_pair, is_split_into_words), options)
        check(options)
        return self._encode_with_target(text, text_pair, text_target, text_pair_target, options)

    def encode(self, text: Any, text_pair: Any = None, **options: Unpack[CallOptions]) -> Any:
        """Return the ids of one text or pair. A text may also be a list of tokens or of ids."""
        return self.encode_plus(text, text_pair, **options)["input_ids"]

    def encode_plus(self, text: Any, text_pair: Any = None, **options: Unpack[CallOptions]) -> BatchEncoding:
        """Encode one text or pair. A text may also be a list of tokens or of ids."""
        checked = options_of(options)
        return self._encode(read_one(text, text_pair, checked.is_split_into_words), checked)

    def batch_encode_plus(self, batch_text_or_text_pairs: Any, **options: Unpack[CallOptions]) -> BatchEncoding:
        """Encode a batch of texts, `[text, ...]`, or of pairs, `[(text, second), ...]`."""
        checked = options_of(options)
        return self._encode(read_batch(batch_text_or_text_pairs, checked.is_split_into_words), checked)

    def prepare_for_model(
        self,
        ids: Ids,
        pair_ids: Ids | None = None,
        prepend_batch_axis: bool = False,
        **options: Unpack[CallOptions],
    ) -> BatchEncoding:
        """Add special tokens to ids, truncate and pad them. Overflowing tokens are a column, as in BertTokenizer."""
        inputs = read_one(ids, pair_ids, split=False)
        if inputs.kind != "ids":
            raise UsageError(
                f"{ids!r} is not a list of ids: type tokenizer(text), or pass tokenizer.convert_tokens_to_ids(...)."
            )
        found = columns.encode(self.encoder, inputs, options_of(options), slow=True, batch_axis=prepend_batch_axis)
        return BatchEncoding(found.data, found.rows, n_sequences=found.n_sequences)

    def tokenize(self, text: Any, pair: Any = None, **options: Unpack[CallOptions]) -> list[str]:
        """Return the tokens of a text as strings, without special tokens unless `add_special_tokens=True`."""
        checked = options_of(options)
        checked = checked._replace(
            verbose=options.get("verbose", False), add_special_tokens=options.get("add_special_tokens", False)
        )
        return self._encode(read_one(text, pair, checked.is_split_into_words), checked).tokens()

    def _encode(self, inputs: Inputs, options: Options) -> BatchEncoding:
        found = columns.encode(self.encoder, inputs, options, self._slow)
        return BatchEncoding(found.data, found.rows, n_sequences=found.n_sequences)

    def _encode_one(self, text: str) -> BatchEncoding:
        """Encode one text with the default options. The result equals that of `_encode`, which is slower."""
        encoder = self.encoder
        frame = encoder.frames[False]
        ids = [*frame.before, *encoder.engine.ids(text), *frame.after]
        if len(ids) > self._files.model_max_length:
            columns.check_length(encoder, len(ids), verbose=True)
        data = {"input_ids": ids, "token_type_ids": [0] * len(ids), "attention_mask": [1] * len(ids)}

        def rows() -> Encodings:
            return encodings(self, read(text, None, False), PLAIN)

        return BatchEncoding(data, rows, n_sequences=1)

    @property
    def _has_usual_columns(self) -> bool:
        """Whether a call without options returns the three usual columns."""
        return self._files.model_input_names == USUAL_COLUMNS and not self._files.split_special_tokens

    def _encode_with_target(
        self, text: Any, pair: Any, target: Any, pair_target: Any, options: Options
    ) -> BatchEncoding:
        if target is None and pair_target is not None:
            raise UsageError("text_pair_target needs text_target: pass text_target as well, or use text_pair.")
        if target is None:
            raise UsageError('The text is None: type tokenizer("a text") or tokenizer(["a text", "another"]).')
        encoded_target = self._encode(read(target, pair_target, options.is_split_into_words), options)
        if text is None:
            return encoded_target
        encoded = self._encode(read(text, pair, options.is_split_into_words), options)
        encoded["labels"] = encoded_target["input_ids"]
        return encoded

    # Ids, tokens and text.

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, without added tokens."""
        return self._files.vocabulary

    @property
    def vocab_size(self) -> int:
        """The number of tokens in the vocabulary, without added tokens; `len(tokenizer)` includes them."""
        return len(self._files.vocabulary)

    def __len__(self) -> int:
        ids = self._files.vocabulary.ids
        return len(ids) + sum(token not in ids for token in self._tokens.added_ids)

    def __bool__(self) -> bool:
        return True

    @property
    def vocab(self) -> dict[str, int]:
        """The id of every token, including added tokens: `tokenizer.vocab["here"]`."""
        return self._files.vocabulary.ids | self._tokens.added_ids

    def get_vocab(self) -> dict[str, int]:
        """Return the id of every token, including added tokens."""
        return self.vocab

    @property
    def ids_to_tokens(self) -> dict[int, str]:
        """The token of every id of the vocabulary."""
        return {index: token for token, index in self._files.vocabulary.ids.items()}

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token, or a list of ids for a list of tokens. Unknown tokens get the id of `[UNK]`."""
        return self._tokens.ids_of(tokens)

    def _convert_token_to_id(self, token: str) -> int | None:
        """Return the id of one token."""
        return self._tokens.id_of(token)

    def _convert_id_to_token(self, index: int) -> str | None:
        """Return the token of one id."""
        return self._tokens.token_of(index)

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or a list of tokens for a list of ids.

        For an unknown id, BertTokenizer returns `[UNK]` and BertTokenizerFast returns None.
        """
        return self._tokens.tokens_of(ids, skip_special_tokens)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return tokens as text: pieces joined to words, words joined by spaces."""
        return self._tokens.join(tokens)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> str:
        """Return ids as text. `token_ids` is an id, or a list, an array or a tensor of one row.

        `clean_up_tokenization_spaces` removes the spaces before English punctuation; the default is the tokenizer's setting.
        """
        return self._tokens.decode(
            token_ids, skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens
        )

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        spaces_between_special_tokens: bool = True,
    ) -> list[str]:
        """Return the text of each row of a batch. The options are those of `decode`."""
        if isinstance(sequences, (str, bytes)) or not hasattr(sequences, "__iter__"):
            raise UsageError(
                f"{sequences!r} is not a batch of rows of ids: type tokenizer.batch_decode([[101, 2023, 102]])."
            )
        flags = (skip_special_tokens, clean_up_tokenization_spaces, spaces_between_special_tokens)
        return [self.decode(row, *flags) for row in sequences]

    @staticmethod
    def clean_up_tokenization(out_string: str) -> str:
        """Remove the spaces before English punctuation."""
        return clean_up(out_string)

    # Added and special tokens.

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by id."""
        return dict(sorted(self._files.added.items()))

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return dict(self._tokens.added_ids)

    def get_added_vocab(self) -> dict[str, int]:
        """The ids of the added tokens."""
        return dict(self._tokens.added_ids)

    def add_tokens(
        self,
        new_tokens: str | AddedToken | Sequence[str | AddedToken],
        special_tokens: bool = False,
        *,
        claim_unused: bool = False,
    ) -> int:
        """Add tokens that are found in the raw text before it is split into words. Returns the number of new tokens.

        The model's embedding must then be enlarged to `len(tokenizer)`. With `claim_unused=True` the new tokens get the ids
        of `[unused0]`, `[unused1]`, ... instead, and the embedding keeps its size.
        """
        tokens = new_tokens if isinstance(new_tokens, (list, tuple, set, frozenset, dict)) else [new_tokens]
        named = set(self.all_special_tokens)
        wanted = [as_token(token, bool(special_tokens) or str(token) in named) for token in tokens]
        count = add(self._files, wanted, lower=self._files.lowers_added, claim_unused=claim_unused)
        if self._slow:  # the slow tokenizer adds every special token to additional_special_tokens
            self._files.additional += [token for token in wanted if token.special and token.content not in named]
        self._refresh()
        return count

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, str | AddedToken | Sequence[str | AddedToken]],
        replace_additional_special_tokens: bool = True,
        *,
        replace_extra_special_tokens: bool = True,
        claim_unused: bool = False,
    ) -> int:
        """Set special tokens by the names of their attributes, and add new ones. Returns the number of new tokens.

        tokenizer.add_special_tokens({"additional_special_tokens": ["[ENT]", "[/ENT]"]})

        `extra_special_tokens`, the name of `additional_special_tokens` in transformers 5, is accepted too.
        """
        replaces = replace_additional_special_tokens and replace_extra_special_tokens
        count = add_special_tokens(self._files, special_tokens_dict, replaces, claim_unused=claim_unused)
        self._refresh()
        return count

    def sanitize_special_tokens(self) -> int:
        """Add the special tokens that are not in the vocabulary. Returns their number."""
        return self.add_tokens(self.all_special_tokens_extended, special_tokens=True)

    @property
    def additional_special_tokens(self) -> list[str]:
        """The special tokens that have no attribute such as `cls_token`."""
        return [token.content for token in self._files.additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, tokens: Sequence[str | AddedToken] | None) -> None:
        self._files.additional = [as_token(token, special=True) for token in tokens or ()]
        self._refresh()

    @property
    def extra_special_tokens(self) -> list[str]:
        """The same as `additional_special_tokens`, under its name in transformers 5."""
        return self.additional_special_tokens

    @extra_special_tokens.setter
    def extra_special_tokens(self, tokens: Sequence[str | AddedToken] | None) -> None:
        self.additional_special_tokens = tokens

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """The ids of `additional_special_tokens`."""
        return cast("list[int]", self._tokens.ids_of(self.additional_special_tokens))

    @additional_special_tokens_ids.setter
    def additional_special_tokens_ids(self, ids: Sequence[int]) -> None:
        self.additional_special_tokens = self.convert_ids_to_tokens(list(ids))

    @property
    def special_tokens_map(self) -> dict[str, str | list[str]]:
        """The special tokens as strings, by the names of their attributes."""
        return {
            name: list(map(str, token)) if isinstance(token, list) else str(token)
            for name, token in self._tokens.special_by_name().items()
        }

    @property
    def special_tokens_map_extended(self) -> dict[str, AddedToken | list[AddedToken]]:
        """The special tokens as AddedToken, by the names of their attributes."""
        return self._tokens.special_by_name()

    @property
    def all_special_tokens_extended(self) -> list[AddedToken]:
        """Every special token once, as AddedToken."""
        return self._tokens.special()

    @property
    def all_special_tokens(self) -> list[str]:
        """Every special token once, as a string."""
        return [token.content for token in self._tokens.special()]

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of `all_special_tokens`."""
        return cast("list[int]", self._tokens.ids_of(self.all_special_tokens))

    # Lists of ids.

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return the number of special tokens that are added to a text (2 by default), or to a pair (3)."""
        return self.encoder.frames[pair].size

    @property
    def max_len_single_sentence(self) -> int:
        """The maximum number of tokens of a text, without special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add()

    @property
    def max_len_sentences_pair(self) -> int:
        """The maximum number of tokens of a pair of texts together, without special tokens."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """Return the ids of `[CLS] A [SEP]`, or of `[CLS] A [SEP] B [SEP]`."""
        call = "tokenizer.build_inputs_with_special_tokens"
        row = [self.cls_token_id, *id_list(token_ids_0, call), self.sep_token_id]
        return row if token_ids_1 is None else [*row, *id_list(token_ids_1, call), self.sep_token_id]

    def create_token_type_ids_from_sequences(self, token_ids_0: Ids, token_ids_1: Ids | None = None) -> Ids:
        """Return the token types: 0 for each token of `[CLS] A [SEP]`, 1 for each token of `B [SEP]`."""
        return sequences.types_of(token_ids_0, token_ids_1)

    def get_special_tokens_mask(
        self, token_ids_0: Ids, token_ids_1: Ids | None = None, already_has_special_tokens: bool = False
    ) -> Ids:
        """Return 1 for each special token and 0 for each token of a text.

        The ids are those of one or two texts, and the mask includes the special tokens that will be added to them. With
        `already_has_special_tokens=True` the ids are a row that contains its special tokens.
        """
        if not already_has_special_tokens:
            return sequences.special_mask_of(token_ids_0, token_ids_1)
        if token_ids_1 is not None:
            raise UsageError(
                "token_ids_1 is invalid with already_has_special_tokens=True: pass one row as token_ids_0."
            )
        special = set(self.all_special_ids)
        return [int(index in special) for index in token_ids_0]

    def truncate_sequences(
        self,
        ids: Ids,
        pair_ids: Ids | None = None,
        num_tokens_to_remove: int = 0,
        truncation_strategy: str | bool = "longest_first",
        stride: int = 0,
    ) -> tuple[Ids, Ids | None, Ids]:
        """Truncate one or two lists of ids. Returns them, and the removed ids with `stride` of the remaining ids beside them."""
        return sequences.truncate(
            ids, pair_ids, num_tokens_to_remove, truncation_strategy, stride, self.truncation_side
        )

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        verbose: bool = True,
    ) -> BatchEncoding:
        """Pad encoded texts: a dictionary of columns, or a list of examples from a data loader."""
        names = self._files.model_input_names
        mask = "attention_mask" in names if return_attention_mask is None else return_attention_mask
        options = Options(
            padding=padding, truncation=False, max_length=max_length, pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side, return_tensors=return_tensors, verbose=verbose,
        )  # fmt: skip
        found, kind = pad_columns(self.encoder, encoded_inputs, options, mask)
        return BatchEncoding(found, tensor_type=kind)

    def __repr__(self) -> str:
        added = "\n".join(f"\t{index}: {token!r}," for index, token in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, vocab_size={self.vocab_size}, "
            f"model_max_length={self.model_max_length}, is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, added_tokens_decoder={{\n{added}\n}}\n)"
        )


PreTrainedTokenizerBase = _Tokenizer
"""The name of transformers, for annotations and isinstance."""


class BertTokenizer(_Tokenizer):
    """BERT's tokenizer. It returns the same ids as transformers' BertTokenizer (the slow one).

    >>> tokenizer = BertTokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "people"])
    >>> tokenizer("Unaffable people")
    {'input_ids': [2, 5, 6, 7, 8, 3], 'token_type_ids': [0, 0, 0, 0, 0, 0], 'attention_mask': [1, 1, 1, 1, 1, 1]}
    """

    _compat, _slow = "slow", True

    @cached_property
    def basic_tokenizer(self) -> BasicTokenizer:
        """The first step, text -> words, as an object. Raises AttributeError with `do_basic_tokenize=False`."""
        files = self._files
        if not files.do_basic_tokenize:
            raise AttributeError(
                "basic_tokenizer does not exist with do_basic_tokenize=False: use wordpiece_tokenizer."
            )
        rules = files.rules
        return BasicTokenizer(
            rules.lowercase, files.never_split or None, rules.chinese, rules.strip_accents, compat=rules.compat
        )

    @cached_property
    def wordpiece_tokenizer(self) -> WordpieceTokenizer:
        """The second step, words -> pieces, as an object."""
        files = self._files
        return WordpieceTokenizer(self.vocab, files.unk, files.max_chars, files.prefix)


class BertTokenizerFast(_Tokenizer):
    """BERT's tokenizer. It returns the same ids as transformers' BertTokenizerFast.

    >>> tokenizer = BertTokenizerFast(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "people"])
    >>> encoded = tokenizer("Unaffable people", return_offsets_mapping=True)
    >>> encoded.tokens(), encoded["offset_mapping"]
    (['[CLS]', 'un', '##aff', '##able', 'people', '[SEP]'], [(0, 0), (0, 2), (2, 5), (5, 9), (10, 16), (0, 0)])
    """

    _compat, _slow = "fast", False
